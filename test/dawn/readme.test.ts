// The README's example runs as written, but for what the hub answers, and without the worker, which Node has not.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import * as shishulm from '../../src/index.ts';

const root = join(import.meta.dirname, '../..');
const HUB = 'https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/resolve/main/';

afterEach(() => vi.unstubAllGlobals());

test('the example streams a reply', async () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const code = /```js\n([\s\S]*?)```/.exec(readme)![1]!;
  expect(code.trim().split('\n').length).toBeLessThanOrEqual(10);
  const [, names, body] = /^import \{ (.*) \} from 'shishulm';\n([\s\S]*)$/.exec(code)!;

  vi.stubGlobal('fetch', async (url: string | URL | Request, init?: RequestInit) => {
    const [, file] = String(url).split(HUB);
    const path = join(root, 'demo/public/models/child', file ?? 'none');
    if (!existsSync(path)) return new Response(null, { status: 404 });
    const bytes = readFileSync(path);
    const range = /^bytes=(\d+)-(\d*)$/.exec(new Headers(init?.headers).get('Range') ?? '');
    if (!range) return new Response(bytes);
    const [from, to] = [Number(range[1]), range[2] ? Number(range[2]) : bytes.length - 1];
    const headers = { 'Content-Range': `bytes ${from}-${to}/${bytes.length}` };
    return new Response(bytes.subarray(from, to + 1), { status: 206, headers });
  });
  const shown: string[] = [];
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (document: object, module: object) => Promise<void>;
  const example = new AsyncFunction(
    'document',
    'module',
    `const { ${names} } = module;\n${body!.replace(', { worker: true }', '')}`,
  );
  await example({ body: { append: (text: string) => shown.push(text) } }, shishulm);

  expect(shown.length).toBeGreaterThan(1);
  expect(shown.join('').trim()).not.toBe('');
});
