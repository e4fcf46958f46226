import { ShishuError } from '../errors.ts';
import { f32ArrayToF16, firstF16Overflow } from '../formats/float.ts';
import { stride, type WeightDtype } from '../kernels/tensor.ts';
import { part } from '../part.ts';
import type { PackedRows } from './block-codes.ts';

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

/** The packer of a dtype; those that quantize are fetched when first used. */
export async function packerOf(dtype: WeightDtype): Promise<Packer> {
  if (dtype === 'f32') return (values, cols) => ({ codes: padRows(values, cols), scales: undefined });
  if (dtype === 'f16')
    return (values, cols, tensor) => {
      const padded = padRows(values, cols);
      const over = firstF16Overflow(padded);
      if (over >= 0) refuse(padded, over, tensor, 'f16 cannot hold');
      return { codes: f32ArrayToF16(padded), scales: undefined };
    };
  const { firstNotFinite, quantizers } = await part(() => import('./block-codes.ts'));
  return (values, cols, tensor) => {
    const padded = padRows(values, cols);
    const odd = firstNotFinite(padded);
    if (odd >= 0) refuse(padded, odd, tensor, 'cannot be quantized');
    return quantizers[dtype](padded);
  };
}

function refuse(values: Float32Array, index: number, tensor: string, why: string): never {
  throw new ShishuError('bad-checkpoint', `Tensor "${tensor}" holds ${values[index]}, which ${why}.`, {
    details: { tensor, value: String(values[index]) },
    mend: "Load it with dtype 'f32', or 'auto'.",
  });
}
