import { f16ToF32 } from '../formats/float.ts';
import type { BlockType } from '../formats/gguf/types.ts';

/** Values along a quantized block. */
export const BLOCK = 32;

/** Rows are padded to this many values: two blocks, so that every load is a whole vector and every row's scales whole words. */
const PAD = 2 * BLOCK;

/** Values from one row to the next of activations and weights. */
export const stride = (cols: number): number => Math.ceil(cols / PAD) * PAD;

/** Rows as the GPU keeps them. */
export interface PackedRows {
  /** `(rows, stride(cols))` in the dtype. */
  codes: ArrayBufferView<ArrayBuffer>;
  /** f16 bits of `(rows, stride(cols) / 32)` blocks: the scale of each, or its scale and its minimum. */
  scales: Uint16Array<ArrayBuffer> | undefined;
}

/** What a format binds as scales that has more than f16 numbers beside its blocks: WGSL's element, and bytes for so many values. */
export interface Beside {
  readonly load: 'u32' | 'vec2<u32>' | 'vec4<u32>';
  readonly bytes: number;
  readonly values: number;
}

/** How blocks of a GGUF file become what the GPU keeps. */
export interface Repack {
  /** Where a block has f16 numbers, in bytes. */
  readonly halves: readonly number[];
  /** The largest of them that can be kept (default: f16's). */
  readonly most?: number;
  /** Blocks of whole rows `(rows, cols)` in the format's own layout: the same codes and scales. */
  repack(
    blocks: Uint8Array<ArrayBuffer>,
    cols: number,
  ): { codes: ArrayBufferView<ArrayBuffer>; scales: ArrayBufferView<ArrayBuffer> };
}

/** One way to keep a weight matrix: all that kernels know of it. */
export interface WeightFormat {
  /** The include in shaders/shared/ that reads a unit, without `.wgsl`. */
  readonly reader: string;
  /** What WGSL reads of the codes for a unit. */
  readonly load: string;
  /** Values along a row that the reader gives at once. */
  readonly unit: 4 | 8;
  /** Bits of one code. */
  readonly bits: number;
  /** f16 numbers beside each block of a row: none, a scale, or a scale and then a minimum: `scale * code + minimum`. */
  readonly perBlock: 0 | 1 | 2;
  readonly beside?: Beside;
  /** The format that tables of tokens, embedding and head, are kept in when matrices are kept in this one. */
  readonly table: 'f32' | 'f16' | 'q8';
  /** GGUF's blocks that it holds as they are, by their type. */
  readonly blocks?: Readonly<Partial<Record<BlockType, Repack>>>;
  /** The first `cols` values of one row of what is kept, as the reader gives them. */
  decode(codes: ArrayBuffer, scales: ArrayBuffer | undefined, cols: number): Float32Array<ArrayBuffer>;
}

/** A format that values can be rounded to. */
export interface ValueFormat extends WeightFormat {
  /** The code that stands for the largest value, in random weights. */
  readonly level: number;
  /** Why a value cannot be kept, after "which". */
  readonly refusal: string;
  /** Index of the first value that cannot be kept, or -1. */
  firstRefused(values: Float32Array): number;
  /** Rows `(rows, perRow)`, padded and without refused values, as the GPU keeps them. */
  encode(padded: Float32Array<ArrayBuffer>, perRow: number): PackedRows;
}

/** The same bytes at a place that is a multiple of `of`. */
export const alignedTo = (bytes: Uint8Array<ArrayBuffer>, of: number): Uint8Array<ArrayBuffer> =>
  bytes.byteOffset % of === 0 ? bytes : bytes.slice();

export function halvesOf(blocks: Uint8Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = alignedTo(blocks, 2);
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** The word whose lower half is at `at`. */
export const wordAt = (halves: Uint16Array, at: number): number => halves[at]! | (halves[at + 1]! << 16);

/**
 * Repacks blocks of 32 values, of `size` halves each in the file, one by one: what the GPU keeps has padding behind each row.
 * @param room for so many blocks
 * @param put the block that begins at half `at` into the room of the `block`th
 */
export const blockByBlock =
  <Room extends ReturnType<Repack['repack']>>(
    size: number,
    room: (blocks: number) => Room,
    put: (to: Room, block: number, from: Uint16Array, at: number) => void,
  ): Repack['repack'] =>
  (blocks, cols) => {
    const from = halvesOf(blocks);
    const [perRow, padded] = [cols / BLOCK, stride(cols) / BLOCK];
    const rows = from.length / size / perRow;
    const to = room(rows * padded);
    for (let row = 0, at = 0; row < rows; row++)
      for (let block = row * padded; block < row * padded + perRow; block++, at += size)
        put(to, block, from, at);
    return to;
  };

export const F16_MOST = 65504;

/** Index of the first value that is past `most`, or no number; or -1. */
export function firstPast(values: Float32Array, most: number): number {
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i]!) <= most)) return i;
  return -1;
}

/** Values of a row from its codes, and what is beside its blocks. */
export function decodeBlocks(
  code: (index: number) => number,
  scales: ArrayBuffer | undefined,
  cols: number,
  perBlock: 1 | 2,
): Float32Array<ArrayBuffer> {
  const factors = Float32Array.from(new Uint16Array(scales!), f16ToF32);
  return Float32Array.from({ length: cols }, (_, i) => {
    const block = Math.floor(i / BLOCK);
    return perBlock === 1
      ? code(i) * factors[block]!
      : code(i) * factors[2 * block]! + factors[2 * block + 1]!;
  });
}

/** What formats with a scale for each block have in common. */
export const BLOCKED = {
  unit: 8,
  // Few bits are too few for the table that both ends of the model go through.
  table: 'q8',
} as const satisfies Partial<ValueFormat>;
