import { ShishuError } from '../errors.ts';
import { f16ToF32 } from '../formats/float.ts';
import type { BlockType } from '../formats/gguf/types.ts';
import { TYPES } from '../formats/gguf/types.ts';
import { F16_MOST, type PackedRows, type Repack, stride, type WeightFormat } from '../quant/format.ts';
import { FORMATS, VALUE_FORMATS, type ValueDtype, type WeightDtype } from '../quant/index.ts';

/** Widens rows `(rows, cols)` to `(rows, stride(cols))`, zeros between. */
export function padRows(values: Float32Array<ArrayBuffer>, cols: number): Float32Array<ArrayBuffer> {
  const padded = stride(cols);
  if (padded === cols) return values;
  const rows = values.length / cols;
  const out = new Float32Array(rows * padded);
  for (let r = 0; r < rows; r++) out.set(values.subarray(r * cols, (r + 1) * cols), r * padded);
  return out;
}

/**
 * Makes rows `(rows, cols)` f32 what the GPU keeps; `tensor` is named in errors.
 * @throws ShishuError `bad-checkpoint` when the dtype cannot hold a value.
 */
export type Packer = (values: Float32Array<ArrayBuffer>, cols: number, tensor: string) => PackedRows;

/** The packer of a dtype. */
export function packerOf(dtype: ValueDtype): Packer {
  const format = VALUE_FORMATS[dtype];
  return (values, cols, tensor) => {
    const padded = padRows(values, cols);
    const refused = format.firstRefused(padded);
    if (refused >= 0) refuse(padded, refused, tensor, format.refusal);
    return format.encode(padded, stride(cols));
  };
}

const DAMAGED = 'The file may be damaged: fetch it again.';

/** The dtypes that hold GGUF's blocks of a type as they are. */
const KEPT = new Map<BlockType, WeightDtype>(
  (Object.keys(FORMATS) as WeightDtype[]).flatMap((dtype) =>
    Object.keys(formatOf(dtype).blocks ?? {}).map((type) => [type as BlockType, dtype] as const),
  ),
);

function formatOf(dtype: WeightDtype): WeightFormat {
  return FORMATS[dtype];
}

/** The dtype that holds blocks of a type as they are, where there is one. */
export const dtypeOfBlocks = (type: BlockType): WeightDtype | undefined => KEPT.get(type);

/**
 * Makes blocks of whole rows `(rows, cols)` what the GPU keeps: the same codes and scales.
 * @throws ShishuError `bad-checkpoint` when a scale is not finite
 */
export function packBlocks(
  type: BlockType,
  blocks: Uint8Array<ArrayBuffer>,
  cols: number,
  tensor: string,
): ReturnType<Repack['repack']> {
  const { halves, most = F16_MOST, repack } = formatOf(KEPT.get(type)!).blocks![type]!;
  const { bytes } = TYPES[type];
  for (const half of halves)
    for (let at = half; at < blocks.length; at += bytes) {
      // Of most the exponent alone tells: those below 4096 are kept in all types.
      if ((blocks[at + 1]! & 0x7c) < 0x6c) continue;
      const number = f16ToF32(blocks[at]! | (blocks[at + 1]! << 8));
      if (!(Math.abs(number) <= most)) refuse([number], 0, tensor, 'blocks cannot hold', "'f32'");
    }
  return repack(blocks, cols);
}

function refuse(
  values: ArrayLike<number>,
  index: number,
  tensor: string,
  why: string,
  dtypes = "'f32', or 'auto'",
): never {
  throw new ShishuError('bad-checkpoint', `Tensor "${tensor}" holds ${values[index]}, which ${why}.`, {
    details: { tensor, value: String(values[index]) },
    mend: Number.isFinite(values[index]) ? `Load it with dtype ${dtypes}.` : DAMAGED,
  });
}
