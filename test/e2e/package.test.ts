// The package as its users get it: its files and types, and the examples of demo/examples run from the packed tarball.
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { build, type PreviewServer, preview, type Rolldown } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumArgs, findBrowser } from '../../scripts/find-browser.mjs';
import { browserName, launchBrowser } from '../support/browser.ts';
import { type Packed, packPackage } from '../support/packed.ts';

const root = join(import.meta.dirname, '../..');
/** Most bytes of the engine, gzipped, without the tokenizer packages: what every page with a model fetches, kernels among it. */
const ENGINE_LIMIT = 100_000;
/** What the embedded model says, roughly. */
const ENGLISH = /^[A-Z][A-Za-z ,.'!?-]{9,}/;
const DOORS = ['openai-fetch', 'ai-sdk', 'langchain', 'prompt-api'];
const ENTRIES = ['.', './worker', './openai', './convert', './bench', ...DOORS.map((name) => `./${name}`)];

/** What the TypeScript compiler says. */
const compile = async (...options: string[]): Promise<string> => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  const run = promisify(execFile)(process.execPath, [tsc, ...options]);
  return (await run.catch((error: { stdout: string }) => error)).stdout;
};

let packed: Packed;
beforeAll(async () => {
  packed = await packPackage();
}, 180_000);
afterAll(() => rm(packed.home, { recursive: true }));

describe('what is in the package', () => {
  test('the built files with their types and source maps, and nothing of the sources', async () => {
    const { files } = packed;
    for (const path of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md'])
      expect(files).toContain(path);
    for (const name of ['index', 'worker', 'openai', 'convert', 'bench', ...DOORS])
      expect(files).toContain(`dist/${name}.js`);
    // Entries may be nothing but the names of what is in chunks.
    for (const path of files.filter((path) => /^dist\/(chunks\/(?!rolldown).*|worker)\.js$/.test(path)))
      expect(files).toContain(`${path}.map`);
    const odd = files.filter(
      (path) => path.includes('/') && !/^dist\/.*(\.js|\.js\.map|\.d\.ts)$/.test(path),
    );
    expect(odd).toEqual([]);
  });

  test('the reference that the build writes has a section for every export of the main entry', async () => {
    const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
    const index = await read('src/index.ts');
    const lists = [...index.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list]) =>
      list!.split(','),
    );
    const names = lists.map((name) => name.replace(/^\s*type /, '').trim()).filter(Boolean);
    for (const [, path] of index.matchAll(/export type \* from '\.\/(.*)'/g))
      for (const [, name] of (await read(`src/${path}`)).matchAll(/^export (?:interface|type) (\w+)/gm))
        names.push(name!);
    expect(names).toEqual(expect.arrayContaining(['loadModel', 'GenerateOptions']));
    const sections = [...(await read('docs/api.md')).matchAll(/^### (\w+)$/gm)].map(([, name]) => name);
    expect(sections).toEqual(expect.arrayContaining([...names, 'chatCompletions', 'analyze', 'runBench']));
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
      `import { loadModel, type Model, type ShishuError } from 'shishulm';
import { parseBenchModel } from 'shishulm/bench';
import { analyze } from 'shishulm/convert';
import { chatCompletions, type ChatCompletion } from 'shishulm/openai';
import { openaiFetch } from 'shishulm/openai-fetch';
import { type LanguageModelSession, promptApi } from 'shishulm/prompt-api';
import 'shishulm/worker';

export const local: Model = await loadModel('https://example.org/');
export const remote: Model = await loadModel('owner/name', { worker: true });
export const ids: number[] = await remote.encode(await local.decode([1]));
export const answer: ChatCompletion = await remote.chat.completions.create({ messages: [] });
export const same: ChatCompletion = await chatCompletions(local).create({ messages: [], stream: false });
export const own: typeof fetch = openaiFetch(local);
export const session: LanguageModelSession = await promptApi(local).create();
export const others = [parseBenchModel, analyze] as const;
export const code = (error: ShishuError): string => error.code;
// @ts-expect-error A page's fetch cannot go to a worker.
loadModel('owner/name', { worker: true, fetch });
`,
    );
    expect(await compile('-p', join(home, 'vite'))).toBe('');
  });

  test('programs for other libraries compile, those libraries left alone', async () => {
    const file = join(packed.home, 'doors.ts');
    await writeFile(
      file,
      `import { embed, generateText } from 'ai';
import type OpenAI from 'openai';
import { loadModel } from 'shishulm';
import { embeddingModel, languageModel } from 'shishulm/ai-sdk';
import { ChatShishuLM, ShishuLMEmbeddings } from 'shishulm/langchain';
import { openaiFetch } from 'shishulm/openai-fetch';

const model = await loadModel('owner/name', { worker: true });
export const options: ConstructorParameters<typeof OpenAI>[0] = { fetch: openaiFetch({ model }) };
export const text: string = (await generateText({ model: languageModel(model), prompt: 'Hello' })).text;
export const vector: number[] = (await embed({ model: embeddingModel(model), value: 'Hello' })).embedding;
export const chat = await new ChatShishuLM({ model }).bindTools([]).invoke('Hello');
export const vectors: number[][] = await new ShishuLMEmbeddings({ model }).embedDocuments(['Hello']);
`,
    );
    const lib = ['--lib', 'es2023,esnext.disposable,dom,dom.iterable,dom.asynciterable'];
    const module = ['--module', 'esnext', '--moduleResolution', 'bundler', '--target', 'es2023'];
    expect(
      await compile('--ignoreConfig', '--strict', '--noEmit', '--skipLibCheck', ...lib, ...module, file),
    ).toBe('');
  });
});

