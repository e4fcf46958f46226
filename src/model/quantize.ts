import { ShishuError } from '../errors.ts';
import { f16ToF32, f32ArrayToF16, f32ToF16, firstF16Overflow } from '../formats/float.ts';
import { BLOCK, stride, type WeightDtype } from '../kernels/tensor.ts';

/** Rows as the GPU keeps them. */
export interface PackedRows {
  /** `(rows, stride(cols))` in the dtype. */
  codes: ArrayBufferView<ArrayBuffer>;
  /** `(rows, stride(cols) / 32)` f16 bits, for q8 and q4. */
  scales: Uint16Array<ArrayBuffer> | undefined;
}

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
 * Symmetric quantization in blocks of 32 along the input: code = round(w / scale), scale an f16. q8: |w|max / 127; q4: the
 * value of largest magnitude / -8, so that codes -8..7 reach it.
 */
function quantize(values: Float32Array, bits: 8 | 4): PackedRows {
  const blocks = values.length / BLOCK;
  const scales = new Uint16Array(blocks);
  const codes = bits === 8 ? new Int8Array(values.length) : new Uint8Array(values.length / 2);
  for (let block = 0; block < blocks; block++) {
    const at = block * BLOCK;
    let extreme = 0;
    for (let i = at; i < at + BLOCK; i++) if (Math.abs(values[i]!) > Math.abs(extreme)) extreme = values[i]!;
    const half = f32ToF16(bits === 8 ? Math.abs(extreme) / 127 : extreme / -8);
    scales[block] = half;
    const scale = f16ToF32(half);
    const inverse = scale === 0 ? 0 : 1 / scale;
    if (bits === 8) {
      for (let i = at; i < at + BLOCK; i++)
        codes[i] = Math.max(-127, Math.min(127, Math.round(values[i]! * inverse)));
    } else {
      const code = (i: number): number => Math.max(0, Math.min(15, Math.round(values[i]! * inverse) + 8));
      for (let i = at; i < at + BLOCK; i += 2) codes[i / 2] = code(i) | (code(i + 1) << 4);
    }
  }
  return { codes, scales };
}

/**
 * Rows `(rows, cols)` f32 in the dtype of the GPU.
 * @param tensor named in errors
 * @throws ShishuError `bad-checkpoint` when f16 cannot hold a value, or a value to quantize is not finite.
 */
export function packRows(
  values: Float32Array<ArrayBuffer>,
  cols: number,
  dtype: WeightDtype,
  tensor: string,
): PackedRows {
  const padded = padRows(values, cols);
  if (dtype === 'f32') return { codes: padded, scales: undefined };
  const refuse = (index: number, why: string): never => {
    throw new ShishuError('bad-checkpoint', `Tensor "${tensor}" holds ${padded[index]}, which ${why}.`, {
      details: { tensor, value: String(padded[index]) },
      mend: "Load it with dtype 'f32'.",
    });
  };
  if (dtype === 'f16') {
    const over = firstF16Overflow(padded);
    if (over >= 0) refuse(over, 'f16 cannot hold');
    return { codes: f32ArrayToF16(padded), scales: undefined };
  }
  const odd = padded.findIndex((value) => !Number.isFinite(value));
  if (odd >= 0) refuse(odd, 'cannot be quantized');
  return quantize(padded, dtype === 'q8' ? 8 : 4);
}
