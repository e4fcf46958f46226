import type { Range } from '../gpu/kernel.ts';
import { BLOCK, F16_MOST, stride, type WeightFormat } from '../quant/format.ts';
import { FORMATS, type WeightDtype } from '../quant/index.ts';

export { BLOCK, stride, type WeightDtype };

/** The largest head that attention computes: a thread or a workgroup holds all of a head's sums. */
export const LARGEST_HEAD = 256;

/** What a count of a config can be, and what a place among as many can. */
export const COUNT: Range = [1, 2 ** 31 - 1];
export const PLACE: Range = [0, 2 ** 31 - 1];
/** Sizes of a head; and of a vocabulary, whose tokens are counted in f32. */
export const HEAD: Range = [4, LARGEST_HEAD];
export const VOCABULARY: Range = [1, 2 ** 24];
/** What values of a weight are multiplied with. */
export const FACTOR: Range = [-1e6, 1e6, 'f32'];
/** What a norm adds to the mean square. */
export const SMALL: Range = [0, 1, 'f32'];

/** Rows `row0 .. row0 + rows` of a weight. */
export interface WeightPart {
  row0: number;
  rows: number;
  dtype: WeightDtype;
  /** What its values are multiplied with; without it, nothing. */
  factor?: number | undefined;
  /** `(rows, stride(cols))` in the part's dtype. */
  codes: GPUBuffer;
  /** What is beside the blocks, for formats that have blocks. */
  scales: GPUBuffer | undefined;
  /** f32: the gain `(gainSize(cols))` of the norm before the projection, if any, then the bias `(rows)`, if any. */
  vectors: GPUBuffer | undefined;
}

/** A matrix `(rows, cols)` on the GPU, in as many parts as its dtypes and the largest binding ask for. */
export interface Weight {
  rows: number;
  cols: number;
  parts: WeightPart[];
  hasGain: boolean;
  hasBias: boolean;
}

/** Bytes of one row. */
export function rowBytes(dtype: WeightDtype, cols: number): { codes: number; scales: number } {
  const { bits, perBlock, beside }: WeightFormat = FORMATS[dtype];
  const padded = stride(cols);
  const scales = beside ? beside.bytes * Math.ceil(padded / beside.values) : (2 * perBlock * padded) / BLOCK;
  return { codes: (bits * padded) / 8, scales };
}

/** f32 numbers of a gain and what is behind it: `gainRange`, in a vector of its own. */
export const gainSize = (cols: number): number => stride(cols) + 4;

/** The power of two by which what is normed with a gain `(cols)` is within f16, up to 1: a normed row's length is the root of its size. */
export function gainRange(gain: Float32Array): number {
  const most = gain.reduce((so, value) => Math.max(so, Math.abs(value)), 0) * Math.sqrt(gain.length);
  return most > F16_MOST ? 2 ** -Math.ceil(Math.log2(most / F16_MOST)) : 1;
}

/** Rows of x, `(rows, stride(cols))` f32. */
export interface Activations {
  buffer: GPUBuffer;
  cols: number;
}
