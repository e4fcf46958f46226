// Blocks of quantised values to f32, as ggml defines them; each sum is rounded to f32 as the package `gguf` of Python rounds it.
import { f16ToF32 } from '../float.ts';
import { type BlockType, TYPES } from './types.ts';

const { fround } = Math;

/** Writes the values of the block at `at` into `out` from `to` on. */
type Widen = (bytes: Uint8Array, at: number, out: Float32Array, to: number) => void;

const half = (bytes: Uint8Array, at: number): number => f16ToF32(bytes[at]! | (bytes[at + 1]! << 8));
const signed = (byte: number): number => (byte << 24) >> 24;

/** Blocks of 32 in 4 bits: the low halves of 16 bytes first, then the high ones. */
const q4_0: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + 2 + i]!;
    out[to + i] = d * ((byte & 15) - 8);
    out[to + 16 + i] = d * ((byte >> 4) - 8);
  }
};

const q4_1: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at);
  const m = half(bytes, at + 2);
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + 4 + i]!;
    out[to + i] = fround(d * (byte & 15)) + m;
    out[to + 16 + i] = fround(d * (byte >> 4)) + m;
  }
};

/** The fifth bit of value `i`, of 32 that lie one after the other. */
const fifth = (bytes: Uint8Array, at: number, i: number): number =>
  ((bytes[at + (i >> 3)]! >> (i & 7)) & 1) << 4;

const q5_0: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + 6 + i]!;
    out[to + i] = d * (((byte & 15) | fifth(bytes, at + 2, i)) - 16);
    out[to + 16 + i] = d * (((byte >> 4) | fifth(bytes, at + 2, 16 + i)) - 16);
  }
};

const q5_1: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at);
  const m = half(bytes, at + 2);
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + 8 + i]!;
    out[to + i] = fround(d * ((byte & 15) | fifth(bytes, at + 4, i))) + m;
    out[to + 16 + i] = fround(d * ((byte >> 4) | fifth(bytes, at + 4, 16 + i))) + m;
  }
};

const q8_0: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let i = 0; i < 32; i++) out[to + i] = d * signed(bytes[at + 2 + i]!);
};

/** 256 values in 2 bits: 16 scales with minima in 4 bits each, codes, scale and minimum of the block. */
const q2_k: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at + 80);
  const m = half(bytes, at + 82);
  for (let i = 0; i < 256; i++) {
    const scale = bytes[at + (i >> 4)]!;
    const code = (bytes[at + 16 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
    out[to + i] = fround(fround(d * (scale & 15)) * code) - fround(m * (scale >> 4));
  }
};

/** Scale `j` of 16 in 6 bits: four low bits in 8 bytes, two high ones in 4. */
const sixBits = (bytes: Uint8Array, at: number, j: number): number =>
  ((bytes[at + (j & 7)]! >> (4 * (j >> 3))) & 15) | (((bytes[at + 8 + (j & 3)]! >> (2 * (j >> 2))) & 3) << 4);

/** 256 values in 3 bits: high bits (set: not lowered by 4), codes, scales, scale of the block. */
const q3_k: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at + 108);
  for (let i = 0; i < 256; i++) {
    const low = (bytes[at + 32 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
    const high = (bytes[at + (i & 31)]! >> (i >> 5)) & 1;
    out[to + i] = fround(d * (sixBits(bytes, at + 96, i >> 4) - 32)) * (low - 4 * (1 - high));
  }
};

/** Scale (`from` 0) or minimum (`from` 4) `j` of 8, which take 12 bytes together. */
function packed(bytes: Uint8Array, at: number, from: 0 | 4, j: number): number {
  if (j < 4) return bytes[at + from + j]! & 63;
  const low = from === 0 ? bytes[at + 4 + j]! & 15 : bytes[at + 4 + j]! >> 4;
  return low | ((bytes[at + from + j - 4]! >> 2) & 48);
}

/** 256 values in 4 or 5 bits, 8 scales with minima. @param codes where the codes begin, @param high the fifth bits */
function fourOrFive(
  bytes: Uint8Array,
  at: number,
  codes: number,
  high: number,
  out: Float32Array,
  to: number,
) {
  const d = half(bytes, at);
  const m = half(bytes, at + 2);
  for (let j = 0; j < 8; j++) {
    const scale = fround(d * packed(bytes, at + 4, 0, j));
    const least = fround(m * packed(bytes, at + 4, 4, j));
    for (let i = 0; i < 32; i++) {
      const low = (bytes[codes + 32 * (j >> 1) + i]! >> (4 * (j & 1))) & 15;
      const fifthBit = high === 0 ? 0 : ((bytes[high + i]! >> j) & 1) << 4;
      out[to + 32 * j + i] = fround(scale * (low | fifthBit)) - least;
    }
  }
}

const q4_k: Widen = (bytes, at, out, to) => fourOrFive(bytes, at, at + 16, 0, out, to);
const q5_k: Widen = (bytes, at, out, to) => fourOrFive(bytes, at, at + 48, at + 16, out, to);

/** 256 values in 6 bits: four low bits, two high ones, 16 scales in bytes, scale of the block. */
const q6_k: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at + 208);
  for (let i = 0; i < 256; i++) {
    const low = (bytes[at + 64 * (i >> 7) + (i & 63)]! >> (4 * ((i >> 6) & 1))) & 15;
    const high = (bytes[at + 128 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
    out[to + i] = fround(d * signed(bytes[at + 192 + (i >> 4)]!)) * ((low | (high << 4)) - 32);
  }
};

/** The values that codes of 4 bits stand for in the IQ4 types. */
const IQ4 = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

const iq4_nl: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + 2 + i]!;
    out[to + i] = d * IQ4[byte & 15]!;
    out[to + 16 + i] = d * IQ4[byte >> 4]!;
  }
};

/** 8 scales in 6 bits: two high bits of each in 2 bytes, four low ones in 4. */
const iq4_xs: Widen = (bytes, at, out, to) => {
  const d = half(bytes, at);
  for (let j = 0; j < 8; j++) {
    const low = (bytes[at + 4 + (j >> 1)]! >> (4 * (j & 1))) & 15;
    const high = (bytes[at + 2 + (j >> 2)]! >> (2 * (j & 3))) & 3;
    const scale = fround(d * ((low | (high << 4)) - 32));
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 8 + 16 * j + i]!;
      out[to + 32 * j + i] = scale * IQ4[byte & 15]!;
      out[to + 32 * j + 16 + i] = scale * IQ4[byte >> 4]!;
    }
  }
};

const WIDEN: Record<BlockType, Widen> = {
  Q4_0: q4_0,
  Q4_1: q4_1,
  Q5_0: q5_0,
  Q5_1: q5_1,
  Q8_0: q8_0,
  Q2_K: q2_k,
  Q3_K: q3_k,
  Q4_K: q4_k,
  Q5_K: q5_k,
  Q6_K: q6_k,
  IQ4_NL: iq4_nl,
  IQ4_XS: iq4_xs,
};

/** The values of whole blocks. */
export function widen(bytes: Uint8Array, type: BlockType): Float32Array<ArrayBuffer> {
  const { values, bytes: blockBytes } = TYPES[type];
  const blocks = Math.floor(bytes.length / blockBytes);
  const out = new Float32Array(blocks * values);
  const block = WIDEN[type];
  for (let b = 0; b < blocks; b++) block(bytes, b * blockBytes, out, b * values);
  return out;
}
