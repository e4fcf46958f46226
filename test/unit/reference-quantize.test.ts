import { describe, expect, test } from 'vitest';
import { f16ToF32 } from '../../src/formats/float.ts';
import { packerOf } from '../../src/model/pack.ts';
import { firstPast } from '../../src/quant/format.ts';
import { FORMATS } from '../../src/quant/index.ts';
import { dequantize, quantize, readQ4, roundToF16 } from '../reference/quantize.ts';
import { mulberry32 } from '../support/random.ts';

test('roundToF16 rounds to the nearest, ties to even, down to subnormals', () => {
  expect(roundToF16(1)).toBe(1);
  expect(roundToF16(-0.1)).toBe(-0.0999755859375);
  expect(roundToF16(1 + 2 ** -11)).toBe(1);
  expect(roundToF16(1 + 3 * 2 ** -11)).toBe(1 + 2 ** -9);
  expect(roundToF16(2047.9)).toBe(2048);
  expect(roundToF16(65519)).toBe(65504);
  expect(roundToF16(-65520)).toBe(-Infinity);
  expect(roundToF16(1.4 * 2 ** -24)).toBe(2 ** -24);
  expect(roundToF16(2 ** -25)).toBe(0);
});

test('firstPast finds what cannot be quantized', () => {
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    expect(firstPast(Float32Array.of(0, -2, odd), 2)).toBe(2);
  expect(firstPast(Float32Array.of(0, -2, 2), 2)).toBe(-1);
  expect(firstPast(Float32Array.of(0, -2.5, 2), 2)).toBe(1);
});

describe('q8', () => {
  test('a block takes the scale of its greatest magnitude', () => {
    const { codes, scales, paddedIn } = quantize(Float32Array.from([254, -127, 1, 0.9, 0]), 5);
    expect(paddedIn).toBe(32);
    expect([...scales]).toEqual([2]);
    expect([...codes.subarray(0, 6)]).toEqual([127, -63, 1, 0, 0, 0]);
    expect([...dequantize({ codes, scales, paddedIn }, 5)]).toEqual([254, -126, 2, 0, 0]);
  });
  test('rows of a ragged length have their own blocks, and errors stay under half a scale', () => {
    const random = mulberry32(5);
    const inSize = 41;
    const w = Float32Array.from({ length: 3 * inSize }, () => random() - 0.5);
    const quantized = quantize(w, inSize);
    expect(quantized.paddedIn).toBe(64);
    expect(quantized.codes).toHaveLength(3 * 64);
    expect(quantized.scales).toHaveLength(3 * 2);
    const back = dequantize(quantized, inSize);
    for (let i = 0; i < w.length; i++) {
      const block = Math.floor(i / inSize) * 2 + Math.floor((i % inSize) / 32);
      // f16 scales cost 2^-11 more.
      const limit = 0.5 * Math.abs(quantized.scales[block]!) + Math.abs(w[i]!) * 2 ** -10;
      expect(Math.abs(back[i]! - w[i]!)).toBeLessThanOrEqual(limit);
    }
  });
  test('a value whose scale f16 cannot hold is refused', () => {
    const w = new Float32Array(64);
    for (const value of [1e30, -127 * 65536, Number.NaN, Number.POSITIVE_INFINITY]) {
      w[7] = value;
      expect(() => packerOf('q8')(w, 64, 'some.weight')).toThrow(/some\.weight.*q8 cannot hold/);
    }
    w[7] = -127 * 65504;
    const { codes, scales } = packerOf('q8')(w, 64, 'test');
    expect(FORMATS.q8.decode(codes.buffer, scales!.buffer, 64)[7]).toBe(-127 * 65504);
  });
  test('a block of zeros stays zeros', () => {
    expect([...dequantize(quantize(new Float32Array(32), 32), 32)]).toEqual(new Array(32).fill(0));
  });
  test('the engine packs what this says, and its decoder reads it', () => {
    const random = mulberry32(11);
    const cols = 96;
    const w = Float32Array.from({ length: 20 * cols }, () => (2 * random() - 1) * random() ** 2);
    w.fill(0, 32, 64);
    const { codes, scales } = packerOf('q8')(w, cols, 'test');
    const expected = quantize(w, cols);
    // Rows are padded to an even number of blocks.
    const bytes = new Uint8Array(codes.buffer);
    const said = dequantize(expected, cols);
    for (let r = 0; r < 20; r++) {
      const row = bytes.slice(r * 128, (r + 1) * 128);
      const decoded = FORMATS.q8.decode(row.buffer, scales!.slice(4 * r, 4 * r + 4).buffer, cols);
      expect(decoded.map((value) => value + 0)).toEqual(
        said.subarray(r * cols, (r + 1) * cols).map((value) => value + 0),
      );
      for (let b = 0; b < 3; b++)
        expect(f16ToF32(scales![4 * r + b]!) + 0).toBe(expected.scales[3 * r + b]! + 0);
      // Codes are kept with 128 added.
      expect([...row.subarray(0, cols)].map((byte) => byte - 128)).toEqual([
        ...expected.codes.subarray(r * cols, (r + 1) * cols),
      ]);
      expect([...row.subarray(cols)]).toEqual(Array(32).fill(128));
    }
  });
});

