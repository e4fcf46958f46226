// The package as its users get it: its files and types, and the examples of demo/examples run from the packed tarball.
import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build, type Rolldown } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Packed, packPackage } from '../support/packed.ts';

const root = join(import.meta.dirname, '../..');
/** Most bytes of the engine, gzipped, without the tokenizer packages. */
const ENGINE_LIMIT = 40_000;
const ENTRIES = ['.', './worker', './openai', './convert', './bench'];

let packed: Packed;
beforeAll(async () => {
  packed = await packPackage();
});
afterAll(() => rm(packed.home, { recursive: true }));

describe('what is in the package', () => {
  test('the built files with their types and source maps, and nothing of the sources', async () => {
    const { files } = packed;
    for (const path of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'])
      expect(files).toContain(path);
    for (const name of ['index', 'worker', 'openai', 'convert', 'bench'])
      expect(files).toEqual(expect.arrayContaining([`dist/${name}.js`, `dist/${name}.js.map`]));
    const odd = files.filter(
      (path) => path.includes('/') && !/^dist\/.*(\.js|\.js\.map|\.d\.ts)$/.test(path),
    );
    expect(odd).toEqual([]);
  });

  test('publint finds nothing', async () => {
    const { messages, pkg } = await publint({ pack: { tarball: packed.tarball.buffer } });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });

  test('the types are found where modules are modules', async () => {
    const analysis = await checkPackage(createPackageFromTarballData(packed.tarball));
    if (!analysis.types) expect.fail('there are no types');
    expect(Object.keys(analysis.entrypoints)).toEqual(expect.arrayContaining(ENTRIES));
    // It is ESM only: `require` and the resolution of Node 10 are not promised.
    const kept = analysis.problems.filter(
      (problem) => !('resolutionKind' in problem && /node10|node16-cjs/.test(problem.resolutionKind)),
    );
    expect(kept).toEqual([]);
  });

  test('a program that uses every entry compiles, its libraries checked too', async () => {
    const { home } = packed;
    await writeFile(
      join(home, 'vite/every.ts'),
      `import { type LocalModel, loadModel, type RemoteModel, type ShishuError } from 'shishulm';
import { parseSpec } from 'shishulm/bench';
import { analyze } from 'shishulm/convert';
import { chatCompletions, type ChatCompletion } from 'shishulm/openai';
import 'shishulm/worker';

export const local: LocalModel = await loadModel('https://example.org/');
export const remote: RemoteModel = await loadModel('owner/name', { worker: true });
export const ids: number[] = await remote.encode(local.decode([1]));
export const answer: ChatCompletion = await remote.chat.completions.create({ messages: [] });
export const same: ChatCompletion = await chatCompletions(local).create({ messages: [], stream: false });
export const others = [parseSpec, analyze] as const;
export const code = (error: ShishuError): string => error.code;
// @ts-expect-error A page's fetch cannot go to a worker.
loadModel('owner/name', { worker: true, fetch });
`,
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const result = await promisify(execFile)(process.execPath, [tsc, '-p', join(home, 'vite')]).catch(
      (error: { stdout: string }) => error,
    );
    expect(result.stdout).toBe('');
  });
});

describe('size', () => {
  test(`the engine stays under ${ENGINE_LIMIT} bytes`, () => {
    const bytes = Number(/^engine \(loadModel, estimate\) +(\d+)$/m.exec(packed.log)?.[1]);
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThan(ENGINE_LIMIT);
  });

  test('a page that uses little gets little', async () => {
    const { home } = packed;
    const entry = join(home, 'vite/little.js');
    await writeFile(entry, `import { ShishuError } from 'shishulm';\nconsole.log(ShishuError);\n`);
    const bundle = async (name: string): Promise<Rolldown.OutputChunk[]> => {
      const output = await build({
        root: join(home, 'vite'),
        logLevel: 'error',
        build: { write: false, rolldownOptions: { input: name, external: [/^@huggingface/] } },
      });
      const { output: files } = (Array.isArray(output) ? output[0] : output) as Rolldown.RolldownOutput;
      return files.filter((file) => file.type === 'chunk');
    };
    const [little, ...others] = await bundle(entry);
    expect(others).toEqual([]);
    expect(little!.code.length).toBeLessThan(1000);
  });
});
