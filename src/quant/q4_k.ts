import type { Repack, WeightFormat } from './format.ts';
import { K_BLOCK, K_TYPES, kScale, lowOf, unitsOf, wordsOf } from './k-blocks.ts';

/** Words of a block: 4 of scales, 32 of codes. */
function repack(blocks: Uint8Array<ArrayBuffer>): ReturnType<Repack['repack']> {
  const from = wordsOf(blocks);
  const count = from.length / 36;
  const codes = new Uint32Array(32 * count);
  const scales = new Uint32Array(4 * count);
  for (let block = 0; block < count; block++) {
    const at = 36 * block;
    for (let i = 0; i < 4; i++) scales[4 * block + i] = from[at + i]!;
    unitsOf(from, at + 4, codes, 32 * block);
  }
  return { codes, scales };
}

/** GGUF's Q4_K: codes of four bits, scales and minima of 32 values in six, and f16 factors of both for 256. */
export const q4_k: WeightFormat = {
  ...K_TYPES,
  reader: 'blocks/weight_q4_k',
  beside: { load: 'vec4<u32>', bytes: 16, values: K_BLOCK },
  blocks: { Q4_K: { halves: [0, 2], repack } },
  decode(codes, scales, cols) {
    const [units, heads] = [new Uint32Array(codes), new Uint32Array(scales!)];
    return Float32Array.from({ length: cols }, (_, i) => {
      const { scale, least } = kScale(heads, 4 * (i >> 8), (i >> 5) & 7);
      return scale * lowOf(units, i) - least;
    });
  },
};
