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

/** Codes of a block, `floor(w / unit + 1/2)` kept in range. */
const codesOf = (block: Float32Array, unit: number, format: 'q8' | 'q4'): number[] =>
  Array.from(block, (w) => {
    const code = Math.floor(w * (1 / unit) + 0.5);
    return format === 'q8' ? Math.min(Math.max(code, -127), 127) : Math.min(Math.max(code, -8), 7);
  });

/**
 * The scale of a q4 block before its rounding to f16: the least-squares one for the codes of each of six candidates, where
 * the value of greatest magnitude stands at -8.8, -8.4, ... -6.8; of these the one that leaves the least error.
 */
function scaleOfQ4(block: Float32Array): number {
  const top = extreme(block);
  const fits = [-8.8, -8.4, -8, -7.6, -7.2, -6.8].map((place) => {
    const codes = codesOf(block, top / place, 'q4');
    const scale =
      codes.reduce((sum, code, i) => sum + code * block[i]!, 0) /
      codes.reduce((sum, code) => sum + code * code, 0);
    return { scale, error: codes.reduce((sum, code, i) => sum + (block[i]! - scale * code) ** 2, 0) };
  });
  return fits.reduce((best, fit) => (fit.error < best.error ? fit : best)).scale;
}

/**
 * Symmetric quantization, `w = code * scale`. q8: scale = max|w| / 127. q4: see `scaleOfQ4`; it may be negative, so that the
 * value of greatest magnitude is on the side of the codes that reaches -8. Scales are rounded to f16 first, codes are the
 * nearest in range; a block whose scale is 0 has codes 0.
 */
export function quantize(w: Float32Array, inSize: number, format: 'q8' | 'q4'): Quantized {
  const rows = w.length / inSize;
  const blocks = Math.ceil(inSize / BLOCK);
  const paddedIn = blocks * BLOCK;
  const codes = new Int8Array(rows * paddedIn);
  const scales = new Float32Array(rows * blocks);
  for (let r = 0; r < rows; r++)
    for (let b = 0; b < blocks; b++) {
      const block = w.subarray(r * inSize + b * BLOCK, r * inSize + Math.min((b + 1) * BLOCK, inSize));
      const top = extreme(block);
      if (top === 0) continue;
      const scale = roundToF16(format === 'q8' ? Math.abs(top) / 127 : scaleOfQ4(block));
      if (scale === 0) continue;
      scales[r * blocks + b] = scale;
      codes.set(codesOf(block, scale, format), r * paddedIn + b * BLOCK);
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
