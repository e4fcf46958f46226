// The built command as its users run it: a process, its two outputs, its exit status.
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { weightBytes } from '../../src/cli/weight-bytes.ts';
import { loadModel } from '../../src/engine/engine.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { VARIANTS } from '../../src/kernels/tuning.ts';
import { DTYPES } from '../../src/quant/index.ts';
import { adapterFixture } from '../support/adapter-fixtures.ts';
import { buildCli } from '../support/built-cli.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { thinkingModel } from '../support/thinking-model.ts';
import { TINY_MODEL_NAMES, tinyFiles, tinyModel } from '../support/tiny-models.ts';
import { writeFolder } from '../support/write-folder.ts';

const root = join(import.meta.dirname, '../..');
let cli: string;
const folder = mkdtempSync(join(tmpdir(), 'cli-'));
const tiny = join(folder, 'shishu');
const STORIES = join(root, '../shared/models/stories260K');
const withStories = existsSync(STORIES);
if (!withStories) console.warn(`Skipped: there is no ${STORIES}.`);

const writeModel = (name: (typeof TINY_MODEL_NAMES)[number]): string =>
  writeFolder(join(folder, name), { ...tinyFiles(tinyModel(name, 7)), ...charTokenizerFiles() });

interface Extra {
  input?: string;
  env?: Record<string, string>;
  /** Milliseconds. */
  timeout?: number;
}

const run = (
  args: readonly string[],
  { input, env, timeout = 50_000 }: Extra = {},
): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [cli, ...args], {
    encoding: 'utf8',
    timeout,
    env: { ...process.env, ...env },
    ...(input !== undefined && { input }),
  });

/** Runs what must succeed. */
function output(args: readonly string[], extra?: Extra): string {
  const { status, stdout, stderr } = run(args, extra);
  expect(status, stderr).toBe(0);
  return stdout;
}

let gpu: Gpu;
afterAll(() => gpu.close());
beforeAll(async () => {
  gpu = await openTestGpu();
  cli = await buildCli('shishulm-cli');
  writeModel('shishu');
});

test('help and version', () => {
  expect(output(['--version'])).toMatch(/^\d+\.\d+\.\d+\n$/);
  const help = output(['--help']);
  for (const name of [
    'inspect',
    'generate',
    'score',
    'embed',
    'train',
    'evaluate',
    'analyze',
    'convert',
    'tune',
    'bench',
  ]) {
    expect(help).toContain(`  ${name} `);
    expect(output([name, '--help'])).toMatch(new RegExp(`^shishulm ${name} `));
  }
});

test('tune prints a choice of kernels that other commands take, and refuses what it does not know', () => {
  const kept = mkdtempSync(join(tmpdir(), 'cli-tuning-'));
  // What the driver has compiled stays where it is.
  const { XDG_CACHE_HOME = join(homedir(), '.cache') } = process.env;
  const env = { XDG_CACHE_HOME: kept, MESA_SHADER_CACHE_DIR: XDG_CACHE_HOME };
  const extra = { env, timeout: 150_000 };
  const reply = ['generate', tiny, '--prompt', 'ABC', '--max-tokens', '8', '--ids'];
  const expected = output(reply, extra);
  const printed = output(['tune', tiny], extra);
  const choice = join(kept, 'choice.json');
  writeFileSync(choice, printed);
  expect(Object.keys(JSON.parse(printed))).toEqual(Object.keys(VARIANTS));
  expect(output([...reply, '--tuning', choice], extra)).toBe(expected);
  const inFile: unknown = JSON.parse(readFileSync(join(kept, 'shishulm', 'tuning.json'), 'utf8'));
  expect(Object.values(inFile as object)).toEqual([JSON.parse(printed)]);
  writeFileSync(choice, '{"wide": "huge"}');
  const { status, stderr } = run([...reply, '--tuning', choice], extra);
  expect(status).toBe(1);
  expect(stderr).toMatch(/--tuning has "huge" as "wide"/);
});

