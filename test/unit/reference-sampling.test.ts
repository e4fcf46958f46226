import { describe, expect, test } from 'vitest';
import { distribution, keep, penalize } from '../reference/sampling.ts';

const logsOf = (...probabilities: number[]): number[] => probabilities.map(Math.log);
const expectClose = (actual: ArrayLike<number>, expected: readonly number[]): void => {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 10);
  });
};

describe('penalties', () => {
  const logits = [2, -2, 4, 0];
  test('repetition divides positive and multiplies negative logits of prompt and reply, once each', () => {
    expectClose(penalize(logits, [0, 0, 1], [1, 3], { repetitionPenalty: 2 }), [1, -4, 4, 0]);
  });
  test('frequency counts, presence does not, and neither looks at the prompt', () => {
    expectClose(penalize(logits, [2], [0, 0, 1], { frequencyPenalty: 0.5 }), [1, -2.5, 4, 0]);
    expectClose(penalize(logits, [2], [0, 0, 1], { presencePenalty: 0.5 }), [1.5, -2.5, 4, 0]);
  });
  test('repetition comes first, bias last', () => {
    const options = {
      repetitionPenalty: 2,
      frequencyPenalty: 3,
      presencePenalty: -1,
      logitBias: { 0: 10, 3: -1 },
    };
    expectClose(penalize(logits, [], [0], options), [2 / 2 - 3 + 1 + 10, -2, 4, -1]);
  });
});

describe('kept set', () => {
  const logits = logsOf(0.1, 0.4, 0.2, 0.2, 0.1);
  test('temperature 0 keeps the lowest id of the greatest', () => {
    expect(keep([1, 3, 3], {})).toEqual({ ids: [1], probabilities: [1] });
  });
  test('with temperature alone everything stays', () => {
    const all = keep(logits, { temperature: 1 });
    expect(all.ids).toEqual([0, 1, 2, 3, 4]);
    expectClose(all.probabilities, [0.1, 0.4, 0.2, 0.2, 0.1]);
    // Temperature 1/2 squares the probabilities.
    expectClose(
      keep(logits, { temperature: 0.5 }).probabilities,
      [0.01, 0.16, 0.04, 0.04, 0.01].map((p) => p / 0.26),
    );
  });
  test('top-k keeps what equals the kth', () => {
    const kept = keep(logits, { temperature: 1, topK: 2 });
    expect(kept.ids).toEqual([1, 2, 3]);
    expectClose(kept.probabilities, [0.5, 0.25, 0.25]);
    expect(keep(logits, { temperature: 1, topK: 9 }).ids).toHaveLength(5);
  });
  test('top-p keeps the smallest set that reaches it, and what equals its least', () => {
    expect(keep(logits, { temperature: 1, topP: 0.39 }).ids).toEqual([1]);
    expect(keep(logits, { temperature: 1, topP: 0.5 }).ids).toEqual([1, 2, 3]);
    expect(keep(logits, { temperature: 1, topP: 0.85 }).ids).toEqual([0, 1, 2, 3, 4]);
  });
  test('top-p counts over what top-k left', () => {
    // After top-k: 0.5, 0.25, 0.25. Of everything, 0.45 would take two steps.
    expect(keep(logits, { temperature: 1, topK: 2, topP: 0.45 }).ids).toEqual([1]);
  });
  test('min-p cuts below a share of the greatest', () => {
    expect(keep(logits, { temperature: 1, minP: 0.3 }).ids).toEqual([1, 2, 3]);
    expect(keep(logits, { temperature: 1, minP: 0.2 }).ids).toEqual([0, 1, 2, 3, 4]);
    expect(keep(logits, { temperature: 1, minP: 1 }).ids).toEqual([1]);
  });
  test('temperature comes before top-p and min-p', () => {
    // Squared: 0.04, 0.62, 0.15, 0.15, 0.04.
    expect(keep(logits, { temperature: 0.5, topP: 0.6 }).ids).toEqual([1]);
    expect(keep(logits, { temperature: 0.5, minP: 0.3 }).ids).toEqual([1]);
  });
  test('penalties come before the cuts', () => {
    const kept = distribution([3, 2, 1], [], [0], { temperature: 1, topK: 1, presencePenalty: 1.5 });
    expect(kept).toEqual({ ids: [1], probabilities: [1] });
  });
});
