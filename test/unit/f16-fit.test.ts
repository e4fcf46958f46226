import { describe, expect, test } from 'vitest';
import { bf16ArrayToF32, f16ArrayToF32, f32ArrayToBf16, f32ArrayToF16 } from '../../src/formats/float.ts';
import { F16Fit } from '../../src/model/f16-fit.ts';
import { mulberry32 } from '../support/random.ts';

const misfitsOf = (...runs: number[][]): string[] => {
  const fit = new F16Fit();
  for (const run of runs) fit.add('t', Float32Array.from(run));
  return fit.misfits;
};

describe('f16 does not hold', () => {
  test.each([65520, -65536, 1e30, 3.3e38])('a value of %d, wherever it is', (value) => {
    expect(misfitsOf([1, value])).toEqual(['t']);
    expect(misfitsOf([1], [value], [2])).toEqual(['t']);
  });

  test.each([[2 ** -25], [1e-7, -3e-8], [2 ** -26, 0, 0], [1e-30]])(
    'a tensor of nothing but %d',
    (...tiny) => {
      expect(misfitsOf(tiny)).toEqual(['t']);
    },
  );
});

describe('f16 holds', () => {
  test.each([
    [65504, -65504],
    [65519],
    [0, -0],
    [2 ** -14, 2 ** -24],
    [Number.POSITIVE_INFINITY, Number.NaN],
    // Rows of tokens that were never trained, beside others.
    [0.02, 1e-24, 1e-9],
  ])('%d and %d', (...values) => {
    expect(misfitsOf(values)).toEqual([]);
    // What comes in parts is one tensor.
    expect(misfitsOf(...values.reverse().map((value) => [value]))).toEqual([]);
  });

  test('every bf16 from 2^-17 to 65504 as it is', () => {
    for (let bits = 0; bits < 0x8000; bits++) {
      const [value] = bf16ArrayToF32(Uint16Array.of(bits)) as unknown as [number];
      if (value < 2 ** -17 || value > 65504) continue;
      expect(f16ArrayToF32(f32ArrayToF16(Float32Array.of(value)))[0]).toBe(value);
    }
  });
});

test('what is lost of a tensor that fits is less than bf16 itself rounds', () => {
  const uniform = mulberry32(3);
  for (const spread of [1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7]) {
    const drawn = Float32Array.from({ length: 4096 }, () => spread * (uniform() + uniform() - 1));
    const values = bf16ArrayToF32(f32ArrayToBf16(drawn));
    const kept = f16ArrayToF32(f32ArrayToF16(values));
    const squares = values.reduce((sum, value) => sum + value * value, 0);
    const lost = values.reduce((sum, value, i) => sum + (value - kept[i]!) ** 2, 0);
    const fit = new F16Fit();
    fit.add('t', values);
    expect(fit.misfits.length === 0).toBe(lost <= 2 ** -18 * squares);
    expect(fit.misfits.length === 0).toBe(spread > 3e-5);
  }
});
