// `shishulm train --bench` as its users run it.
import { execFile } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { buildCli } from '../support/built-cli.ts';

const sizes = {
  hidden_size: 32,
  intermediate_size: 64,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 300,
  tie_word_embeddings: true,
};
const folder = mkdtempSync(join(tmpdir(), 'train-bench-'));
const configs = Object.entries({
  parent: { ...sizes, model_type: 'llama', num_hidden_layers: 3 },
  child: { ...sizes, model_type: 'shishu-llama', num_decoder_front: 1, num_mlp: 2, num_mlp_shared: 1 },
}).map(([name, spec]) => {
  const path = join(folder, `${name}.json`);
  writeFileSync(path, JSON.stringify(spec));
  return path;
});

it('prints step time and memory of each model, and their ratio to the first', async () => {
  const cli = await buildCli('shishulm-train-bench');
  const small = ['--rows', '2', '--length', '16', '--reps', '3'];
  const { stdout } = await promisify(execFile)(process.execPath, [
    cli,
    'train',
    '--bench',
    ...configs,
    ...small,
  ]);
  const [title, , , ...rows] = stdout.trim().split('\n');
  expect(title).toMatch(/^2 x 16 tokens a step on .+, median of 3 interleaved steps/);
  const cells = rows.map((row) => row.split('|').map((cell) => cell.trim()));
  expect(cells.map(([, name]) => name)).toEqual(['parent', 'child']);
  // 3 x (32 x 32 x 2 + 32 x 16 x 2 + 32 x 64 x 3 + 64) + 300 x 32 + 32; the child: 1 attention, 2 MLPs.
  expect(cells.map(([, , parameters]) => parameters)).toEqual(['37,472', '25,088']);
  for (const [, , , time, ratio, memory] of cells) {
    expect(Number.parseFloat(time!)).toBeGreaterThan(0);
    expect(Number(ratio)).toBeGreaterThan(0);
    expect(memory).toMatch(/MiB$/);
  }
  expect(cells[0]![4]).toBe('1.000');
});
