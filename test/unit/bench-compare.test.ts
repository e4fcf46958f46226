import { describe, expect, test } from 'vitest';
import { compareResults, comparisonMarkdown, resultFromJson } from '../../src/bench/compare.ts';
import { toJson } from '../../src/bench/export.ts';
import type { BenchResult } from '../../src/bench/result.ts';
import { spreadOf } from '../../src/bench/stats.ts';
import { ShishuError } from '../../src/errors.ts';
import { result } from '../support/bench-result.ts';

/** The same on a machine that decodes in half the time, and was asked for no prompt of 32. */
const faster: BenchResult = {
  ...structuredClone(result),
  date: '2026-02-02T03:04:05.000Z',
  prompts: [],
  decode: result.decode.map((point) => ({ ...point, ms: spreadOf(point.ms.samples.map((ms) => ms / 2)) })),
};

describe('two results side by side', () => {
  test('ratios are of the second to the first, and of what both have', () => {
    const { rows, only } = compareResults(result, faster);
    const row = (what: string) => rows.find((row) => row.what === what);
    expect(row('A token at position 16')).toMatchObject({
      parent: { first: 4, second: 2, ratio: 0.5, differ: true },
      child: { first: 3, second: 1.5, ratio: 0.5, differ: true },
    });
    expect(row('Training step')?.parent).toMatchObject({ ratio: 1, differ: false });
    expect(only).toEqual({ first: ['First token, prompt of 32', 'Prompt of 32'], second: [] });
  });

  test('as a table to paste', () => {
    const text = comparisonMarkdown(result, faster);
    expect(text).toContain('- A: parent, "big" against child, Some GPU maker, 2026-01-02');
    expect(text).toMatch(/\| A token at position 16 +\| 4\.00 ms \| 2\.00 ms \| 0\.500 /);
    expect(text).toContain('1.000 (no difference)');
  });

  test('what was saved is read again; anything else is refused by name', () => {
    expect(resultFromJson('a.json', toJson(result))).toEqual(result);
    const { models: _, ...modelless } = result;
    for (const [text, why] of [
      ['{', 'JSON'],
      ['[]', 'its format is another'],
      ['{"format": "shishulm-bench-2"}', 'its format is another'],
      [JSON.stringify(modelless), 'it has no models'],
      [JSON.stringify({ ...result, adapter: null }), 'no adapter or settings'],
      [JSON.stringify({ ...result, models: [null, null] }), 'figures are missing'],
      [JSON.stringify({ ...result, models: [{ label: 'a' }, { label: 'b' }] }), 'figures are missing'],
    ] as const) {
      const error = (() => {
        try {
          return resultFromJson('a.json', text);
        } catch (error) {
          return error;
        }
      })();
      expect(error, text).toBeInstanceOf(ShishuError);
      expect((error as ShishuError).message).toContain('a.json is no saved result');
      expect((error as ShishuError).message).toContain(why);
    }
  });
});
