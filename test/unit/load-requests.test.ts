// What a load asks a server for before it has the headers, and that all of it ends with a load that is refused.
import { afterEach, expect, test, vi } from 'vitest';
import { estimate, loadModel } from '../../src/index.ts';

afterEach(() => void vi.unstubAllGlobals());

const TEXTS = [
  'tokenizer.json',
  'tokenizer_config.json',
  'modules.json',
  'tool_use.jinja',
  'chat_template.jinja',
  'chat_template.json',
];
const ALL = ['config.json', 'model.safetensors', 'generation_config.json', ...TEXTS].sort();

/** A server that answers only for `answers`; the others wait until they are given up. */
function server(answers: Record<string, string> = {}) {
  const open = new Set<string>();
  const asked: string[] = [];
  const fetch = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const file = String(url).split('/').at(-1)!;
    asked.push(file);
    if (file in answers) return new Response(answers[file]);
    open.add(file);
    return new Promise((_, reject) => {
      init!.signal!.addEventListener('abort', () => {
        open.delete(file);
        reject(init!.signal!.reason);
      });
    });
  };
  // Nothing gets as far as to a GPU.
  vi.stubGlobal('navigator', { gpu: { requestAdapter: async () => null } });
  return { options: { fetch, cache: false }, open, asked };
}
const URL = 'https://example.org/m/';

test('headers and texts are asked for at once, the config first; an abort ends all', async () => {
  const { options, open, asked } = server();
  const abort = new AbortController();
  const loading = loadModel(URL, { ...options, signal: abort.signal });
  loading.catch(() => {});
  // The engine is imported first, which takes a busy machine a while.
  await vi.waitFor(() => expect([...open].sort()).toEqual(ALL), { timeout: 20_000 });
  expect(asked.slice(0, 2)).toEqual(['config.json', 'model.safetensors']);
  abort.abort();
  await expect(loading).rejects.toMatchObject({ code: 'aborted' });
  await vi.waitFor(() => expect([...open]).toEqual([]));
  expect(asked).toHaveLength(ALL.length);
});

test('what is wrong with the config is told before the rest has come, which is given up', async () => {
  const { options, open, asked } = server({ 'config.json': '{}' });
  await expect(loadModel(URL, options)).rejects.toMatchObject({ code: 'bad-config' });
  await vi.waitFor(() => expect([...open]).toEqual([]));
  expect(asked.sort()).toEqual(ALL);
});

test('an estimate asks for config and header alone', async () => {
  const { options, open, asked } = server({ 'config.json': '{}' });
  await expect(estimate(URL, options)).rejects.toMatchObject({ code: 'bad-config' });
  await vi.waitFor(() => expect([...open]).toEqual([]));
  expect(asked).toEqual(['config.json', 'model.safetensors']);
});
