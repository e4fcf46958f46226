import { describe, expect, test } from 'vitest';
import { cheapestPairs, neighboursOf, type PairCost } from '../../src/convert/pairs.ts';
import { mulberry32 } from '../support/random.ts';

test('neighbours are those among the layers that follow each other', () => {
  expect(neighboursOf([1, 2, 3, 5, 8, 9])).toEqual([
    [1, 2],
    [2, 3],
    [8, 9],
  ]);
  expect(neighboursOf([])).toEqual([]);
});

describe('the cheapest pairs', () => {
  const costs = (...nats: number[]): PairCost[] =>
    nats.map((each, layer) => ({ layers: [layer, layer + 1], nats: each }));
  const firsts = (pairs: readonly PairCost[]): number[] => pairs.map(({ layers }) => layers[0]);

  test('have no block in common: a cheap one in the middle may cost its neighbours more', () => {
    expect(firsts(cheapestPairs(costs(0.3, 0.1, 0.3), 1))).toEqual([1]);
    expect(firsts(cheapestPairs(costs(0.3, 0.1, 0.3), 2))).toEqual([0, 2]);
    expect(firsts(cheapestPairs(costs(0.1, 0.2, 9, 0.1), 2))).toEqual([0, 3]);
    expect(cheapestPairs(costs(0.1, 0.2), 2)).toEqual([]);
    expect(cheapestPairs(costs(0.1), 0)).toEqual([]);
  });

  test('are those of all sets that cost least', () => {
    const random = mulberry32(4);
    for (let round = 0; round < 50; round++) {
      const all = costs(...Array.from({ length: 7 }, () => random() - 0.2)).filter(() => random() < 0.8);
      for (let count = 1; count <= 3; count++) {
        const sets = Array.from({ length: 1 << all.length }, (_, bits) =>
          all.filter((_, i) => bits & (1 << i)),
        ).filter(
          (set) =>
            set.length === count && new Set(set.flatMap(({ layers }) => layers)).size === 2 * set.length,
        );
        const sum = (set: readonly PairCost[]): number => set.reduce((total, { nats }) => total + nats, 0);
        const found = cheapestPairs(all, count);
        if (sets.length === 0) expect(found).toEqual([]);
        else expect(sum(found)).toBeCloseTo(Math.min(...sets.map(sum)), 10);
      }
    }
  });
});
