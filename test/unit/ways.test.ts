import { describe, expect, it } from 'vitest';
import {
  conclude,
  type Measured,
  type WaysCompared,
  type WaysRow,
  waysTable,
} from '../../src/convert/ways.ts';

const measured = (perplexity: number, right?: number): Measured => ({
  perplexity,
  quality: {
    heldOut: { tokens: 200, nats: Math.log(perplexity), perplexity },
    other: { tokens: 100, nats: 1, perplexity: Math.E },
  },
  layers: [2, 3],
  ...(right !== undefined && { answers: { right, questions: 8 } }),
});
const parent = measured(2, 6);
const rows: WaysRow[] = [
  { kept: 3, ways: { dropped: measured(2.2, 5), linear: measured(2.05, 6), healed: measured(2.01, 6) } },
  {
    kept: 2,
    ways: {
      dropped: measured(2.5, 4),
      linear: measured(2.2),
      healed: measured(2.1),
      scratch: measured(2.05),
    },
  },
  // Within 5 % again, which does not count: it did not stay there.
  { kept: 1, ways: { dropped: measured(3), linear: measured(2.04), healed: measured(Number.NaN) } },
];

describe('a quality table', () => {
  it('says down to how many blocks each way stays within 5 %', () => {
    expect(conclude(parent, rows, 4)).toEqual({
      within5: { dropped: 4, linear: 3, healed: 2, scratch: 2 },
      linearNotBetter: [],
    });
  });

  it('names every place where linear maps are no better than dropping', () => {
    const tied = [{ kept: 2, ways: { dropped: measured(2.5), linear: measured(2.5) } }];
    expect(conclude(parent, [rows[0]!, ...tied], 4).linearNotBetter).toEqual([2]);
  });

  it('has a row for each number of blocks, and its conclusions below', () => {
    const compared: WaysCompared = {
      blocks: 4,
      parent,
      rows,
      tokens: { calibration: 700, choosing: 100, test: 200 },
      healTokens: 5000,
      ...conclude(parent, rows, 4),
      linearNotBetter: [1],
    };
    const text = waysTable(compared);
    expect(text).toContain('healed with 5000. The parent: 2.000, 75.0 %.');
    expect(text).toContain(
      '| attention kept | taken from: dropped / linear | dropped | linear | linear, healed | trained from scratch |',
    );
    expect(text).toContain(
      '| 3 of 4 (75 %) | 2-3 / 2-3 | 2.200 (+10.0 %), 62.5 % | 2.050 (+2.5 %), 75.0 % | 2.010 (+0.5 %), 75.0 % |  |',
    );
    const { quality } = parent;
    const recall = { accuracy: 0.355, nats: 2, tokens: 400 };
    const agreement = { questions: 50, tokens: 800, nats: 0.6, same: 0.9 };
    const more = { ...parent, quality: { ...quality, recall, agreement } };
    expect(waysTable({ ...compared, parent: more })).toContain(
      'The parent: 2.000, 75.0 %, recall 0.35, same 0.90.',
    );
    expect(text).toContain("dropped: nowhere within 5 % of the parent's perplexity.");
    expect(text).toContain('linear, healed: within 5 %');
    expect(text).toContain('down to 2 of 4 blocks with attention (0.50)');
    expect(text).toContain('LINEAR DOES NOT BEAT DROPPING at 1 of 4: perplexity 2.040 against 3.000.');
  });
});
