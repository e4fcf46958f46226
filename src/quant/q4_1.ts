// GGUF's Q4_0 and Q4_1.
import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import { blockByBlock, decodeBlocks, F16_MOST, type Repack, type WeightFormat } from './format.ts';

/**
 * Blocks of `words` halves: numbers, then 16 bytes, whose low halves are the first 16 codes and whose high ones the others.
 * @param least the minimum of a block whose numbers begin at `at`
 */
const repackAs = (words: number, least: (from: Uint16Array, at: number) => number): Repack['repack'] =>
  blockByBlock(
    words,
    (blocks) => ({ codes: new Uint8Array(16 * blocks), scales: new Uint16Array(2 * blocks) }),
    ({ codes, scales }, block, from, at) => {
      scales[2 * block] = from[at]!;
      scales[2 * block + 1] = least(from, at);
      for (let i = 0; i < 8; i++) {
        const pair = from[at + words - 8 + i]!;
        codes[16 * block + i] = (pair & 15) | ((pair >> 4) & 0xf0);
        codes[16 * block + 8 + i] = ((pair >> 4) & 15) | ((pair >> 8) & 0xf0);
      }
    },
  );

/** Codes of four bits with a scale and a minimum for each block. */
export const q4_1: WeightFormat = {
  reader: 'blocks/weight_q4_1',
  load: 'u32',
  unit: 8,
  bits: 4,
  perBlock: 2,
  table: 'q8',
  // Q4_0 has codes from -8 up: its minimum is the scale times that, which f16 holds exactly.
  blocks: {
    Q4_0: {
      halves: [0],
      most: F16_MOST / 8,
      repack: repackAs(9, (from, at) => f32ToF16(-8 * f16ToF32(from[at]!))),
    },
    Q4_1: { halves: [0, 2], repack: repackAs(10, (from, at) => from[at + 1]!) },
  },
  decode(codes, scales, cols) {
    const bytes = new Uint8Array(codes);
    return decodeBlocks((i) => (bytes[i >> 1]! >> (4 * (i % 2))) & 15, scales, cols, 2);
  },
};
