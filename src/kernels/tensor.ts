import type { Range } from '../gpu/kernel.ts';

/** How a weight matrix is kept. */
export type WeightDtype = 'f32' | 'f16' | 'q8' | 'q4';

/** The largest head that attention computes: a thread or a workgroup holds all of a head's sums. */
export const LARGEST_HEAD = 256;

/** What a count of a config can be, and what a place among as many can. */
export const COUNT: Range = [1, 2 ** 31 - 1];
export const PLACE: Range = [0, 2 ** 31 - 1];
/** Sizes of a head; and of a vocabulary, whose tokens are counted in f32. */
export const HEAD: Range = [4, LARGEST_HEAD];
export const VOCABULARY: Range = [1, 2 ** 24];
/** What a norm adds to the mean square. */
export const SMALL: Range = [0, 1];

/** Values along a quantized block. */
export const BLOCK = 32;

/** Rows are padded to this many values: two blocks, so that every load is a whole vector and every row's scales whole words. */
const PAD = 2 * BLOCK;

/** Values from one row to the next of activations and weights. */
export const stride = (cols: number): number => Math.ceil(cols / PAD) * PAD;

/** Rows `row0 .. row0 + rows` of a weight. */
export interface WeightPart {
  row0: number;
  rows: number;
  /** `(rows, stride(cols))` in the weight's dtype. */
  codes: GPUBuffer;
  /** `(rows, stride(cols) / 32)` f16 in pairs, for q8 and q4. */
  scales: GPUBuffer | undefined;
  /** f32: the gain `(stride(cols))` of the norm before the projection, if any, then the bias `(rows)`, if any. */
  vectors: GPUBuffer | undefined;
}

/** A matrix `(rows, cols)` on the GPU, in as many parts as the largest binding asks for. */
export interface Weight {
  dtype: WeightDtype;
  rows: number;
  cols: number;
  parts: WeightPart[];
  hasGain: boolean;
  hasBias: boolean;
}

/** Bytes of one row. */
export function rowBytes(dtype: WeightDtype, cols: number): { codes: number; scales: number } {
  const padded = stride(cols);
  switch (dtype) {
    case 'f32':
      return { codes: 4 * padded, scales: 0 };
    case 'f16':
      return { codes: 2 * padded, scales: 0 };
    case 'q8':
      return { codes: padded, scales: padded / 16 };
    case 'q4':
      return { codes: padded / 2, scales: padded / 16 };
  }
}

/** Rows of x, `(rows, stride(cols))` f32. */
export interface Activations {
  buffer: GPUBuffer;
  cols: number;
}
