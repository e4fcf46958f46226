import { describe, expect, test } from 'vitest';
import { cautions, toCsv, toJson, toMarkdown } from '../../src/bench/export.ts';
import { gpuNamed } from '../../src/bench/gpus.ts';
import { comparedWith, compareWith, kernelCells, kernelRows } from '../../src/bench/kernels.ts';
import type { BenchResult } from '../../src/bench/result.ts';
import { expectedOf } from '../../src/bench/speed.ts';
import { spreadOf } from '../../src/bench/stats.ts';
import { differ, kernelTimes, ratioText, summaryOf } from '../../src/bench/summary.ts';
import { facts, result, work } from '../support/bench-result.ts';

describe('kernels against what is expected', () => {
  const compared = (name: string | null): BenchResult => {
    const own = structuredClone(result);
    compareWith(own, name);
    return own;
  };

  test('launches of one name are added up; GB/s are there, and shares where the GPU is known', () => {
    const [logits, qkv] = kernelRows(result, 'decode');
    // Two launches of 3 kB in 7 us, and one in 3.
    expect(qkv!.pair).toEqual([
      { microseconds: 7, expected: null, gigabytesPerSecond: 6 / 7 },
      { microseconds: 3, expected: null, gigabytesPerSecond: 1 },
    ]);
    expect(logits!.pair[0]).toBe(null);
    expect(kernelCells(qkv!)).toEqual(['qkv', '7 / 3', '– / –', '0.857 / 1.00', '– / –', '– / –']);
  });

  test('on a GPU of the table', () => {
    const known = compared('Apple M2, 10 cores');
    const qkv = kernelRows(known, 'decode')[1]!;
    const each = expectedOf(work.work, gpuNamed('Apple M2, 10 cores')!).total;
    expect(qkv.pair[0]).toMatchObject({ expected: 2 * each, bandwidth: 6 / 7 / 100 });
    expect(toMarkdown(known)).toContain('public figures of Apple M2');
    expect(toCsv(known)).toContain('"expected, decode, qkv"');
    expect(JSON.parse(toJson(known))).toEqual(known);
  });

  test('none, or one that is not there, is none', () => {
    for (const name of [null, 'Some GPU']) expect(compared(name)).toEqual(result);
    expect(comparedWith(result)).toContain('not known');
  });
});

describe('the summary', () => {
  test('sets side by side only what both have, child over parent', () => {
    const rows = summaryOf(result);
    const ratio = (what: string): number | undefined => rows.find((row) => row.what === what)?.ratio;
    expect(ratio('First token, prompt of 32')).toBe(0.5);
    expect(ratio('A token at position 16')).toBe(0.75);
    expect(ratio('A token at position 99')).toBeUndefined();
    expect(ratio('Dispatches a token, short context')).toBe(0.5);
    expect(ratio('Training step')).toBe(0.75);
    const memory = rows.find((row) => row.what === 'Weights + KV at 2048 tokens');
    const kv = 2048 * 1000 - 1280 * 250;
    expect(memory).toMatchObject({ kind: 'counted', parent: 8e6 + 2 * kv, child: 4e6 + kv });
    expect(rows.find((row) => row.what === 'First token, prompt of 32')?.quartiles?.parent).toEqual([11, 13]);
  });

  test('gives rates their quartiles, and models differ where quartiles lie apart', () => {
    const rows = summaryOf({
      ...result,
      batches: [
        { model: 0, batch: 4, ms: spreadOf([8, 10, 16]), tokensPerSecond: 400, weightBytesPerToken: 2e6 },
        { model: 1, batch: 4, ms: spreadOf([8, 8, 11]), tokensPerSecond: 500, weightBytesPerToken: 1e6 },
      ],
    });
    const row = (what: string) => rows.find((row) => row.what === what)!;
    // Samples of 9 to 13 ms are the middle half; the slowest is the least rate.
    expect(row('Batch of 4')).toMatchObject({ unit: 'tokens/s', parent: 400, child: 500, ratio: 1.25 });
    expect(row('Batch of 4').quartiles?.parent).toEqual([4000 / 13, 4000 / 9]);
    expect(differ(row('Batch of 4'))).toBe(false);
    expect(differ(row('First token, prompt of 32'))).toBe(true);
    expect(differ(row('Prompt of 32'))).toBe(true);
    // What is counted has no noise.
    expect(differ(row('Parameters'))).toBe(true);
    expect(differ(row('Scratch'))).toBe(false);
  });

  test('has no ratio to a model without KV', () => {
    const bare = facts('bare', 1);
    const models = [bare, bare].map((model) => ({ ...model, bytes: { ...model.bytes, kv: 0 } }));
    const row = summaryOf({ ...result, models }).find(({ what }) => what.startsWith('KV cache'))!;
    expect([ratioText(row), differ(row)]).toEqual(['–', false]);
    expect(ratioText({ ...row, ratio: 0.5 })).toBe('0.500');
  });

  test('adds GPU time up over blocks, largest kernel first', () => {
    expect(kernelTimes(result, 'decode')).toEqual([
      { kernel: 'logits', pair: [0, 9] },
      { kernel: 'qkv', pair: [7, 3] },
    ]);
  });
});

describe('exports', () => {
  test('JSON is the result', () => {
    expect(JSON.parse(toJson(result))).toEqual(result);
  });

  test('CSV has a line a figure, with what spreadsheets read as one cell', () => {
    const lines = toCsv(result).trimEnd().split('\n');
    expect(lines[0]).toBe('what,model,at,unit,value,q1,q3,samples');
    expect(lines).toContain('first token,"parent, ""big""",32,ms,12,11,13,10 12 14');
    expect(lines).toContain('token,child,16,ms,3,3,3,3 3 3');
    expect(lines).toContain('training step,child,8x128,ms,300,300,300,300');
    expect(lines).toContain('adapter,,,,Some GPU maker,,,');
    expect(lines.filter((line) => line.startsWith('caution'))).toHaveLength(3);
    expect(lines).toHaveLength(1 + 4 + 3 + 2 * 5 + 2 + 3 * 2 + 2 + 3 * 5);
  });

  test('Markdown says where and how, the cautions, and that the claims are not measured', () => {
    const text = toMarkdown(result);
    expect(text).toContain('- Adapter: Some GPU maker');
    expect(text).toContain('**The run was disturbed: The tab was hidden. Its times are doubtful.**');
    expect(text).toContain(
      '| First token, prompt of 32 | 12.0 ms (11.0-13.0) | 6.00 ms (6.00-6.00) | 0.500 |',
    );
    expect(text).toContain('## Reference: the paper (not measured here)');
  });

  test('cautions name an early end, disturbances, software adapters and random weights', () => {
    expect(cautions(result).join('\n')).toMatch(/device-lost.*gone\n.*hidden.*\n.*random/);
    const calm: BenchResult = { ...result, ended: 'complete', disturbed: [] };
    expect(cautions(calm)).toHaveLength(1);
    expect(cautions({ ...calm, ended: 'running', error: null })[0]).toContain('under way');
    expect(cautions({ ...calm, ended: 'cancelled', error: null })[0]).toBe(
      'The run did not finish (cancelled).',
    );
    const software = { ...calm.adapter, software: true };
    expect(cautions({ ...calm, adapter: { ...software, profile: 'software' } })).toEqual([
      expect.stringContaining('ratios'),
      expect.stringContaining('random'),
    ]);
    expect(cautions({ ...calm, adapter: software })).toEqual([
      expect.stringContaining('ratios'),
      expect.stringContaining('"gpu" was forced'),
      expect.stringContaining('random'),
    ]);
  });
});
