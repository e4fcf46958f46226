// `shishulm analyze` and `shishulm convert` as a process: what cannot be is one line that says why, and leaves nothing.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mergeAdapter } from '../../src/convert/merge.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { tensorsOf } from '../../src/model/spec.ts';
import { adapterFixture } from '../support/adapter-fixtures.ts';
import { buildCli } from '../support/built-cli.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { type TinyModel, tinyFiles, tinyModel } from '../support/tiny-models.ts';
import { writeFolder } from '../support/write-folder.ts';

const folder = mkdtempSync(join(tmpdir(), 'convert-cli-'));
const at = (name: string): string => join(folder, name);
let cli: string;

const write = (name: string, model: TinyModel): string =>
  writeFolder(at(name), { ...tinyFiles(model), ...charTokenizerFiles() });

/** A text of letters, none of which the tokenizer joins. */
const letters = (count: number): string =>
  Array.from({ length: count }, (_, i) => String.fromCharCode(33 + ((i * i + 7 * i) % 59))).join('');

beforeAll(async () => {
  cli = await buildCli('shishulm-convert-cli');
  write('llama', tinyModel('llama', 7));
  write('shishu', tinyModel('shishu', 7));
  const broken = tinyModel('llama', 7);
  broken.tensors.get('model.layers.1.self_attn.v_proj.weight')!.data[3] = Number.NaN;
  write('broken', broken);
  mkdirSync(at('there'));
  writeFileSync(at('text'), letters(480));
  writeFileSync(at('short'), letters(100));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('--lora merges an adapter into the parent', async () => {
  const { base, files } = await adapterFixture('llama-all');
  writeFolder(at('base'), { ...base.files, ...charTokenizerFiles() });
  writeFolder(at('adapter'), files);
  const { status, stderr } = run([
    'convert',
    'base',
    '-o',
    'merged',
    '--layers',
    '0',
    '--text',
    'text',
    '--lora',
    'adapter',
  ]);
  expect(status, stderr).toBe(0);
  const merged = await mergeAdapter(memorySource(base.files), memorySource(files));
  const specs = (config: string) => tensorsOf(specOf(JSON.parse(config)));
  const parent = await openCheckpoint(merged, specs(base.files['config.json'] as string));
  const child = await openCheckpoint(
    await openFolder(at('merged')),
    specs(readFileSync(join(at('merged'), 'config.json'), 'utf8')),
  );
  const names = [...child.tensors.keys()];
  expect(names).toContain('model.layers.1.self_attn.q_proj.weight');
  for (const name of names) expect(await child.read(name), name).toEqual(await parent.read(name));
  const { said } = run(['convert', 'base', '-o', 'other', '--text', 'text', '--lora', 'base']);
  expect(said.join()).toContain('adapter_config.json');
});

/** Runs the command in the tests' folder; `before` are options of Node. */
function run(args: readonly string[], before: readonly string[] = []) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...before, cli, ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 100_000,
  });
  // The GPU's driver may warn on stderr too.
  return { status, stdout, stderr, said: stderr.split('\n').filter((line) => line.startsWith('shishulm')) };
}

/** Loaded ahead of the command: as the weights are opened for writing, `code` runs with their `handle`. */
const whenWritten = (code: string): string => `
  import { spawnSync } from 'node:child_process';
  import fs from 'node:fs/promises';
  import { syncBuiltinESMExports } from 'node:module';
  const { open } = fs;
  fs.open = async (path, ...rest) => {
    const handle = await open(path, ...rest);
    if (String(path).endsWith('model.safetensors.part') && rest[0] === 'w') {${code}}
    return handle;
  };
  syncBuiltinESMExports();
`;
/** A disk that is full after the first piece. */
const FULL_DISK = whenWritten(`
  const write = handle.writeFile.bind(handle);
  let pieces = 0;
  handle.writeFile = async (data) => {
    if (pieces++ === 1)
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    return write(data);
  };
`);
/** As `ulimit -f`, but only from here on: drivers that play GPU keep their memory in files. */
const FILE_LIMIT = whenWritten(`
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=65536']);
  if (status !== 0) throw new Error('prlimit: ' + stderr);
`);

const TEXT = ['--text', 'text', '--window', '48'];