describe('size', () => {
  test(`the engine stays under ${ENGINE_LIMIT} bytes, with the kernels of a GPU or of a software adapter`, () => {
    const bytesOf = (use: string): number =>
      Number(new RegExp(`^${use} +(\\d+)$`, 'm').exec(packed.log)?.[1] ?? Number.NaN);
    const alone = bytesOf('engine \\(loadModel, estimate\\)');
    const on = ['a GPU', 'a software adapter'].map((what) => bytesOf(`engine on ${what}`));
    console.info(packed.log.slice(packed.log.indexOf('Bytes, gzipped'), packed.log.indexOf('computing')));
    expect(alone).toBeGreaterThan(10_000);
    for (const bytes of on) {
      expect(bytes).toBeGreaterThan(alone + 2_000);
      expect(bytes).toBeLessThan(ENGINE_LIMIT);
    }
  });

  test('what the docs say of sizes is so, within a tenth', async () => {
    const docs = await readFile(join(root, 'docs/guide.md'), 'utf8');
    const said = [...docs.matchAll(/^\| (.*?) \| .* \| ([\d.]+) kB \|$/gm)];
    expect(said.length).toBeGreaterThan(10);
    for (const [, use, kB] of said) {
      const line = packed.log.split('\n').find((line) => new RegExp(`^\\+? ?${use}  `).test(line));
      const bytes = Number(line?.match(/\d+$/)?.[0]);
      expect(Math.abs(bytes - 1000 * Number(kB)), `${use}: ${bytes}`).toBeLessThan(100 + bytes / 10);
    }
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
    // Bundlers may write chunks that nothing leads to; the page fetches what its entry imports.
    const [little] = await bundle(entry);
    expect([...little!.imports, ...little!.dynamicImports]).toEqual([]);
    expect(little!.code.length).toBeLessThan(1200);
  });
});

