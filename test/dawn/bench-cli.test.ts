// `shishulm bench` in this process, so that it can be interrupted at a known point.
import { afterEach, expect, test, vi } from 'vitest';
import { toyCorpus } from '../../demo/corpus/chats.ts';
import type { BenchResult } from '../../src/bench/result.ts';
import { command } from '../../src/cli/bench.ts';

const { isTTY } = process.stderr;
afterEach(() => {
  process.stderr.isTTY = isTTY;
  vi.restoreAllMocks();
});

test('interrupted, it prints what it measured and ends as aborted', async () => {
  const interrupt = new AbortController();
  let printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += text;
    return true;
  });
  process.stderr.isTTY = true;
  const seen: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    seen.push(String(text));
    if (String(text).includes('Decoding at position 9, 2 of 3')) interrupt.abort();
    return true;
  });
  const run = command.run(
    [
      'Tiny-1M',
      'Tiny-1M:1,1,0,0',
      '--blocks',
      '2',
      '--prompts',
      '',
      '--positions',
      '4,9',
      '--batches',
      '',
    ].concat(['--steps', '1', '--repetitions', '3', '--json']),
    interrupt.signal,
    toyCorpus,
  );
  await expect(run).rejects.toMatchObject({ code: 'aborted' });
  expect(seen.join('')).toContain('Decoding at position 4, 1 of 3');
  const result: BenchResult = JSON.parse(printed);
  expect(result).toMatchObject({ ended: 'cancelled', error: null });
  expect(result.decode.map(({ position, ms }) => [position, ms.samples.length])).toEqual([
    [4, 3],
    [4, 3],
    [9, 1],
    [9, 1],
  ]);
});
