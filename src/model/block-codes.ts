import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import { BLOCK } from '../kernels/tensor.ts';

/** Rows as the GPU keeps them. */
export interface PackedRows {
  /** `(rows, stride(cols))` in the dtype. */
  codes: ArrayBufferView<ArrayBuffer>;
  /** `(rows, stride(cols) / 32)` f16 bits, for q8 and q4. */
  scales: Uint16Array<ArrayBuffer> | undefined;
}

/** Index of the first value that is no finite number, or -1. */
export function firstNotFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i]!) < Number.POSITIVE_INFINITY)) return i;
  return -1;
}

/** The value of greatest magnitude, with its sign; the first of equals. */
function extremeOf(values: Float32Array, at: number): number {
  let extreme = 0;
  for (let i = at; i < at + BLOCK; i++) if (Math.abs(values[i]!) > Math.abs(extreme)) extreme = values[i]!;
  return extreme;
}

/** Symmetric, in blocks of 32 along the input: code = round(w / scale), scale = |w|max / 127 as f16. */
function quantize8(values: Float32Array): PackedRows {
  const scales = new Uint16Array(values.length / BLOCK);
  const codes = new Int8Array(values.length);
  for (let block = 0; block < scales.length; block++) {
    const at = block * BLOCK;
    const half = f32ToF16(Math.abs(extremeOf(values, at)) / 127);
    scales[block] = half;
    const scale = f16ToF32(half);
    const inverse = scale === 0 ? 0 : 1 / scale;
    // Cutting off the fraction of what is not negative rounds, and takes a third of the time of Math.round.
    for (let i = at; i < at + BLOCK; i++)
      codes[i] = Math.max(0, Math.min(254, (values[i]! * inverse + 127.5) | 0)) - 127;
  }
  return { codes, scales };
}

/** What the value of greatest magnitude may be in units of the scale: past -8 it is clipped, for the sake of the others. */
const EXTREMES = [-8.8, -8.4, -8, -7.6, -7.2, -6.8];

/**
 * The scale of least squared error among those that the codes of each candidate ask for. With codes c of values w it is
 * sum(wc) / sum(cc), and the squared error sum(ww) - sum(wc)^2 / sum(cc).
 */
function scale4(values: Float32Array, at: number): number {
  const extreme = extremeOf(values, at);
  let scale = 0;
  let best = 0;
  if (extreme === 0) return 0;
  for (const units of EXTREMES) {
    const inverse = units / extreme;
    let wc = 0;
    let cc = 0;
    for (let i = at; i < at + BLOCK; i++) {
      const w = values[i]!;
      // Never below -0.3 + 8, so that cutting off the fraction rounds.
      const code = Math.min(15, (w * inverse + 8.5) | 0) - 8;
      wc += w * code;
      cc += code * code;
    }
    const explained = (wc * wc) / cc;
    if (explained <= best) continue;
    best = explained;
    scale = wc / cc;
  }
  return scale;
}

/** As `quantize8`, with codes -8..7 (kept as 0..15, two a byte) and the scale of `scale4`, whose sign may be either. */
function quantize4(values: Float32Array): PackedRows {
  const scales = new Uint16Array(values.length / BLOCK);
  const codes = new Uint8Array(values.length / 2);
  for (let block = 0; block < scales.length; block++) {
    const at = block * BLOCK;
    const half = f32ToF16(scale4(values, at));
    scales[block] = half;
    const scale = f16ToF32(half);
    const inverse = scale === 0 ? 0 : 1 / scale;
    const code = (i: number): number => Math.max(0, Math.min(15, (values[i]! * inverse + 8.5) | 0));
    for (let i = at; i < at + BLOCK; i += 2) codes[i / 2] = code(i) | (code(i + 1) << 4);
  }
  return { codes, scales };
}

/** Codes and scales of padded rows `(rows, stride(cols))`, all finite. */
export const quantizers = { q8: quantize8, q4: quantize4 };
