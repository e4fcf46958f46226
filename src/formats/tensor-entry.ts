// Where a tensor of a checkpoint lies.
import type { BlockType } from './gguf/types.ts';

/** Bits of an element of each dtype of the format. Source: safetensors' `Dtype`. */
export const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  I64: 64,
  U64: 64,
  F64: 64,
  C64: 64,
} as const;

export type StoredDtype = keyof typeof DTYPE_BITS;

/** Where one tensor lies. */
export interface TensorEntry {
  file: string;
  dtype: StoredDtype;
  /** Row-major. */
  shape: readonly number[];
  /** Bytes `[start, end)` of the file. */
  start: number;
  end: number;
  /** Where it is stored in another form than it is read in: its type there, and its bytes. */
  stored?: { type: string; bytes: number };
  /** Its bytes are quantised blocks of this type, which make values of `dtype`. */
  blocks?: BlockType;
}
