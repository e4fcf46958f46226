// Models by name: what names and addresses mean, and loading them from a server that answers as a hub does.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readHeaders } from '../../src/engine/engine.ts';
import { type HubOptions, hubFolder, hubPlace, isHubId } from '../../src/formats/hub.ts';
import { openSource, type SourceOptions } from '../../src/formats/open-source.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { type HubServer, startHub, TOKENS } from '../support/hub-server.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const gguf = readFileSync(join(import.meta.dirname, '../fixtures/tiny-llama.gguf'));
const model = { ...tinyFiles(tinyModel('llama', 5)), ...charTokenizerFiles() };
const under = (folder: string, files: object) =>
  Object.fromEntries(Object.entries(files).map(([name, content]) => [`${folder}/${name}`, content]));
const { 'model.safetensors': _, ...texts } = model;
const REPOSITORIES = {
  'some/tiny': { files: model, revisions: ['v1', 'refs/pr/1'] },
  'some/folders': { files: { 'README.md': '#', ...under('sub folder', model) } },
  'some/gated': { files: model, gated: true },
  'some/secret': { files: model, private: true },
  'some/one-GGUF': {
    revisions: ['refs/pr/1', 'feature/x'],
    files: { 'README.md': '#', 'm.gguf': gguf, 'mmproj-m.gguf': gguf },
  },
  'some/many-GGUF': {
    files: {
      'README.md': '#',
      'm-Q8_0.gguf': gguf,
      'm-Q4_0.gguf': gguf,
      'BF16/m-00001-of-00002.gguf': gguf,
      'BF16/m-00002-of-00002.gguf': gguf,
    },
  },
  'some/config-GGUF': { files: { ...texts, 'm.gguf': gguf } },
  'some/adapter': { files: { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'weights' } },
  'some/nothing': { files: { 'README.md': '#', 'pytorch_model.bin': 'x' } },
} as const;

let hub: HubServer;
beforeAll(async () => {
  hub = await startHub(REPOSITORIES);
});
afterAll(() => hub.close());
const waits: number[] = [];
beforeEach(() => {
  hub.asked.length = 0;
  waits.length = 0;
});

const open = (name: string, own: HubOptions = {}, options: SourceOptions = {}) =>
  openSource(name, {
    hub: { endpoint: hub.endpoint, ...own },
    sleep: async (ms) => void waits.push(ms),
    ...options,
  });
const headers = (name: string, own?: HubOptions) => readHeaders(open(name, own), {});
const refusal = (name: string, own?: HubOptions, options?: SourceOptions) =>
  readHeaders(open(name, own, options), {}).then(
    () => expect.fail('it loaded'),
    (error) => error,
  );

