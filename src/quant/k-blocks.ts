// What the formats of GGUF's K types and of Q5 have in common: words of four bits of each of 8 codes, and more of them elsewhere.
import { f16ToF32 } from '../formats/float.ts';
import { alignedTo, type WeightFormat } from './format.ts';

const LOW = 0x0f0f0f0f;
/** Values along a block of the K types. */
export const K_BLOCK = 256;

export const K_TYPES = {
  load: 'u32',
  unit: 8,
  bits: 4,
  perBlock: 0,
  table: 'q8',
} as const satisfies Partial<WeightFormat>;

/** The words of a unit of 8 values: of the first four, and of the last four, a byte each, the lower four bits. */
export const unitOf = (first: number, last: number): number => (first & LOW) | ((last & LOW) << 4);

/** The words of blocks of a multiple of 4 bytes. */
export function wordsOf(blocks: Uint8Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = alignedTo(blocks, 4);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

/** Units of a Q4_K or Q5_K block, whose 32 words of codes begin at `at`: 8 words are the low and the high halves of 64 values. */
export function unitsOf(from: Uint32Array, at: number, codes: Uint32Array, to: number): void {
  for (let pair = 0; pair < 32; pair += 8)
    for (let i = 0; i < 4; i++) {
      const [first, last] = [from[at + pair + 2 * i]!, from[at + pair + 2 * i + 1]!];
      codes[to + pair + i] = unitOf(first, last);
      codes[to + pair + 4 + i] = unitOf(first >>> 4, last >>> 4);
    }
}

/** The low four bits of value `i` of a row. */
export const lowOf = (codes: Uint32Array, i: number): number =>
  (codes[i >> 3]! >>> (8 * (i & 3) + (i & 4))) & 15;

/** The fifth bit of value `i` of a row, in its place; `word` has those of the 32 values around: bit g of the bytes for the g-th four. */
export const fifthOf = (word: number, i: number): number =>
  ((word >>> (8 * (i & 3) + ((i >> 2) & 7))) & 1) << 4;

/**
 * Scale and minimum of the j-th 32 values, of the first 16 bytes of a Q4_K or Q5_K block as words from `at` on, as
 * shaders/shared/blocks/k_scale.wgsl has them.
 */
export function kScale(words: Uint32Array, at: number, j: number): { scale: number; least: number } {
  const shift = 8 * (j & 3);
  const [own, least] = [words[at + 1]! >>> shift, words[at + 2]! >>> shift];
  const rest = words[at + 3]! >>> shift;
  const code = (word: number, low: number): number => (j < 4 ? word & 63 : (low & 15) | ((word >>> 2) & 48));
  return {
    scale: f16ToF32(words[at]! & 0xffff) * code(own, rest),
    least: f16ToF32(words[at]! >>> 16) * code(least, rest >>> 4),
  };
}
