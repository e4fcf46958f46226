// GGUF's Q5_0 and Q5_1.
import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import { BLOCK, blockByBlock, F16_MOST, type Repack, type WeightFormat, wordAt } from './format.ts';
import { fifthOf, K_TYPES, lowOf, unitOf } from './k-blocks.ts';

/**
 * Blocks of `words` halves: numbers, a word of fifth bits, then 16 bytes, whose low halves are the first 16 codes and whose high
 * ones the others.
 * @param least the minimum of a block whose numbers begin at `at`
 */
const repackAs = (words: number, least: (from: Uint16Array, at: number) => number): Repack['repack'] =>
  blockByBlock(
    words,
    (blocks) => ({ codes: new Uint32Array(4 * blocks), scales: new Uint32Array(2 * blocks) }),
    ({ codes, scales }, block, from, at) => {
      scales[2 * block] = from[at]! | (least(from, at) << 16);
      const fifths = wordAt(from, at + words - 10);
      let fifth = 0;
      // A bit to the lowest of each byte.
      for (let g = 0; g < 8; g++) fifth |= ((((fifths >>> (4 * g)) & 15) * 0x204081) & 0x1010101) << g;
      scales[2 * block + 1] = fifth;
      for (let unit = 0; unit < 2; unit++) {
        const low = at + words - 8 + 4 * unit;
        const [first, last] = [wordAt(from, low), wordAt(from, low + 2)];
        codes[4 * block + unit] = unitOf(first, last);
        codes[4 * block + 2 + unit] = unitOf(first >>> 4, last >>> 4);
      }
    },
  );

/** Codes of five bits with a scale and a minimum for each block; those of Q5_0 begin at -16. */
export const q5: WeightFormat = {
  ...K_TYPES,
  reader: 'blocks/weight_q5',
  beside: { load: 'vec2<u32>', bytes: 8, values: BLOCK },
  blocks: {
    Q5_0: {
      halves: [0],
      most: F16_MOST / 16,
      repack: repackAs(11, (from, at) => f32ToF16(-16 * f16ToF32(from[at]!))),
    },
    Q5_1: { halves: [0, 2], repack: repackAs(12, (from, at) => from[at + 1]!) },
  },
  decode(codes, scales, cols) {
    const [units, heads] = [new Uint32Array(codes), new Uint32Array(scales!)];
    return Float32Array.from({ length: cols }, (_, i) => {
      const at = 2 * (i >> 5);
      const code = lowOf(units, i) | fifthOf(heads[at + 1]!, i);
      return f16ToF32(heads[at]! & 0xffff) * code + f16ToF32(heads[at]! >>> 16);
    });
  },
};