describe("a user's mistake is exit 1 and one line that names it", () => {
  const odd = join(folder, 'odd.json');
  test.each<[string, readonly string[], RegExp]>([
    ['no command', [], /No command.*inspect/],
    ['an unknown command', ['frob'], /"frob"/],
    ['no folder', ['inspect'], /folder/],
    ['a missing folder', ['inspect', join(folder, 'none')], /none/],
    ['a folder without a model', ['inspect', folder], /config\.json/],
    ['two folders', ['inspect', tiny, 'b'], /"b"/],
    ['an unknown option', ['inspect', tiny, '--frob'], /--frob/],
    ['an option without its value', ['inspect', tiny, '--context'], /--context/],
    ['too long a context', ['inspect', tiny, '--context', '97'], /--context is 97.* 96/],
    ['an unknown dtype', ['inspect', tiny, '--dtype', 'q9'], /--dtype is q9/],
    ['an unknown KV dtype', ['inspect', tiny, '--kv', 'q9'], /--kv is q9/],
    ['an unknown dtype to load', ['generate', tiny, '--prompt', 'a', '--dtype', 'q9'], /--dtype is q9/],
    ['no prompt', ['generate', tiny], /--prompt/],
    ['two prompts', ['generate', tiny, '--prompt', 'a', '--messages', odd], /either/],
    ['a bad number', ['generate', tiny, '--prompt', 'a', '--top-k', 'x'], /--top-k is "x"/],
    ['a number out of range', ['generate', tiny, '--prompt', 'a', '--top-p', '3'], /--top-p is 3/],
    ['a bad bias', ['generate', tiny, '--prompt', 'a', '--logit-bias', 'x'], /--logit-bias is "x"/],
    ['a variable without a value', ['generate', tiny, '--template-variable', 'a'], /expected NAME=JSON/],
    ['a variable that is no JSON', ['generate', tiny, '--template-variable', 'a=b'], /a is b.*'a="\.\.\."'/],
    ['a variable of its own', ['generate', tiny, '--template-variable', 'tools=[]'], /"tools"/],
    ['a variable of a text', ['generate', tiny, '--prompt', 'a', '--think'], /--messages/],
    ['a budget of a text', ['generate', tiny, '--prompt', 'a', '--reasoning-budget', '3'], /--messages/],
    ['a bad budget', ['generate', tiny, '--messages', odd, '--reasoning-budget', '-1'], /--reasoning-budget/],
    ['both', ['generate', tiny, '--think', '--no-think'], /either/],
    ['logprobs without JSON', ['generate', tiny, '--prompt', 'a', '--logprobs'], /--json/],
    ['messages that are no JSON', ['generate', tiny, '--messages', odd], /odd\.json is not JSON/],
    ['a missing text', ['score', tiny, '--text', join(folder, 'none.txt')], /none\.txt/],
    ['a folder as text', ['score', tiny, '--text', folder], /it is a folder/],
    ['nothing to embed', ['embed', tiny], /--text/],
    ['a pooling that is none', ['embed', tiny, '--text', 'a', '--pooling', 'max'], /--pooling is max/],
    ['one text to compare', ['embed', tiny, '--text', 'a', '--similarity'], /two texts/],
    ['bad ids', ['score', tiny, '--ids', '1,x'], /"x"/],
    ['a comparison with an unknown dtype', ['score', tiny, '--compare', 'q8,q9'], /"q9"/],
    ['one model to measure', ['bench', 'Tiny-1M'], /parent and a child/],
    ['a stack that cannot be', ['bench', 'Tiny-1M', 'Tiny-1M:1,2,3,4'], /3 shared pairs/],
    ['a setting out of range', ['bench', 'Tiny-1M', 'Tiny-1M', '--steps', 'x'], /--steps is "x"/],
    ['two forms of a report', ['bench', 'Tiny-1M', 'Tiny-1M', '--json', '--csv'], /either/],
    ...[
      ['generate', tiny, '--prompt', 'a'],
      ['score', tiny, '--ids', '1,2'],
      ['analyze', tiny],
      ['convert', tiny, '-o', join(folder, 'out')],
      ['quality', tiny],
      ['evaluate', tiny],
      ['bench', 'Tiny-1M', 'Tiny-1M'],
    ].map((args): [string, readonly string[], RegExp] => [
      `a profile that is none to ${args[0]}`,
      [...args, '--profile', 'fast'],
      /--profile is fast, expected auto, software or gpu/,
    ]),
    ['a profile that is none', ['inspect', tiny, '--profile', 'x'], /--profile is x/],
    [
      'no choice of kernels',
      ['generate', tiny, '--prompt', 'a', '--tuning', odd],
      /--tuning is .*odd\.json.*shishulm tune/,
    ],
    ['a corpus without a comparison', ['score', tiny, '--corpus'], /only for --compare/],
  ])('%s', (_, args, message) => {
    writeFileSync(odd, '{oops');
    const { status, stdout, stderr } = run(args);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^shishulm: [^\n]+\n$/);
    expect(stdout).toBe('');
    expect(status).toBe(1);
  });

  // The GPU's driver writes warnings of its own to stderr here.
  test.each<[string, readonly string[], RegExp, Record<string, string>?]>([
    [
      'an unknown GPU',
      ['score', tiny, '--ids', '1,2', '--adapter', 'Frob'],
      /no GPU named "Frob"\. There is: /,
    ],
    [
      'no GPU',
      ['score', tiny, '--ids', '1,2'],
      /mesa-vulkan-drivers.*VK_ICD_FILENAMES/,
      { VK_ICD_FILENAMES: '/none' },
    ],
    ['an id over the vocabulary', ['score', tiny, '--ids', '1,9999'], /9999.*131/],
    ['one token', ['score', tiny, '--ids', '1'], /at least 2/],
    [
      'more tokens than context',
      ['score', tiny, '--ids', '1,2,3', '--context', '2'],
      /3 tokens.* 2\..*--context/,
    ],
    ['an empty prompt', ['generate', tiny, '--prompt', ''], /empty/],
    ['a model without chat template', ['generate', tiny, '--messages', '-'], /no chat template/],
  ])('%s', (_, args, message, env = {}) => {
    const { status, stdout, stderr } = run(args, { env, input: '[{"role": "user", "content": "a"}]' });
    const lines = stderr.split('\n').filter((line) => line.startsWith('shishulm: '));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(message);
    expect(stdout).toBe('');
    expect(status).toBe(1);
  });
});

