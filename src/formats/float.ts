/** Conversions between f32 and the 16-bit floats, by bits: IEEE binary16 (f16) and bfloat16. */

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

const bitsOf = (x: number): number => {
  f32[0] = x;
  return u32[0]!;
};

/** f16 bits to the nearest f32, which is exact. */
export function f16ToF32(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** f32 to f16 bits: nearest, ties to even; 65520 and above become infinity. */
export function f32ToF16(x: number): number {
  return narrowF16(bitsOf(x));
}

/** bf16 bits to f32, which is exact. */
export function bf16ToF32(half: number): number {
  u32[0] = half << 16;
  return f32[0]!;
}

/** f32 to bf16 bits: nearest, ties to even; the largest f32 become infinity. */
export function f32ToBf16(x: number): number {
  return narrowBf16(bitsOf(x));
}

function narrowF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size >= 0x47800000) {
    const nan = size > 0x7f800000 ? 0x200 | ((size >>> 13) & 0x3ff) : 0;
    return sign | 0x7c00 | nan;
  }
  if (size < 0x38800000) {
    // Below 2^-14 the result is subnormal: adding 0.5 lets f32's own rounding drop the right bits.
    u32[0] = size;
    f32[0] = f32[0]! + 0.5;
    return sign | (u32[0]! - 0x3f000000);
  }
  return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
}

function narrowBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

let f16Table: Float32Array | undefined;

/** `(n)` f16 bits to `(n)` f32, by a table of all 65,536 values. */
export function f16ArrayToF32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(halves.length);
  f16Table ??= Float32Array.from({ length: 65536 }, (_, half) => f16ToF32(half));
  const table = f16Table;
  for (let i = 0; i < halves.length; i++) out[i] = table[halves[i]!]!;
  return out;
}

/** `(n)` bf16 bits to `(n)` f32. */
export function bf16ArrayToF32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return out;
}

/** `(n)` f32 to `(n)` f16 bits. */
export function f32ArrayToF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) out[i] = narrowF16(bits[i]!);
  return out;
}

/** `(n)` f32 to `(n)` bf16 bits. */
export function f32ArrayToBf16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const out = new Uint16Array(values.length);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) out[i] = narrowBf16(bits[i]!);
  return out;
}

/** Index of the first finite value that f16 cannot hold (it would become infinity), or -1. */
export function firstF16Overflow(values: Float32Array): number {
  // A callback for each of millions of values takes several times as long.
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]!);
    if (size >= 65520 && size < Number.POSITIVE_INFINITY) return i;
  }
  return -1;
}

/** Little-endian bytes of a stored tensor to f32; a view without a copy where alignment allows it. */
export function bytesToF32(
  bytes: Uint8Array<ArrayBuffer>,
  dtype: 'F32' | 'F16' | 'BF16',
): Float32Array<ArrayBuffer> {
  const size = dtype === 'F32' ? 4 : 2;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, byteLength / 4);
  const halves = new Uint16Array(buffer, byteOffset, byteLength / 2);
  return dtype === 'F16' ? f16ArrayToF32(halves) : bf16ArrayToF32(halves);
}
