export const BLOCK = 32;

/** A matrix `(out, in)` in blocks of 32 along the input, the last block of a row padded with zeros. */
export interface Quantized {
  /** Row-major `(out, paddedIn)`: -127..127. */
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
 * Symmetric quantization to q8, `w = code * scale`, scale = max|w| / 127. Scales are rounded to f16 first, codes are the nearest
 * in range; a block whose scale is 0 has codes 0.
 */
export function quantize(w: Float32Array, inSize: number): Quantized {
  const rows = w.length / inSize;
  const blocks = Math.ceil(inSize / BLOCK);
  const paddedIn = blocks * BLOCK;
  const codes = new Int8Array(rows * paddedIn);
  const scales = new Float32Array(rows * blocks);
  for (let r = 0; r < rows; r++)
    for (let b = 0; b < blocks; b++) {
      const block = w.subarray(r * inSize + b * BLOCK, r * inSize + Math.min((b + 1) * BLOCK, inSize));
      const scale = roundToF16(Math.abs(extreme(block)) / 127);
      if (scale === 0) continue;
      scales[r * blocks + b] = scale;
      const nearest = Array.from(block, (value) => Math.floor(value * (1 / scale) + 0.5));
      codes.set(
        nearest.map((code) => Math.min(Math.max(code, -127), 127)),
        r * paddedIn + b * BLOCK,
      );
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

/** A f16 by its bits. */
function halfOf(bits: number): number {
  const exponent = Math.floor(bits / 1024) % 32;
  const fraction = (bits % 1024) / 1024;
  const size = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
  return bits < 32768 ? size : -size;
}

/**
 * Values of q4 blocks of 32. Of codes two lie in a byte, the first in the low half. Beside a block are 32 bits: a f16 scale
 * without a sign, then a f16 minimum; or, with the sign, its low and its high half tell of 16 values each: in bits 0 to 3 the
 * fraction of a scale, in 4 to 7 its exponent from -14 up, in 8 to 14 eighths of the code that is zero.
 */
export function readQ4(codes: Uint8Array, beside: Uint16Array): Float32Array {
  return Float32Array.from({ length: 2 * codes.length }, (_, i) => {
    const byte = codes[Math.floor(i / 2)]!;
    const code = i % 2 ? Math.floor(byte / 16) : byte % 16;
    const block = Math.floor(i / 32);
    const [first, second] = [beside[2 * block]!, beside[2 * block + 1]!];
    if (first < 32768) return halfOf(first) * code + halfOf(second);
    const own = i % 32 < 16 ? first : second;
    const scale = (1 + (own % 16) / 16) * 2 ** ((Math.floor(own / 16) % 16) - 14);
    return scale * (code - (Math.floor(own / 256) % 128) / 8);
  });
}
