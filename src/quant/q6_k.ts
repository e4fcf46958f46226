import { f16ToF32 } from '../formats/float.ts';
import { halvesOf, type Repack, type WeightFormat, wordAt } from './format.ts';
import { K_BLOCK, K_TYPES, lowOf, unitOf } from './k-blocks.ts';

/** Halves of a block in the file, and words of its scales on the GPU. */
const HALVES = 105;
const WORDS = 21;

/**
 * A block: 128 bytes of low bits, in which 64 have the low and the high halves of 128 values; 64 bytes of high bits, of which 32
 * have those of 128 values; 16 scales; the factor of the scales.
 */
function repack(blocks: Uint8Array<ArrayBuffer>): ReturnType<Repack['repack']> {
  const from = halvesOf(blocks);
  const count = from.length / HALVES;
  const codes = new Uint32Array(32 * count);
  const scales = new Uint32Array(WORDS * count);
  for (let block = 0; block < count; block++) {
    const at = HALVES * block;
    const to = WORDS * block;
    scales[to] = from[at + 104]!;
    for (let i = 0; i < 4; i++) scales[to + 1 + i] = wordAt(from, at + 96 + 2 * i);
    for (let unit = 0; unit < 32; unit++) {
      const half = unit >> 4;
      const low = at + 32 * half + 4 * (unit & 7);
      const shift = 4 * ((unit >> 3) & 1);
      codes[32 * block + unit] = unitOf(wordAt(from, low) >>> shift, wordAt(from, low + 2) >>> shift);
      const high = at + 64 + 16 * half + 4 * (unit & 3);
      const by = 2 * ((unit >> 2) & 3);
      const top =
        ((wordAt(from, high) >>> by) & 0x03030303) | (((wordAt(from, high + 2) >>> by) & 0x03030303) << 2);
      scales[to + 5 + (unit >> 1)]! |= top << (4 * (unit & 1));
    }
  }
  return { codes, scales };
}

/** GGUF's Q6_K: codes of six bits, scales of 16 values in signed bytes, and an f16 factor of these for 256. */
export const q6_k: WeightFormat = {
  ...K_TYPES,
  reader: 'blocks/weight_q6_k',
  beside: { load: 'u32', bytes: 4 * WORDS, values: K_BLOCK },
  blocks: { Q6_K: { halves: [208], repack } },
  decode(codes, scales, cols) {
    const [units, heads, bytes] = [new Uint32Array(codes), new Uint32Array(scales!), new Int8Array(scales!)];
    return Float32Array.from({ length: cols }, (_, i) => {
      const [at, j] = [WORDS * (i >> 8), (i >> 4) & 15];
      const top = (heads[at + 5 + j]! >>> (8 * (i & 3) + 2 * ((i >> 2) & 3))) & 3;
      return f16ToF32(heads[at]!) * bytes[4 * (at + 1) + j]! * ((lowOf(units, i) | (top << 4)) - 32);
    });
  },
};
