// `shishulm quality` as it is built, on a random model of the built-in chat format.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chatAt } from '../../demo/corpus/chats.ts';
import { WAYS } from '../../src/convert/ways.ts';
import { specOf } from '../../src/families/index.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { textOf } from '../../src/train/chat-format.ts';
import { writeModelFolder } from '../../src/train/checkpoints.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { buildCli } from '../support/built-cli.ts';

let cli: string;
let folder: string;
const run = promisify(execFile);
const quality = (...args: string[]) => run('node', [cli, 'quality', ...args], { env: process.env });

const texts = Array.from({ length: 300 }, (_, i) => textOf(chatAt(1, i).turns));
const bpe = Bpe.train(texts, 512);
const sizes = {
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 512,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 3,
};
const child = { model_type: 'shishu-llama', num_decoder_front: 1, num_mlp: 2, num_mlp_shared: 1 };

beforeAll(async () => {
  cli = await buildCli('quality-cli');
  folder = await mkdtemp(join(tmpdir(), 'quality-'));
  for (const [name, kind] of [
    ['parent', { model_type: 'llama' }],
    ['child', child],
  ] as const) {
    const configJson = { ...sizes, ...kind };
    const weights = initialWeights(specOf(configJson), 1);
    await writeModelFolder(join(folder, name), { configJson, bpe, weights, training: {} });
  }
});
afterAll(() => rm(folder, { recursive: true }));

test('measures every way, asks questions, and says what it found', async () => {
  const json = join(folder, 'quality.json');
  const { stdout } = await quality(
    join(folder, 'parent'),
    ...['--fractions', '0.67,0.33', '--tokens', '700', '--chats', '1', '--heal', '700'],
    ...['--scratch', join(folder, 'child'), '--json', json],
  );
  const found = JSON.parse(await readFile(json, 'utf8'));
  expect(
    found.rows.map(({ kept, ways }: { kept: number; ways: object }) => [kept, Object.keys(ways)]),
  ).toEqual([
    [2, ['dropped', 'linear', 'healed']],
    [1, ['dropped', 'linear', 'healed', 'shared', 'sharedHealed', 'scratch']],
  ]);
  const [two, one] = found.rows;
  expect(one.ways.scratch.layers).toEqual([1, 2]);
  // A random model says each token as soon as any other: healing is what brings it below.
  for (const { ways } of found.rows)
    expect(ways.healed.perplexity).toBeLessThan(0.98 * ways.linear.perplexity);
  expect(two.ways.dropped.answers.questions).toBe(found.parent.answers.questions);
  expect(found.parent.answers.questions).toBeGreaterThan(9);
  const rows = stdout.split('\n').filter((line) => /^\| \d of 3/.test(line));
  expect(rows.length).toBe(2);
  expect(rows[1]).toContain(one.ways.sharedHealed.perplexity.toFixed(3));
  for (const name of Object.values(WAYS)) expect(stdout).toContain(`\n${name}: `);
});

test.each([
  ['--fractions 0.5,1', /--fractions holds "1"/],
  ['--heal-lr 0.1', /no meaning without --heal/],
  ['--tokens 50', /has 50 tokens, .* needs 92/],
  ['--text FILE --heal 9000', /at most 10/],
])('%s is refused in one line', async (line, message) => {
  const file = join(folder, 'text');
  await writeFile(file, texts.slice(0, 5).join(''));
  const args = line.replace('FILE', file).split(' ');
  const failed = await quality(join(folder, 'parent'), ...args).catch((error) => error);
  expect(failed.code).toBe(1);
  expect(failed.stderr.trim().split('\n').at(-1)).toMatch(message);
});