test('inspect tells what the GPU would hold', () => {
  const found = JSON.parse(output(['inspect', tiny, '--json', '--kv', 'f16', '--context', '50']));
  const { spec } = tinyModel('shishu', 7);
  expect(found.spec).toEqual(spec);
  expect(found.plan.map((block: { kind: string }) => block.kind).join()).toBe(
    'attention,attention,mlp,mlp,mlp,mlp,mlp,attention',
  );
  // 2 (K, V) * 2 bytes * 3 attention blocks * 2 KV heads * 12 values * 50 tokens
  expect(found.bytes.kv).toBe(2 * 2 * 3 * 2 * 12 * 50);
  expect(output(['inspect', tiny])).toContain(
    '2 attention, 5 MLP-only (2 with the weights of the block before), 1 attention',
  );
});

test('inspect tells what blocks with a window hold', () => {
  const gemma = ['inspect', join(import.meta.dirname, '../fixtures/families/gemma3'), '--kv', 'f16'];
  const found = JSON.parse(output([...gemma, '--json', '--profile', 'software']));
  // 2 (K, V) * 2 bytes * 2 KV heads * 12 values; of 128 tokens two of three blocks keep a window of 7 and 64 rows
  expect(found.bytes.kv).toBe(2 * 2 * 2 * 12 * (71 + 128 + 71));
  expect(output([...gemma, '--profile', 'software'])).toMatch(
    /288 bytes a token as f16, 96 past the window of 7/,
  );
  expect(output([...gemma, '--profile', 'gpu'])).toMatch(/288 bytes a token as f16$/m);
});

test('inspect says what a model that is loaded unasked takes on this adapter, and on a GPU', async () => {
  const path = writeModel('llama');
  const model = await loadModel(await openFolder(path), { device: gpu.device });
  const { dtype, kv, f32Tensors, contextLength, bytes } = model.info;
  await model.dispose();
  const found = JSON.parse(output(['inspect', path, '--json']));
  expect(found).toMatchObject({ dtype, kv, f32Tensors, contextLength });
  expect(found.bytes).toMatchObject({ weights: bytes.weights, kv: bytes.kv });
  const onGpu = JSON.parse(output(['inspect', path, '--json', '--profile', 'gpu']));
  expect(onGpu.kv).toBe('f16');
  expect(output(['inspect', path, '--profile', 'gpu'])).toMatch(/KV cache .* as f16/);
});

test.each(TINY_MODEL_NAMES)('the bytes of %s without a GPU are those of the ledger', async (name) => {
  const path = writeModel(name);
  for (const dtype of DTYPES) {
    const model = await loadModel(await openFolder(path), { dtype, device: gpu.device });
    try {
      const { spec, bytes } = model.info;
      expect(weightBytes(spec, { dtype }).weights).toBe(bytes.weights);
    } finally {
      await model.dispose();
    }
  }
});

