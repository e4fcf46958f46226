import { describe, expect, test } from 'vitest';
import { f16ToF32 } from '../../src/formats/float.ts';
import { packerOf } from '../../src/model/pack.ts';
import { firstNotFinite } from '../../src/quant/format.ts';
import { FORMATS } from '../../src/quant/index.ts';
import { dequantize, quantize, roundToF16 } from '../reference/quantize.ts';
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

test('firstNotFinite finds what cannot be quantized', () => {
  for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    expect(firstNotFinite(Float32Array.of(0, -3e38, odd))).toBe(2);
  expect(firstNotFinite(Float32Array.of(0, -3e38, 3e38))).toBe(-1);
});

describe('q8', () => {
  test('a block takes the scale of its greatest magnitude', () => {
    const { codes, scales, paddedIn } = quantize(Float32Array.from([254, -127, 1, 0.9, 0]), 5, 'q8');
    expect(paddedIn).toBe(32);
    expect([...scales]).toEqual([2]);
    expect([...codes.subarray(0, 6)]).toEqual([127, -63, 1, 0, 0, 0]);
    expect([...dequantize({ codes, scales, paddedIn }, 5)]).toEqual([254, -126, 2, 0, 0]);
  });
});

describe('q4', () => {
  test('what sixteen steps reach is kept as it is, on either side of zero', () => {
    for (const step of [2, -0.25]) {
      const w = Float32Array.from({ length: 32 }, (_, i) => step * ((i % 16) - 8));
      const quantized = quantize(w, 32, 'q4');
      expect([...quantized.scales]).toEqual([step]);
      expect([...dequantize(quantized, 32)]).toEqual([...w]);
    }
  });
  test('a lone large value is clipped where that serves the others', () => {
    const w = Float32Array.from([-8.6, ...new Array(31).fill(1)]);
    const { codes, scales } = quantize(w, 32, 'q4');
    expect(codes[0]).toBe(-8);
    expect(codes[1]).toBe(1);
    expect(scales[0]).toBeGreaterThan(1);
    expect(scales[0]).toBeLessThan(8.6 / 8);
  });
  test('no block is worse off than with its largest value at -8', () => {
    const random = mulberry32(9);
    for (let round = 0; round < 200; round++) {
      // From flat to peaked.
      const w = Float32Array.from({ length: 32 }, () => (2 * random() - 1) * random() ** (round % 4));
      const top = w.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
      const plain = w.map((value) => Math.min(Math.max(Math.round((-8 * value) / top), -8), 7) * (top / -8));
      const error = (found: Float32Array): number =>
        found.reduce((sum, value, i) => sum + (value - w[i]!) ** 2, 0);
      expect(error(dequantize(quantize(w, 32, 'q4'), 32))).toBeLessThan(1.001 * error(plain));
    }
  });
});

describe.each(['q8', 'q4'] as const)('%s', (format) => {
  test('rows of a ragged length have their own blocks, and errors stay under half a scale, or two where q4 clips', () => {
    const random = mulberry32(5);
    const inSize = 41;
    const w = Float32Array.from({ length: 3 * inSize }, () => random() - 0.5);
    const quantized = quantize(w, inSize, format);
    expect(quantized.paddedIn).toBe(64);
    expect(quantized.codes).toHaveLength(3 * 64);
    expect(quantized.scales).toHaveLength(3 * 2);
    const back = dequantize(quantized, inSize);
    for (let i = 0; i < w.length; i++) {
      const block = Math.floor(i / inSize) * 2 + Math.floor((i % inSize) / 32);
      const scale = Math.abs(quantized.scales[block]!);
      // f16 scales cost 2^-11 more.
      const limit = (format === 'q8' ? 0.5 : 2) * scale + Math.abs(w[i]!) * 2 ** -10;
      expect(Math.abs(back[i]! - w[i]!)).toBeLessThanOrEqual(limit);
    }
  });
  test('a block of zeros stays zeros', () => {
    expect([...dequantize(quantize(new Float32Array(32), 32, format), 32)]).toEqual(new Array(32).fill(0));
  });
  test('the engine packs what this says, and its decoder reads it', () => {
    const random = mulberry32(11);
    const cols = 96;
    const w = Float32Array.from({ length: 20 * cols }, () => (2 * random() - 1) * random() ** 2);
    w.fill(0, 32, 64);
    const { codes, scales } = packerOf(format)(w, cols, 'test');
    const expected = quantize(w, cols, format);
    // Rows are padded to an even number of blocks.
    const bytes = new Uint8Array(codes.buffer);
    const code = (r: number, c: number): number => {
      const i = r * 128 + c;
      return format === 'q8' ? (bytes[i]! << 24) >> 24 : ((bytes[i >> 1]! >> (4 * (i & 1))) & 15) - 8;
    };
    const said = dequantize(expected, cols);
    for (let r = 0; r < 20; r++) {
      const row = bytes.slice((r * bytes.length) / 20, ((r + 1) * bytes.length) / 20).buffer;
      const { decode, perBlock } = FORMATS[format];
      const decoded = decode(row, scales!.slice(4 * r * perBlock, 4 * (r + 1) * perBlock).buffer, cols);
      expect(decoded.map((value) => value + 0)).toEqual(
        said.subarray(r * cols, (r + 1) * cols).map((value) => value + 0),
      );
      for (let b = 0; b < 3; b++)
        expect(f16ToF32(scales![(4 * r + b) * perBlock]!) + 0).toBe(expected.scales[3 * r + b]! + 0);
      for (let c = 0; c < cols; c++) expect(code(r, c)).toBe(expected.codes[r * cols + c]);
      for (let c = cols; c < 128; c++) expect(code(r, c)).toBe(0);
    }
  });
});
