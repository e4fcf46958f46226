import { ShishuError } from '../errors.ts';
import { type PackedRows, stride } from '../quant/format.ts';
import { FORMATS, type WeightDtype } from '../quant/index.ts';

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
 * @throws ShishuError `bad-checkpoint` when f16 cannot hold a value, or a value to quantize is not finite.
 */
export type Packer = (values: Float32Array<ArrayBuffer>, cols: number, tensor: string) => PackedRows;

/** The packer of a dtype. */
export function packerOf(dtype: WeightDtype): Packer {
  const format = FORMATS[dtype];
  return (values, cols, tensor) => {
    const padded = padRows(values, cols);
    const refused = format.firstRefused(padded);
    if (refused >= 0) refuse(padded, refused, tensor, format.refusal);
    return format.encode(padded, stride(cols));
  };
}

function refuse(values: Float32Array, index: number, tensor: string, why: string): never {
  throw new ShishuError('bad-checkpoint', `Tensor "${tensor}" holds ${values[index]}, which ${why}.`, {
    details: { tensor, value: String(values[index]) },
    mend: "Load it with dtype 'f32', or 'auto'.",
  });
}