test('generate streams ids or text, or gives one JSON object', () => {
  const prompt = ['generate', tiny, '--prompt', 'AB', '--max-tokens', '6', '--ignore-eos'];
  const sampling = ['--temperature', '0.8', '--seed', '3', '--top-k', '20'];
  const reply = JSON.parse(output([...prompt, ...sampling, '--json', '--logprobs', '--top-logprobs', '2']));
  expect(reply.tokenIds).toHaveLength(6);
  expect(reply.finishReason).toBe('length');
  expect(reply.usage).toMatchObject({ promptTokens: 2, completionTokens: 6 });
  expect(reply.logprobs.map((entry: { tokenId: number }) => entry.tokenId)).toEqual(reply.tokenIds);
  expect(reply.logprobs[0].top).toHaveLength(2);
  expect(output([...prompt, ...sampling, '--ids'])).toBe(`${reply.tokenIds}\n`);
  expect(output([...prompt, ...sampling])).toBe(`${reply.text}\n`);
  // Other kernels, the same greedy tokens.
  const [gpus, software] = ['gpu', 'software'].map((profile) =>
    output([...prompt, '--ids', '--kv', 'f32', '--profile', profile]),
  );
  expect(gpus).toBe(software);
});

test('generate tells reasoning apart, and what the chat template is told', () => {
  const path = writeFolder(join(folder, 'thinking'), thinkingModel());
  const ask = (...args: string[]) =>
    run(['generate', path, '--messages', '-', ...args], { input: '[{"role": "user", "content": "Why?"}]' });
  const plain = ask();
  expect([plain.stdout, plain.status]).toEqual(['Yes!\n', 0]);
  expect(plain.stderr).toContain('Quick brown.\n\n');
  const quick = ask('--no-think');
  expect(quick.stdout).toBe('Yes!\n');
  expect(quick.stderr).not.toContain('Quick');
  const same = ask('--template-variable', 'enable_thinking=false', '--json');
  expect(JSON.parse(same.stdout)).toMatchObject({ text: 'Yes!', usage: { completionTokens: 4 } });
  expect(JSON.parse(same.stdout)).not.toHaveProperty('reasoning');
  expect(JSON.parse(ask('--think', '--json').stdout)).toMatchObject({
    text: 'Yes!',
    reasoning: 'Quick brown.',
  });
  const budget = JSON.parse(ask('--reasoning-budget', '2', '--json').stdout);
  expect([budget.text, budget.reasoning.slice(0, 4)]).toEqual(['Yes!', 'Qu\n\n']);
  expect(ask('--max-tokens', '4').stderr).toContain('Qui\n\n');
  const odd = ask('--template-variable', 'thinking=1');
  expect(odd.stderr).toContain('does not read the variable "thinking". It reads enable_thinking.');
});

test('generate and score with a LoRA adapter', async () => {
  const { base, files, prompt, greedy } = await adapterFixture('llama-all');
  const model = writeFolder(join(folder, 'lora-base'), { ...base.files, ...charTokenizerFiles(96) });
  const adapter = writeFolder(join(folder, 'lora'), files);
  const exact = ['--dtype', 'f32', '--kv', 'f32', '--lora', adapter];
  const ids = `${[...prompt, ...greedy]}`;
  const score = JSON.parse(output(['score', model, '--ids', ids, '--json', ...exact]));
  // What is likeliest with it was taken each time.
  expect(score.top1.slice(prompt.length - 1, -1)).toEqual(greedy);
  // The tokenizer's ids are those of characters, less 32.
  const text = String.fromCharCode(...prompt.map((id) => id + 32));
  const reply = [
    'generate',
    model,
    '--prompt',
    text,
    '--max-tokens',
    `${greedy.length}`,
    '--ids',
    '--ignore-eos',
  ];
  expect(output([...reply, ...exact])).toBe(`${greedy}\n`);
  for (const [args, message] of [
    [[...reply, '--lora', join(folder, 'none')], /no folder/],
    [['score', model, '--compare', 'q8', '--lora', adapter], /--lora has no meaning with --compare/],
  ] as const) {
    const { status, stderr } = run(args);
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  }
});

test('embed writes a line of JSON for each text, one object, or how alike they are', () => {
  const model = join(root, 'test/fixtures/embeddings/qwen3');
  const args = ['embed', model, '--text', 'The cat', '--file', '-', '--instruction', 'query'];
  const input = 'Rivers flow\nThe cat\n';
  const all = JSON.parse(output([...args, '--json'], { input }));
  const lines = output(args, { input }).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    ['The cat', 'Rivers flow', 'The cat'].map((text, i) => ({
      text,
      tokens: all.tokens[i],
      embedding: all.embeddings[i],
    })),
  );
  expect(all.embeddings[0]).toHaveLength(24);
  const alike = output([...args, '--similarity', '--dimensions', '8'], { input }).split('\n');
  expect(alike[0]).toBe('1.0000 The cat');
  expect(alike[1]).toMatch(/^-?0\.\d{4} Rivers flow$/);
});

