import { describe, expect, it } from 'vitest';
import {
  bf16ArrayToF32,
  bf16ToF32,
  bytesToF32,
  f16ArrayToF32,
  f16ToF32,
  f32ArrayToBf16,
  f32ArrayToF16,
  f32ToBf16,
  f32ToF16,
  firstF16Overflow,
} from '../../src/formats/float.ts';
import { mulberry32 } from '../support/random.ts';

const all = Uint16Array.from({ length: 65536 }, (_, i) => i);

/** Nearest of the 16-bit floats by search: the one with the smaller distance, on a tie the even one. */
function nearest(x: number, widen: (half: number) => number, infinity: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  let low = 0;
  let high = infinity;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (widen(middle) <= size) low = middle;
    else high = middle;
  }
  // Infinity counts as the next power of two when distances are taken.
  const top = high === infinity ? widen(infinity - 1) * 2 - widen(infinity - 2) : widen(high);
  const below = size - widen(low);
  const above = top - size;
  if (below !== above) return sign | (below < above ? low : high);
  return sign | (low % 2 === 0 ? low : high);
}

const random = mulberry32(3);
const anyBits = new Float32Array(new Uint32Array([...Array(60_000)].map(() => random() * 2 ** 32)).buffer);
/** Values where rounding is delicate: every f16 and bf16 value, the midpoint above it, and their neighbours. */
const delicate = Float32Array.from(
  [f16ArrayToF32(all), bf16ArrayToF32(all)].flatMap((values, i) =>
    [...values].flatMap((value, half) => {
      if (half % 7 !== 0 || !Number.isFinite(value)) return [];
      const next = i === 0 ? f16ToF32(half + 1) : bf16ToF32(half + 1);
      const middle = Number.isFinite(next) ? (value + next) / 2 : value;
      return [value, middle, middle * (1 + 2 ** -23), middle * (1 - 2 ** -23)];
    }),
  ),
);
const inputs = [...anyBits, ...delicate].filter(Number.isFinite);

describe('f16', () => {
  it('keeps every value that is not NaN through f32 and back', () => {
    const back = f32ArrayToF16(f16ArrayToF32(all));
    const odd = [...all].filter((half) => (half & 0x7fff) <= 0x7c00 && back[half] !== half);
    expect(odd).toEqual([]);
    expect([...all].every((half) => (half & 0x7fff) <= 0x7c00 || Number.isNaN(f16ToF32(back[half]!)))).toBe(
      true,
    );
  });

  it('rounds to the nearest, ties to even, overflow to infinity', () => {
    const odd = inputs.filter((x) => f32ToF16(x) !== nearest(x, f16ToF32, 0x7c00));
    expect(odd).toEqual([]);
    expect([65519, 65520, -1e30, Number.POSITIVE_INFINITY].map(f32ToF16)).toEqual([
      0x7bff, 0x7c00, 0xfc00, 0x7c00,
    ]);
    expect([2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, -0].map(f32ToF16)).toEqual([1, 0, 1, 0x8000]);
    expect(f32ToF16(Number.NaN) & 0x7fff).toBeGreaterThan(0x7c00);
  });

  it('finds the first value that does not fit', () => {
    expect(firstF16Overflow(Float32Array.of(1, -65519, Number.POSITIVE_INFINITY, -65520))).toBe(3);
    expect(firstF16Overflow(Float32Array.of(1, Number.NaN))).toBe(-1);
  });
});

describe('bf16', () => {
  it('keeps every value that is not NaN through f32 and back', () => {
    const back = f32ArrayToBf16(bf16ArrayToF32(all));
    const odd = [...all].filter((half) => (half & 0x7fff) <= 0x7f80 && back[half] !== half);
    expect(odd).toEqual([]);
  });

  it('rounds to the nearest, ties to even, overflow to infinity', () => {
    const odd = inputs.filter((x) => f32ToBf16(x) !== nearest(x, bf16ToF32, 0x7f80));
    expect(odd).toEqual([]);
    expect(f32ToBf16(3.4028234e38)).toBe(0x7f80);
    expect(f32ToBf16(Number.NaN) & 0x7fff).toBeGreaterThan(0x7f80);
  });
});

describe('bulk conversions', () => {
  it('give what the single ones give, and read bytes at any offset', () => {
    const values = Float32Array.from(inputs.slice(0, 5000));
    expect(f32ArrayToF16(values)).toEqual(Uint16Array.from(values, f32ToF16));
    expect(f32ArrayToBf16(values)).toEqual(Uint16Array.from(values, f32ToBf16));
    const halves = all.subarray(0x1111, 0x7000);
    expect(f16ArrayToF32(halves)).toEqual(Float32Array.from(halves, f16ToF32));
    expect(bf16ArrayToF32(halves)).toEqual(Float32Array.from(halves, bf16ToF32));
    const odd = new Uint8Array(9);
    odd.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1);
    expect(bytesToF32(odd.subarray(1), 'F32')).toEqual(Float32Array.of(1.5, -2));
    odd.set(new Uint8Array(Uint16Array.of(0x3e00, 0xc000).buffer), 1);
    expect(bytesToF32(odd.subarray(1, 5), 'F16')).toEqual(Float32Array.of(1.5, -2));
    expect(bytesToF32(new Uint8Array(Uint16Array.of(0x3fc0).buffer), 'BF16')).toEqual(Float32Array.of(1.5));
  });
});
