import { describe, expect, test } from 'vitest';
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
  test('the greatest magnitude becomes -8 by the sign of the scale', () => {
    const { codes, scales, paddedIn } = quantize(Float32Array.from([16, -16, 3, -14]), 4, 'q4');
    expect([...scales]).toEqual([-2]);
    // -16 would be code 8, which does not exist.
    expect([...codes.subarray(0, 5)]).toEqual([-8, 7, -1, 7, 0]);
    expect([...dequantize({ codes, scales, paddedIn }, 4)]).toEqual([16, -14, 2, -14]);
  });
});

describe.each(['q8', 'q4'] as const)('%s', (format) => {
  test('rows of a ragged length have their own blocks, and errors stay under half a scale', () => {
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
      // q4 has no code 8: the far end of its range may be a whole scale off. f16 scales cost 2^-11 more.
      const limit = (format === 'q8' ? 0.5 : 1) * scale + Math.abs(w[i]!) * 2 ** -10;
      expect(Math.abs(back[i]! - w[i]!)).toBeLessThanOrEqual(limit);
    }
  });
  test('a block of zeros stays zeros', () => {
    expect([...dequantize(quantize(new Float32Array(32), 32, format), 32)]).toEqual(new Array(32).fill(0));
  });
});