describe('bad input', () => {
  test.each<[string, readonly string[], RegExp]>([
    [
      'a text that is too short',
      ['analyze', 'llama', '--text', 'short'],
      / has \d+ tokens, .* needs 115.*longer/,
    ],
    ['a ShishuLM', ['analyze', 'shishu', ...TEXT], /ShishuLM already: 5 of its 8 blocks.*parent/],
    ['NaN among the weights', ['analyze', 'broken', ...TEXT], /perplexity is NaN.*weights/],
    ['no output folder', ['convert', 'llama', ...TEXT], /No output folder.*-o/],
    [
      'a text that is too short',
      ['convert', 'llama', '-o', 'out', '--text', 'short', '--window', '48'],
      / has \d+ tokens, .* needs 115/,
    ],
    ['a ShishuLM', ['convert', 'shishu', '-o', 'out', ...TEXT], /ShishuLM already/],
    ['NaN among the weights', ['convert', 'broken', '-o', 'out', ...TEXT], /perplexity is NaN.*weights/],
    [
      'a layer that is not an attention block',
      ['convert', 'llama', '-o', 'out', '--layers', '2,3', ...TEXT],
      /Layer 3 is not an attention block.*0 to 2/,
    ],
    [
      'no list of layers',
      ['convert', 'llama', '-o', 'out', '--layers', 'top', ...TEXT],
      /list of layers holds "top"/,
    ],
    [
      'a target that cannot be reached',
      ['convert', 'llama', '-o', 'out', '--target-memory=-99%', ...TEXT],
      /99.0 % less memory cannot be reached: .* is \d+\.\d % less/,
    ],
    [
      'more blocks to keep than there are',
      ['convert', 'llama', '-o', 'out', '--keep-attention', '3', ...TEXT],
      /3 attention blocks cannot be kept of 3.*0 to 2/,
    ],
    [
      'two targets',
      ['convert', 'llama', '-o', 'out', '--keep-attention', '1', '--layers', '1', ...TEXT],
      /More/,
    ],
    ['a folder that exists', ['convert', 'llama', '-o', 'there', ...TEXT], /there exists already.*--force/],
  ])('%s: %s', (_, args, message) => {
    const before = readdirSync(folder).sort();
    const { status, stdout, said, stderr } = run(args);
    expect({ status, stdout }, stderr).toEqual({ status: 1, stdout: '' });
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(message);
    expect(readdirSync(folder).sort()).toEqual(before);
    expect(readdirSync(at('there'))).toEqual([]);
  });

  test.each([
    ['a disk that is full', FULL_DISK, /ENOSPC.*Free some disk space/],
    // The kernel's own refusal; a full disk of one's own takes privileges.
    ...(process.platform === 'linux'
      ? ([['a file that may not grow', FILE_LIMIT, /EFBIG.*Raise the limit/]] as const)
      : []),
  ] as const)(
    '%s in the middle of the weights: nothing is left, and what was there stays',
    (_, code, why) => {
      writeFileSync(join(at('there'), 'mine'), 'x');
      writeFileSync(at('full.mjs'), code);
      const before = readdirSync(folder).sort();
      const args = ['convert', 'llama', '-o', 'there', '--force', '--layers', '1', ...TEXT];
      const { status, said, stderr } = run(args, ['--import', pathToFileURL(at('full.mjs')).href]);
      expect(status, stderr).toBe(1);
      expect(said[0]).toMatch(/Could not write .*model\.safetensors: /);
      expect(said[0]).toMatch(why);
      expect(readdirSync(folder).sort()).toEqual(before);
      expect(readdirSync(at('there'))).toEqual(['mine']);
    },
  );
});

test('analyze prints what each block takes, and writes what the chat page reads', () => {
  const { status, stdout, stderr } = run(['analyze', 'llama', ...TEXT, '--out', 'analysis.json']);
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/\| attention bytes \| map bytes \| MLP bytes \| KV bytes a token \|/);
  expect(stdout).toMatch(/GPU time of one token|no timestamp-query/);
  const { order } = JSON.parse(readFileSync(at('analysis.json'), 'utf8'));
  expect([...order.skip].sort()).toEqual([0, 1, 2]);
});
