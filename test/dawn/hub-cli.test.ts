// Every command that takes a model, as a process, with the model's name on a hub.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { buildCli } from '../support/built-cli.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { type HubServer, startHub, TOKENS } from '../support/hub-server.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const tiny = { ...tinyFiles(tinyModel('llama', 7)), ...charTokenizerFiles() };
const trained = (folder: string): Record<string, Uint8Array> =>
  Object.fromEntries(
    [
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'generation_config.json',
      'model.safetensors',
    ].map((name) => [
      name,
      readFileSync(join(import.meta.dirname, `../../demo/public/models/${folder}/${name}`)),
    ]),
  );

const home = mkdtempSync(join(tmpdir(), 'hub-cli-'));
let hub: HubServer;
let cli: string;
beforeAll(async () => {
  hub = await startHub({
    'some/tiny': { files: tiny, gated: true },
    'some/child': { files: trained('child') },
    'some/gguf': {
      files: { 'q/m.gguf': readFileSync(join(import.meta.dirname, '../fixtures/tiny-llama.gguf')) },
    },
  });
  cli = await buildCli('shishulm-hub-cli');
  writeFileSync(
    join(home, 'text'),
    Array.from({ length: 400 }, (_, i) => String.fromCharCode(33 + ((i * i) % 59))).join(''),
  );
});
afterAll(async () => {
  await hub.close();
  rmSync(home, { recursive: true });
});

/** Not `spawnSync`: the hub is of this process. */
async function run(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [cli, ...args], {
    cwd: home,
    env: {
      ...process.env,
      HF_ENDPOINT: hub.endpoint,
      HF_TOKEN: TOKENS.member,
      XDG_CACHE_HOME: join(home, 'cache'),
      ...env,
    },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const status = await new Promise((done) => child.on('close', done));
  return { status, stdout, stderr };
}

type Case = [args: string[], printed: RegExp];
const CASES: Case[] = [
  [['inspect', 'some/tiny'], /^model +llama/],
  [['generate', 'some/tiny', '--prompt', 'AB', '--max-tokens', '2', '--ignore-eos', '--ids'], /^\d+,\d+\n$/],
  [['generate', 'some/gguf', '--prompt', 'hi', '--max-tokens', '2', '--ignore-eos', '--ids'], /^\d+,\d+\n$/],
  [['score', 'some/gguf/q/m.gguf', '--ids', '1,2,3'], /^nll .* 3 tokens/],
  [['score', 'hf:some/tiny@main', '--ids', '1,2,3'], /^nll .* 3 tokens/],
  [['analyze', 'some/tiny', '--text', 'text', '--window', '48', '--json'], /^\{"/],
  [['convert', 'some/tiny', '-o', 'out', '--text', 'text', '--window', '48', '--json'], /^\{"/],
  [
    [
      'bench',
      'some/tiny',
      'https://huggingface.co/some/tiny/tree/main',
      '--prompts',
      '3',
      '--positions',
      '3',
      '--batches',
      '',
      '--steps',
      '4',
      '--repetitions',
      '1',
      '--kernels',
      'no',
      '--json',
    ],
    /"complete"/,
  ],
  [['evaluate', 'some/child', '--chats', '1'], /some\/child/],
];
/** Those that take longest on software adapters. */
const LONG = ['analyze', 'evaluate'];

test.each(CASES.filter(([[name = '']]) => inject('full') || !LONG.includes(name)))(
  '%j',
  async (args, expected) => {
    const { status, stdout, stderr } = await run(args);
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(expected);
    expect(stdout + stderr).not.toContain(TOKENS.member);
  },
);

test('a licence that was not accepted, and a name of nothing', async () => {
  const fresh = { HF_TOKEN: '', XDG_CACHE_HOME: join(home, 'other') };
  const gated = await run(['generate', 'some/tiny', '--prompt', 'A'], fresh);
  expect(gated).toMatchObject({ status: 1, stdout: '' });
  expect(gated.stderr).toMatch(
    /^shishulm: some\/tiny is for those.*Accept it at http\S+\/some\/tiny, then.*HF_TOKEN/m,
  );
  const none = await run(['score', 'some/none', '--ids', '1,2'], fresh);
  expect(none.stderr).toMatch(/^shishulm: There is no model .*no folder or file some\/none is here/m);
  const both = await run(['inspect', 'some/tiny', '--refresh', '--no-cache']);
  expect(both.stderr).toMatch(/either --no-cache or --refresh/);
});