describe('q4', () => {
  const { encode, decode } = FORMATS.q4;
  /** Rows of values as they are read back, without their padding; the engine's decoder and the reference agree on them. */
  const kept = (w: Float32Array<ArrayBuffer>, cols: number): Float32Array => {
    const { codes, scales } = packerOf('q4')(w, cols, 'test');
    const values = readQ4(codes as Uint8Array, scales!);
    expect(decode(codes.buffer, scales!.buffer, values.length)).toEqual(values);
    const padded = (values.length * cols) / w.length;
    return w.map((_, i) => values[Math.floor(i / cols) * padded + (i % cols)]!);
  };
  const squared = (found: Float32Array, w: Float32Array): number =>
    found.reduce((sum, value, i) => sum + (value - w[i]!) ** 2, 0) / w.reduce((sum, v) => sum + v * v, 0);
  const normal = (random: () => number): number =>
    Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

  test('what was kept in four bits before stays as it is: any scale and minimum of 32 values', () => {
    const random = mulberry32(3);
    const w = new Float32Array(64 * 64);
    for (let block = 0; block < w.length; block += 32) {
      const scale = roundToF16(0.001 + random());
      const least = roundToF16(20 * random() - 15);
      for (let i = 0; i < 32; i++) {
        const code = i < 2 ? 15 * i : Math.floor(16 * random());
        w[block + i] = Math.fround(scale * code) + least;
      }
    }
    expect(kept(w, 64)).toEqual(w);
  });
  test('others lose less than with one scale for 32, in the same code bits', () => {
    const random = mulberry32(9);
    const w = Float32Array.from({ length: 64 * 128 }, () => 0.05 * normal(random));
    const plain = w.slice();
    for (let at = 0; at < w.length; at += 32) {
      const top = w.subarray(at, at + 32).reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
      for (let i = at; i < at + 32; i++)
        plain[i] = Math.min(7, Math.max(-8, Math.round((-8 * w[i]!) / top))) * (top / -8);
    }
    expect(squared(plain, w)).toBeGreaterThan(0.007);
    expect(squared(kept(w, 128), w)).toBeLessThan(0.004);
  });
  test.each([
    ['tiny', 1e-6, 0],
    ['large', 900, 0],
    ['all above zero', 0.02, 0.3],
    ['all below zero', 0.02, -0.3],
    ['the same', 0, 0.7],
    ['zero', 0, 0],
    ['half zero', 0.02, 0, (i: number) => (i % 32 < 16 ? 0 : 1)],
  ])('blocks whose values are %s', (_, spread, middle, times: (i: number) => number = () => 1) => {
    const random = mulberry32(5);
    const w = Float32Array.from(
      { length: 64 * 41 },
      (_, i) => times(i % 41) * (middle + spread * normal(random)),
    );
    const found = kept(w, 41);
    const largest = w.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    // Half a step, some of what is clipped, and what f16 rounds.
    for (const [i, value] of w.entries())
      expect(Math.abs(found[i]! - value)).toBeLessThanOrEqual(spread + 2 ** -11 * largest);
    expect(squared(found, w) || 0).toBeLessThan(0.01);
  });
  test('columns of small weights, and those with a single large one, are kept truer: they have the largest inputs', () => {
    const random = mulberry32(7);
    const [rows, cols] = [64, 64];
    const [small, peaked] = [5, 40];
    const w = Float32Array.from({ length: rows * cols }, (_, i) => {
      const [row, column] = [Math.floor(i / cols), i % cols];
      if (column === peaked && row === 3) return 2;
      return (column === small ? 0.005 : 0.05) * normal(random);
    });
    const errors = (found: Float32Array, column: number): number => {
      let sum = 0;
      for (let row = 0; row < rows; row++)
        if (row !== 3) sum += (found[row * cols + column]! - w[row * cols + column]!) ** 2;
      return sum;
    };
    const together = kept(w, cols);
    // Of few rows columns tell nothing.
    const apart = new Float32Array(w.length);
    for (let row = 0; row < rows; row++)
      apart.set(kept(w.slice(row * cols, (row + 1) * cols), cols), row * cols);
    for (const column of [small, peaked])
      expect(errors(together, column)).toBeLessThan(0.5 * errors(apart, column));
  });
  test('a value that no minimum in f16 reaches is refused', () => {
    const w = new Float32Array(64);
    for (const value of [65505, -65505, Number.NaN, Number.NEGATIVE_INFINITY]) {
      w[7] = value;
      expect(() => packerOf('q4')(w, 64, 'some.weight')).toThrow(/some\.weight.*q4 cannot hold/);
    }
    w[7] = -65504;
    expect(kept(w, 64)[7]).toBeCloseTo(-65504, -3);
  });
  test('a minimum that fits best may be past f16: the least that f16 has takes its place', () => {
    const random = mulberry32(13);
    const w = Float32Array.from({ length: 64 * 64 }, () => {
      const sign = random() < 0.5 ? 1 : -1;
      return 65504 * sign * (random() < 0.5 ? 1 : random());
    });
    expect(squared(kept(w, 64), w)).toBeLessThan(0.004);
  });
  test('padding is kept as zeros where it fills a block', () => {
    const { codes, scales } = encode(new Float32Array(64).fill(0.3, 0, 32), 64);
    expect([...readQ4(codes as Uint8Array, scales!).subarray(32)]).toEqual(Array(32).fill(0));
  });
});
