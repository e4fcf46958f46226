import type { Repack, WeightFormat } from './format.ts';
import { fifthOf, K_BLOCK, K_TYPES, kScale, lowOf, unitsOf, wordsOf } from './k-blocks.ts';

/** Words of a block: 4 of scales; 8 of fifth bits, bit j of byte i for value i of the j-th 32; 32 of codes, as Q4_K's. */
function repack(blocks: Uint8Array<ArrayBuffer>): ReturnType<Repack['repack']> {
  const from = wordsOf(blocks);
  const count = from.length / 44;
  const codes = new Uint32Array(32 * count);
  const scales = new Uint32Array(12 * count);
  for (let block = 0; block < count; block++) {
    const at = 44 * block;
    for (let i = 0; i < 4; i++) scales[12 * block + i] = from[at + i]!;
    for (let j = 0; j < 8; j++) {
      let fifth = 0;
      for (let g = 0; g < 8; g++) fifth |= ((from[at + 4 + g]! >>> j) & 0x01010101) << g;
      scales[12 * block + 4 + j] = fifth;
    }
    unitsOf(from, at + 12, codes, 32 * block);
  }
  return { codes, scales };
}

/** GGUF's Q5_K: as Q4_K, with codes of five bits. */
export const q5_k: WeightFormat = {
  ...K_TYPES,
  reader: 'blocks/weight_q5_k',
  beside: { load: 'vec4<u32>', bytes: 48, values: K_BLOCK },
  blocks: { Q5_K: { halves: [0, 2], repack } },
  decode(codes, scales, cols) {
    const [units, heads] = [new Uint32Array(codes), new Uint32Array(scales!)];
    return Float32Array.from({ length: cols }, (_, i) => {
      const [at, j] = [12 * (i >> 8), (i >> 5) & 7];
      const { scale, least } = kScale(heads, at, j);
      return scale * (lowOf(units, i) | fifthOf(heads[at + 4 + j]!, i)) - least;
    });
  },
};