describe('a name or an address', () => {
  const repo = { id: 'owner/name', folder: '' };
  it.each<[string, ReturnType<typeof hubPlace>]>([
    ['owner/name', repo],
    ['owner/name@v2', { ...repo, revision: 'v2' }],
    ['owner/name@refs/pr/1', { ...repo, revision: 'refs/pr/1' }],
    ['owner/name/m.gguf', { ...repo, file: 'm.gguf' }],
    ['owner/name@v2/q4/m.GGUF', { ...repo, revision: 'v2', folder: 'q4/', file: 'm.GGUF' }],
    ['owner/name@refs/pr/1/m.gguf', { ...repo, revision: 'refs/pr/1', file: 'm.gguf' }],
    ['hf:owner/name', repo],
    ['hf://owner/name@v2', { ...repo, revision: 'v2' }],
    ['hf:owner/name/a b/m (1).gguf', { ...repo, folder: 'a b/', file: 'm (1).gguf' }],
    ['hf:owner/name@feature/x', { ...repo, revision: 'feature/x' }],
    ['hf:owner/name/onnx', { ...repo, folder: 'onnx/' }],
    ['https://huggingface.co/owner/name', repo],
    ['https://huggingface.co/owner/name/', repo],
    ['https://huggingface.co/owner/name@v2', { ...repo, revision: 'v2' }],
    ['HF:owner/name', repo],
    ['own.er/na..me-1.5', { id: 'own.er/na..me-1.5', folder: '' }],
    ['http://hf.co/owner/name?library=transformers#use', repo],
    ['huggingface.co/owner/name', repo],
    ['www.huggingface.co/owner/name/m.gguf', repo],
    ['https://huggingface.co/owner/name/discussions/3', repo],
    ['https://huggingface.co/owner/name?show_file_info=m-Q4.gguf', { ...repo, file: 'm-Q4.gguf' }],
    ['https://huggingface.co/owner/name/tree/main', { ...repo, revision: 'main' }],
    [
      'https://huggingface.co/owner/name/tree/v1/sub/folder',
      { ...repo, revision: 'v1', folder: 'sub/folder/' },
    ],
    ['https://huggingface.co/owner/name/tree/refs%2Fpr%2F1', { ...repo, revision: 'refs/pr/1' }],
    [
      'https://huggingface.co/owner/name/blob/refs/pr/1/m.gguf',
      { ...repo, revision: 'refs/pr/1', file: 'm.gguf' },
    ],
    [
      'https://huggingface.co/owner/name/blob/main/q4/m.gguf',
      { ...repo, revision: 'main', folder: 'q4/', file: 'm.gguf' },
    ],
    ['https://huggingface.co/owner/name/blob/main/config.json', { ...repo, revision: 'main' }],
    ['https://huggingface.co/owner/name/resolve/main/', { ...repo, revision: 'main' }],
    [
      'https://huggingface.co/owner/name/resolve/main/m%20n.gguf?download=true',
      { ...repo, revision: 'main', file: 'm n.gguf' },
    ],
    [
      'https://huggingface.co/owner/name/raw/main/a/model.safetensors',
      { ...repo, revision: 'main', folder: 'a/' },
    ],
    ['https://mirror.example/hub/owner/name/tree/v1', { ...repo, revision: 'v1' }],
    ['https://mirror.example/owner/name', undefined],
    ['https://x.example/owner/name/m.gguf', undefined],
    ['./owner/name', undefined],
    ['../owner/name', undefined],
    ['/owner/name', undefined],
    ['owner/name/sub', undefined],
    ['name', undefined],
    ['m.gguf', undefined],
  ])('%s', (text, place) => {
    expect(hubPlace(text, { endpoint: 'https://mirror.example/hub/' })).toEqual(place);
    if (!/^https?:/.test(text)) expect(isHubId(text)).toBe(place !== undefined);
  });

  it.each([
    'hf:',
    'hf:name',
    'hf:owner/',
    'https://huggingface.co/',
    'https://huggingface.co/gpt2',
    'https://huggingface.co/datasets/owner/name',
    'https://huggingface.co/spaces/owner',
    'https://huggingface.co/owner/na%me',
  ])('%s is no model', (text) => {
    expect(() => hubPlace(text)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  it.each([
    'owner/name@..',
    'owner/name@.',
    'hf:owner/name@../x',
    'hf:owner/name/../../../evil/name/resolve/main',
    'hf:owner/name/../m.gguf',
    'hf:owner/name//m.gguf',
    'hf:owner/name/a\\..\\m.gguf',
    'https://huggingface.co/owner/name/tree/main/%2e%2e/%2E%2E/a',
    'https://huggingface.co/owner/name/tree/main/..%2f..%2fa',
    'https://huggingface.co/owner/name/tree/%2e%2e/a',
    'https://huggingface.co/owner/name/tree/..%2f..%2fa',
    'https://huggingface.co/owner/name?show_file_info=../m.gguf',
  ])('%s leads out of the repository, or of its revision', (text) => {
    expect(() => hubFolder(hubPlace(text)!)).toThrow('is no model of a hub');
  });

  it('has a revision of the caller that stays in it', () => {
    expect(() => hubFolder({ ...repo }, { revision: '..' })).toThrow('is no model of a hub');
  });

  it.each(['https://mirror.example/hub', 'https://mirror.example/hub/', 'https://mirror.example/hub//'])(
    'at the endpoint %s',
    (endpoint) => {
      const place = hubPlace('https://mirror.example/hub/owner/name/tree/v1', { endpoint })!;
      expect(place).toEqual({ ...repo, revision: 'v1' });
      const { url, page } = hubFolder(place, { endpoint });
      expect(url.href).toBe('https://mirror.example/hub/owner/name/resolve/v1/');
      expect(page).toBe('https://mirror.example/hub/owner/name');
    },
  );

  it.each([
    'mirror.example',
    'ftp://mirror.example',
    'https://mirror.example/?a=b',
    'https://mirror.example/#a',
  ])('at no endpoint %s', (endpoint) => {
    expect(() => hubFolder({ ...repo }, { endpoint })).toThrow(`endpoint "${endpoint}" is not a URL`);
  });

  it('leads to the endpoint, escaped', () => {
    const { url, list, page } = hubFolder(
      { id: 'o/n', revision: 'refs/pr/1', folder: 'a b/' },
      { endpoint: 'https://mirror.example/hub' },
    );
    expect(url.href).toBe('https://mirror.example/hub/o/n/resolve/refs%2Fpr%2F1/a%20b/');
    expect(list.href).toBe('https://mirror.example/hub/api/models/o/n/tree/?recursive=true');
    expect(page).toBe('https://mirror.example/hub/o/n');
  });
});

describe('a model of a hub', () => {
  const { spec } = tinyModel('llama', 5);

  it.each([
    'some/tiny',
    'some/tiny@v1',
    'some/tiny@refs/pr/1',
    'hf:some/tiny',
    'https://huggingface.co/some/tiny/tree/main',
    'hf:some/folders/sub folder',
    'https://huggingface.co/some/folders/blob/main/sub%20folder/config.json',
  ])('%s loads through redirects', async (name) => {
    const found = await headers(name);
    expect(found.spec).toEqual(spec);
    const bytes = await found.checkpoint.read('model.norm.weight');
    expect(bytes.length).toBe(4 * spec.hiddenSize);
    expect((await loadTokenizer(open(name), 64)).encode('AB')).toEqual([33, 34]);
    expect(hub.asked.some(({ host, range }) => host === 'cdn' && range)).toBe(true);
  });

  it('is asked for nothing more than a folder on any server', async () => {
    await headers('some/tiny');
    const paths = hub.asked
      .filter(({ path }) => !path.startsWith('/api'))
      .map(({ path }) => path.split('?')[0]);
    expect(paths.sort()).toEqual([
      '/some/tiny/model.safetensors',
      '/some/tiny/resolve/main/config.json',
      '/some/tiny/resolve/main/model.safetensors',
    ]);
  });

  it('may be an adapter, which has no config.json', async () => {
    const source = open('some/adapter');
    expect(Buffer.from(await source.read('adapter_config.json')).toString()).toBe('{}');
    expect(Buffer.from(await source.read('adapter_model.safetensors', 1, 4)).toString()).toBe('eig');
    expect(hub.asked.some(({ path }) => path.includes('/tree/') || path.endsWith('/config.json'))).toBe(
      false,
    );
    await expect(source.read('adapter_model.bin')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('gets the token, its CDN does not, nor an error its text', async () => {
    const token = TOKENS.member;
    for (const name of ['some/secret', 'some/gated', `${hub.endpoint}/some/secret/tree/main`])
      expect((await headers(name, { token })).spec).toEqual(spec);
    for (const { host, token: sent } of hub.asked)
      expect(sent).toBe(host === 'hub' ? `Bearer ${token}` : undefined);
    expect(hub.asked.some(({ host }) => host === 'cdn')).toBe(true);
    // Whatever a file is called.
    const asked: string[] = [];
    const source = open(
      'some/tiny',
      { token },
      {
        fetch: async (url) => {
          asked.push(new URL(String(url)).origin);
          return new Response('', { status: 404 });
        },
      },
    );
    for (const file of [
      '//evil.example/a',
      '/\\evil.example/a',
      'https://evil.example/a',
      '\\\\evil.example\\a',
    ])
      await expect(source.read(file)).rejects.toMatchObject({ code: 'not-found' });
    expect(new Set(asked)).toEqual(new Set([hub.endpoint]));
    for (const [name, bad] of [
      ['some/none', token],
      ['some/tiny', 'hf_wrong'],
      ['some/tiny', 'two words'],
      ['some/tiny', 'line\nbreak'],
    ] as const) {
      const error = await (async () => open(name, { token: bad }))()
        .then((source) => readHeaders(source, {}))
        .catch((e) => e);
      expect(error).toMatchObject({ name: 'ShishuError' });
      expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain(bad);
    }
  });
});

describe('what a hub refuses', () => {
  it.each<[string, string, HubOptions, object]>([
    [
      'a licence, unasked',
      'some/gated',
      {},
      {
        code: 'io',
        message: expect.stringMatching(
          /licence.*Accept it at http\S+\/some\/gated, then.*HF_TOKEN.*hub\.token/,
        ),
      },
    ],
    [
      'a licence that the account did not accept',
      'some/gated',
      { token: TOKENS.stranger },
      {
        code: 'io',
        message: expect.stringMatching(/Accept it at http\S+\/some\/gated with the account of the token/),
      },
    ],
    [
      'a model that is not there',
      'some/none',
      {},
      {
        code: 'not-found',
        message: expect.stringMatching(/no model http\S+\/some\/none, or it is private\..*token/),
      },
    ],
    ['a private model', 'some/secret', {}, { code: 'not-found', details: { model: 'some/secret' } }],
    ['a private model of others', 'some/secret', { token: TOKENS.stranger }, { code: 'not-found' }],
    [
      'a token',
      'some/tiny',
      { token: 'hf_wrong' },
      { code: 'io', message: expect.stringMatching(/not accept the token/) },
    ],
    [
      'a revision',
      'some/tiny@v9',
      {},
      {
        code: 'not-found',
        message: expect.stringMatching(/some\/tiny has no revision "v9"\..*\/some\/tiny\/tree\/main/),
      },
    ],
    [
      'a file',
      'some/tiny/m.gguf',
      {},
      { code: 'not-found', message: expect.stringMatching(/^m\.gguf is not in http/) },
    ],
    [
      'a repository of other files',
      'some/nothing',
      {},
      { code: 'not-found', details: { file: 'config.json' } },
    ],
  ])('%s', async (_, name, own, expected) => {
    expect(await refusal(name, own)).toMatchObject(expected);
    expect(waits).toEqual([]);
  });

  it('says what else was looked for', async () => {
    const note = 'no folder some/none is here';
    expect((await refusal('some/none', {}, { note })).message).toContain(`or it is private, and ${note}.`);
    expect((await refusal('some/nothing', {}, { note })).message).toContain(`(${note})`);
  });

  it('says why nobody answers', async () => {
    const error = await refusal('some/tiny', { endpoint: 'http://127.0.0.1:1' });
    expect(error).toMatchObject({
      code: 'io',
      message: expect.stringMatching(/config\.json of http.*fetch failed: /),
    });
  });

  it('waits as long as the hub asks, and says so where that is too long', async () => {
    hub.busy(1, { 'Retry-After': '7' });
    await headers('some/tiny');
    expect(waits).toEqual([7000]);
    hub.busy(1, { RateLimit: '"resolvers";r=0;t=55' });
    await headers('some/tiny');
    expect(waits).toEqual([7000, 55_000]);
    hub.busy(99, { RateLimit: '"resolvers";r=0;t=290' });
    expect(await refusal('some/tiny')).toMatchObject({
      code: 'io',
      message: expect.stringMatching(/429.*log in or pass a token.*in 290 s.*token/),
      details: { status: 429, retryAfterMs: 290_000 },
    });
    hub.busy(0, {});
  });
});

describe('a repository with GGUF files alone', () => {
  it.each([
    'some/one-GGUF',
    'some/many-GGUF/m-Q8_0.gguf',
    'https://huggingface.co/some/many-GGUF/blob/main/m-Q4_0.gguf',
  ])('%s is a model', async (name) => {
    const { spec, checkpoint, stored } = await headers(name);
    expect(spec.modelType).toBe('llama');
    expect(stored).not.toBe('F32');
    expect((await checkpoint.read('model.norm.weight')).length).toBe(4 * spec.hiddenSize);
    expect((await loadTokenizer(open(name), 320)).hasChatTemplate).toBe(true);
  });

  it('may be of a revision with a slash', async () => {
    expect((await headers('some/one-GGUF@refs/pr/1')).spec.modelType).toBe('llama');
    expect((await headers('hf:some/one-GGUF@feature/x')).spec.modelType).toBe('llama');
  });

  it('that has several is refused by their names and sizes', async () => {
    const error = await refusal('some/many-GGUF');
    const size = (files: number): string => `(${((files * gguf.length) / 1e6).toFixed(1)} MB)`;
    expect(error).toMatchObject({ code: 'bad-argument' });
    expect(error.message).toMatch(/^There are 3 GGUF files in http\S+\/some\/many-GGUF\. Name one of them: /);
    for (const text of [
      `some/many-GGUF/BF16/m-00001-of-00002.gguf ${size(2)}`,
      `some/many-GGUF/m-Q4_0.gguf ${size(1)}`,
      `some/many-GGUF/m-Q8_0.gguf ${size(1)}`,
    ])
      expect(error.message).toContain(text);
  });

  it('beside a config names the file to ask for', async () => {
    expect(await refusal('some/config-GGUF')).toMatchObject({
      code: 'bad-argument',
      message: expect.stringContaining('Name the file: some/config-GGUF/m.gguf.'),
    });
  });

  it('whose list cannot be had is missed as any folder', async () => {
    const plain: typeof fetch = (url, init) =>
      String(url).includes('/api/models')
        ? Promise.resolve(new Response('no', { status: 403 }))
        : fetch(url, init);
    const error = await refusal('some/one-GGUF', {}, { fetch: plain });
    expect(error).toMatchObject({ code: 'not-found', details: { file: 'config.json' } });
  });
});
