export const BLOCK = 32;

/** A matrix `(out, in)` in blocks of 32 along the input, the last block of a row padded with zeros. */
export interface Quantized {
  /** Row-major `(out, paddedIn)`: -127..127 for q8, -8..7 for q4. */
  codes: Int8Array;
  /** Row-major `(out, paddedIn / 32)`: f32 values that f16 holds exactly. */
  scales: Float32Array;
  paddedIn: number;
}

/** The nearest f16 value, ties to the even one; 65520 and above is Infinity. */
export function roundToF16(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  // A f16 has 10 fraction bits and no exponent below -14.
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(value))), -14);
  const unit = 2 ** (exponent - 10);
  const units = value / unit;
  const below = Math.floor(units);
  const rest = units - below;
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
  return Math.abs(rounded * unit) > 65504 ? Math.sign(value) * Infinity : rounded * unit;
}

/** The value of greatest magnitude, with its sign; the first of equals. */
const extreme = (block: Float32Array): number =>
  block.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);

/**
 * Symmetric quantization, `w = code * scale`. q8: scale = max|w| / 127. q4: scale = (the w of greatest magnitude) / -8,
 * so that this one has code -8 and the scale may be negative (as in q4_0). Scales are rounded to f16 first, codes are
 * `Math.round(w / scale)` kept in range; a block whose scale is 0 has codes 0.
 */
export function quantize(w: Float32Array, inSize: number, format: 'q8' | 'q4'): Quantized {
  const rows = w.length / inSize;
  const blocks = Math.ceil(inSize / BLOCK);
  const paddedIn = blocks * BLOCK;
  const codes = new Int8Array(rows * paddedIn);
  const scales = new Float32Array(rows * blocks);
  const [least, greatest] = format === 'q8' ? [-127, 127] : [-8, 7];
  for (let r = 0; r < rows; r++)
    for (let b = 0; b < blocks; b++) {
      const block = w.subarray(r * inSize + b * BLOCK, r * inSize + Math.min((b + 1) * BLOCK, inSize));
      const top = extreme(block);
      const scale = roundToF16(format === 'q8' ? Math.abs(top) / 127 : top / -8);
      if (scale === 0) continue;
      scales[r * blocks + b] = scale;
      block.forEach((value, i) => {
        const code = Math.min(Math.max(Math.round(value / scale), least), greatest);
        codes[r * paddedIn + b * BLOCK + i] = code;
      });
    }
  return { codes, scales, paddedIn };
}

/** The matrix `(out, in)` that the codes stand for. */
export function dequantize({ codes, scales, paddedIn }: Quantized, inSize: number): Float32Array {
  const rows = codes.length / paddedIn;
  const w = new Float32Array(rows * inSize);
  for (let r = 0; r < rows; r++)
    for (let i = 0; i < inSize; i++) {
      const at = r * paddedIn + i;
      w[r * inSize + i] = codes[at]! * scales[Math.floor(at / BLOCK)]!;
    }
  return w;
}