describe('examples', () => {
  let browser: Browser;
  const servers: PreviewServer[] = [];
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser.close();
    await Promise.all(servers.map((server) => server.close()));
  });

  async function serve(root: string, outDir: string): Promise<string> {
    const server = await preview({
      root,
      logLevel: 'error',
      preview: { port: 0, host: '127.0.0.1' },
      build: { outDir },
    });
    servers.push(server);
    return server.resolvedUrls!.local[0]!;
  }

  /** Fills the page's form in; the answer, and the paths that were fetched for it, of this server alone. */
  async function ask(url: string, worker: boolean): Promise<{ answer: string; fetched: string[] }> {
    const context = await browser.newContext();
    const page = await context.newPage();
    const problems: string[] = [];
    const fetched: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    context.on('request', (request) => fetched.push(request.url()));
    await page.goto(url);
    await page.getByLabel('in a worker').setChecked(worker);
    await page.getByRole('button').click();
    await page.locator('output[data-state=done], output[data-state=failed]').waitFor({ timeout: 120_000 });
    const answer = (await page.locator('output').textContent())!;
    await context.close();
    expect(fetched.filter((each) => !each.startsWith(url))).toEqual([]);
    // The icon of a page without one, which the browser looks for by itself.
    expect(problems.filter((text) => !/404/.test(text))).toEqual([]);
    return { answer, fetched: fetched.map((each) => each.slice(url.length)) };
  }

  test('plain HTML with an import map, in the page and in a worker', async () => {
    const url = await serve(packed.home, 'plain');
    const here = await ask(url, false);
    expect(here.answer).toMatch(ENGLISH);
    expect(here.fetched).not.toContain('node_modules/shishulm/dist/worker.js');
    // The tokenizer's own packages, and the chat template, come beside the engine.
    const own = here.fetched.filter((path) => /shishulm\/dist\/(?!chunks\/chat-template)/.test(path));
    const files = await Promise.all(own.map((path) => readFile(join(packed.home, 'plain', path))));
    const fetched = files.reduce((sum, file) => sum + gzipSync(file).length, 0);
    console.info(
      `A page with a model fetched ${fetched} bytes, gzipped, in ${own.length} files: ${own.join(' ')}`,
    );
    expect(fetched).toBeLessThan(ENGINE_LIMIT);
    expect(own.some((path) => path.includes('shaders-plain'))).toBe(true);
    expect(own.some((path) => path.includes('shaders-gpu'))).toBe(false);
    const there = await ask(url, true);
    expect(there.answer).toBe(here.answer);
    expect(there.fetched).toContain('node_modules/shishulm/dist/worker.js');
    expect(there.fetched.some((path) => /chunks\/engine/.test(path))).toBe(false);
  });

  test('a file of the package that cannot be fetched is told', async () => {
    const url = await serve(packed.home, 'plain');
    await withContext(async (context) => {
      const page = await context.newPage();
      await page.route(/shaders-plain/, (route) => route.abort());
      await page.goto(url);
      expect(await answerOf(page)).toMatch(/^io: A part of shishulm could not be fetched: .*shaders-plain/);
    });
  });

  test('a Vite app under a content policy without eval and inline scripts, with the chat', async () => {
    const root = join(packed.home, 'vite');
    await build({ root, logLevel: 'error' });
    const url = await serve(root, 'dist');
    const policy = (await fetch(url)).headers.get('Content-Security-Policy');
    expect(policy).toContain("script-src 'self'; worker-src 'self'");
    expect(policy).not.toContain('unsafe');
    const { answer, fetched } = await ask(url, true);
    expect(answer).toMatch(ENGLISH);
    expect(fetched.some((path) => /worker/.test(path))).toBe(true);
    expect(fetched.some((path) => /engine/.test(path))).toBe(false);
  });

  /** Builds an example with Vite, and serves it. */
  async function built(name: string): Promise<string> {
    const root = join(packed.home, name);
    await build({ root, logLevel: 'error' });
    return serve(root, 'dist');
  }

  /** Asks the form of a page that has no more than a prompt. */
  async function answerOf(page: Page): Promise<string> {
    await page.getByRole('button').click();
    await page.locator('output[data-state=done], output[data-state=failed]').waitFor({ timeout: 120_000 });
    return (await page.locator('output').textContent())!;
  }

  async function withContext<T>(use: (context: BrowserContext) => Promise<T>): Promise<T> {
    const context = await browser.newContext();
    try {
      return await use(context);
    } finally {
      await context.close();
    }
  }

  test("OpenAI's client, the Prompt API, LangChain.js and React's useChat of the AI SDK", async () => {
    const url = await built('doors');
    expect(await compile('-p', join(packed.home, 'doors'))).toBe('');
    await withContext(async (context) => {
      const answers: string[] = [];
      for (const name of ['openai', 'langchain', 'prompt-api']) {
        const page = await context.newPage();
        await page.goto(`${url}${name}.html`);
        answers.push(await answerOf(page));
        await page.close();
      }
      expect(answers[0]).toMatch(ENGLISH);
      expect(answers[1]).toBe(answers[0]);
      expect(answers[2]).toMatch(/^[A-Z][a-z ,']{20,60}\.$/);
      const page = await context.newPage();
      await page.goto(`${url}ai-sdk.html`);
      await page.getByRole('button').click();
      await page.locator('li[data-role=assistant]').waitFor({ timeout: 120_000 });
      const ended = page.locator('output[data-state=ready], output[data-state=error]');
      await ended.waitFor({ state: 'attached', timeout: 120_000 });
      expect(await page.locator('output').textContent()).toBe('');
      expect(await page.locator('li[data-role=assistant]').textContent()).toBe(answers[0]);
    });
  });

  // Other browsers' shared workers have no WebGPU yet, and extensions are theirs alone.
  if (browserName === 'chromium') {
    test('a shared worker with one model for two tabs', async () => {
      const url = await built('shared-worker');
      expect(await compile('-p', join(packed.home, 'shared-worker'))).toBe('');
      await withContext(async (context) => {
        const pages = [await context.newPage(), await context.newPage()];
        for (const page of pages) await page.goto(url);
        const answers = await Promise.all(pages.map(answerOf));
        expect(answers[0]).toMatch(ENGLISH);
        expect(answers[1]).toBe(answers[0]);
        // The model of a tab that goes stays.
        await pages[0]!.close();
        expect(await answerOf(pages[1]!)).toBe(answers[0]);
      });
    });

    test('an extension whose model is in an offscreen page', async () => {
      const root = join(packed.home, 'extension');
      await build({ root, logLevel: 'error' });
      const folder = join(root, 'dist');
      const context = await chromium.launchPersistentContext('', {
        executablePath: await findBrowser({ install: false }),
        args: [
          ...chromiumArgs,
          '--headless=new',
          `--disable-extensions-except=${folder}`,
          `--load-extension=${folder}`,
        ],
        ignoreDefaultArgs: ['--disable-extensions'],
      });
      try {
        const [worker = await context.waitForEvent('serviceworker')] = context.serviceWorkers();
        const page = await context.newPage();
        await page.goto(new URL('popup.html', worker.url()).href);
        const first = await answerOf(page);
        expect(first).toMatch(ENGLISH);
        expect(await answerOf(page)).toBe(first);
      } finally {
        await context.close();
      }
    });
  }
});
