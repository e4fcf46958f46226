import { describe, expect, test } from 'vitest';
import { logSumExp } from '../../src/kernels/math.ts';
import {
  argmax,
  attention,
  embed,
  inverseFrequencies,
  linear,
  logSoftmax,
  rmsNorm,
  rope,
  ropeAngles,
  softmax,
  swiglu,
  topK,
} from '../reference/kernels.ts';

const f32 = (...values: number[]): Float32Array => Float32Array.from(values);
const expectClose = (actual: ArrayLike<number>, expected: readonly number[], digits = 6): void => {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, digits);
  });
};

test('embed copies rows in the order of the ids', () => {
  expect(embed(f32(1, 2, 3, 4, 5, 6), 2, [2, 0, 2])).toEqual(f32(5, 6, 1, 2, 5, 6));
});

test('rmsNorm divides each row by its own root mean square', () => {
  // rms(3, 4) = sqrt(12.5), rms(0, 0) = sqrt(eps).
  const rms = Math.sqrt(12.5);
  expectClose(rmsNorm(f32(3, 4, 0, 0), 2, undefined, 1e-12), [3 / rms, 4 / rms, 0, 0]);
  expectClose(rmsNorm(f32(3, 4), 2, f32(2, -1), 1e-12), [6 / rms, -4 / rms]);
  expectClose(rmsNorm(f32(3, 4), 2, undefined, 12.5), [3 / 5, 4 / 5]);
});

test('linear multiplies by the transpose of (out, in) and adds the bias', () => {
  const x = f32(1, 2, -1, 0);
  const w = f32(1, 10, 2, 20, 3, 30);
  expect(linear(x, w, 2)).toEqual(f32(21, 42, 63, -1, -2, -3));
  expect(linear(x, w, 2, f32(1, 0, -1))).toEqual(f32(22, 42, 62, 0, -2, -4));
});

describe('rotary frequencies', () => {
  test('are powers of theta', () => {
    expectClose(inverseFrequencies(4, 100, { type: 'none' }), [1, 0.1], 12);
  });
  test('linear scaling divides them all', () => {
    expectClose(inverseFrequencies(4, 100, { type: 'linear', factor: 4 }), [0.25, 0.025], 12);
  });
  test('llama3 scaling keeps short wavelengths, divides long ones and blends between', () => {
    // Wavelengths 2 pi * (1, 10, 100) against 100 / 4 = 25 and 100 / 1 = 100: kept, blended, divided.
    const scaling = {
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositions: 100,
    } as const;
    const s = (100 / (20 * Math.PI) - 1) / 3;
    expectClose(inverseFrequencies(6, 1000, scaling), [1, (1 - s) * 0.0125 + s * 0.1, 0.01 / 8], 12);
  });
});

describe('rope', () => {
  const spec = { headDim: 4, rope: { theta: 100, scaling: { type: 'none' } } } as const;
  test('angles are position times frequency', () => {
    expectClose(ropeAngles(spec, [0, 3]), [0, 0, 3, 0.3], 12);
  });
  test('rotates element i with element i + headDim / 2, every head alike', () => {
    const head = [1, 2, 3, 4];
    const rotated = [
      Math.cos(3) - 3 * Math.sin(3),
      2 * Math.cos(0.3) - 4 * Math.sin(0.3),
      3 * Math.cos(3) + Math.sin(3),
      4 * Math.cos(0.3) + 2 * Math.sin(0.3),
    ];
    expectClose(rope(f32(...head, ...head, ...head, ...head), 2, spec, [0, 3]), [
      ...head,
      ...head,
      ...rotated,
      ...rotated,
    ]);
  });
});

describe('attention', () => {
  test('sees positions up to its own and no further', () => {
    const shape = { heads: 1, kvHeads: 1, headDim: 1 };
    // Equal keys: the mean of the values that a row may see. Slot 3 holds what no row may see.
    const v = f32(1, 5, 9, Number.NaN);
    expectClose(attention(f32(1, 1, 1), f32(0, 0, 0, 0), v, [0, 1, 2], shape), [1, 3, 5]);
    expectClose(attention(f32(1), f32(0, 0, 0, 0), v, [1], shape), [3]);
  });
  test('scales scores by 1 / sqrt(headDim)', () => {
    const shape = { heads: 1, kvHeads: 1, headDim: 4 };
    // Scores 0 and 4 / sqrt(4) = 2.
    const out = attention(
      f32(1, 1, 1, 1),
      f32(0, 0, 0, 0, 1, 1, 1, 1),
      f32(1, 0, 0, 0, 0, 1, 0, 0),
      [1],
      shape,
    );
    expectClose(out, [1 / (1 + Math.exp(2)), Math.exp(2) / (1 + Math.exp(2)), 0, 0]);
  });
  test('gives neighbouring query heads one KV head', () => {
    const shape = { heads: 4, kvHeads: 2, headDim: 1 };
    expectClose(attention(f32(1, 1, 1, 1), f32(0, 0), f32(7, 8), [0], shape), [7, 7, 8, 8]);
  });
});

test('swiglu is down(silu(gate) * up), with biases', () => {
  const silu = (a: number): number => a / (1 + Math.exp(-a));
  const weights = { gate: f32(1, 0, 0, 1, 1, 1), up: f32(0, 1, 1, 0, 1, -1), down: f32(1, 2, 3, -1, 0, 1) };
  // gate = (2, -1, 1), up = (-1, 2, 3).
  const hidden = [silu(2) * -1, silu(-1) * 2, silu(1) * 3] as const;
  const out = [hidden[0] + 2 * hidden[1] + 3 * hidden[2], -hidden[0] + hidden[2]] as const;
  expectClose(swiglu(f32(2, -1), 2, weights), [...out]);
  const biased = { ...weights, gateBias: f32(-2, 1, -1), upBias: f32(1, -2, -3), downBias: f32(5, 6) };
  expectClose(swiglu(f32(2, -1), 2, biased), [5, 6]);
  expectClose(swiglu(f32(2, -1, 0, 0), 2, weights), [...out, 0, 0]);
});

test('softmax, logSoftmax and logSumExp stand large logits', () => {
  expect(logSumExp([1000, 1000])).toBeCloseTo(1000 + Math.LN2, 10);
  expectClose(softmax([1000, 1000 + Math.log(3)]), [0.25, 0.75], 10);
  expectClose(logSoftmax([-1000, -1000]), [-Math.LN2, -Math.LN2], 10);
});

test('argmax and topK give the lowest id of equals', () => {
  const row = f32(1, 5, 2, 5, 2);
  expect(argmax(row)).toBe(1);
  expect(topK(row, 3)).toEqual([
    { id: 1, value: 5 },
    { id: 3, value: 5 },
    { id: 2, value: 2 },
  ]);
});