test('score of a text from stdin is that of its ids', () => {
  const byText = JSON.parse(output(['score', tiny, '--text', '-', '--json'], { input: 'ABBA' }));
  const byIds = JSON.parse(output(['score', tiny, '--ids', '33,34,34,33', '--json']));
  expect(byText).toEqual(byIds);
  expect(Object.keys(byIds)).toEqual(['nll', 'perplexity', 'tokens', 'top1']);
  expect(byIds.perplexity).toBeCloseTo(Math.exp(byIds.nll), 6);
  expect(byIds.tokens).toBe(4);
  expect(byIds.top1).toHaveLength(4);
});

test('score compares dtypes on one text: given, of the corpus, or the model itself', () => {
  interface Found {
    tokens: number;
    scores: { dtype: string; nll: number; perplexity: number; ratio: number }[];
  }
  const compare = (...args: string[]): Found =>
    JSON.parse(output(['score', tiny, '--compare', 'q8,q4', '--json', ...args]));
  const ids = '33,34,34,33,40,41';
  const given = compare('--ids', ids);
  expect(given.tokens).toBe(5);
  expect(given.scores.map(({ dtype }) => dtype)).toEqual(['f32', 'q8', 'q4']);
  for (const { dtype, nll, perplexity, ratio } of given.scores) {
    const alone = JSON.parse(output(['score', tiny, '--ids', ids, '--dtype', dtype, '--json']));
    expect(nll).toBeCloseTo(alone.nll, 6);
    expect(perplexity).toBeCloseTo(alone.perplexity, 4);
    expect(ratio).toBeCloseTo(perplexity / given.scores[0]!.perplexity, 9);
  }
  // Replies of at most the model's 96 positions; the last may pass the count.
  const own = compare('--tokens', '100');
  expect(own.tokens).toBeGreaterThan(50);
  expect(own.tokens).toBeLessThanOrEqual(99 + 95);
  expect(compare('--tokens', '100')).toEqual(own);
  expect(compare('--tokens', '100', '--seed', '9')).not.toEqual(own);
  expect(compare('--tokens', '100', '--corpus').tokens).toBeGreaterThan(50);
});

test('bench measures a pair of shapes, as JSON and as Markdown', () => {
  const pair = ['bench', 'Tiny-1M', 'Tiny-1M:4,4,2,0', '--blocks', '2', '--prompts', '3', '--positions', '3'];
  const short = [...pair, '--batches', '', '--steps', '4', '--repetitions', '1', '--kernels', 'no'];
  const result = JSON.parse(output([...short, '--json']));
  expect(result).toMatchObject({ format: 'shishulm-bench-1', ended: 'complete', error: null });
  expect(result.runtime).toMatch(/^Node .*Dawn$/);
  expect(result.models).toHaveLength(2);
  for (const { ms } of [...result.prompts, ...result.decode]) expect(ms.samples).toHaveLength(1);
  expect(result.adapter.profile).toBe(result.adapter.software ? 'software' : 'gpu');
  const shown = output([...short, '--profile', 'gpu']);
  expect(shown).toMatch(/^# Tiny-1M \[2 of 8 blocks\] against Tiny-1M \(1,1,0,0\)/);
  expect(shown).toMatch(/bench\.html\?profile=gpu#parent=Tiny-1M&child=Tiny-1M/);
});

test.runIf(withStories)('the trained model tells its story', () => {
  const prompt = ['generate', STORIES, '--prompt', 'Once upon a time', '--max-tokens', '12'];
  const ids = '432,383,286,261,376,298,315,421,395,317,426,338';
  expect(output([...prompt, '--ids'])).toBe(`${ids}\n`);
  expect(output(prompt)).toMatch(/^, there was a little girl/);
});

test('Ctrl-C ends a reply in order, with status 130', async () => {
  const endless = ['generate', writeModel('llama'), '--prompt', 'AB', '--ignore-eos', '--ids', '--seed', '1'];
  const child = spawn(process.execPath, [cli, ...endless], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let shown = '';
  child.stdout.on('data', (data: Buffer) => {
    if (shown === '') child.kill('SIGINT');
    shown += data;
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  expect(status).toBe(130);
  expect(shown).toMatch(/^[\d,]+\n$/);
});
