// Models of a hub on the command line: names against paths, the environment, and downloads that are kept.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { command as inspect } from '../../src/cli/inspect.ts';
import { openModelFolder } from '../../src/cli/io.ts';
import { readHeaders } from '../../src/engine/engine.ts';
import { deleteCached, listCached } from '../../src/formats/cache-files.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { type Asked, type HubServer, startHub, TOKENS } from '../support/hub-server.ts';
import { randomModel, tinyFiles, tinyModel } from '../support/tiny-models.ts';
import { writeFolder } from '../support/write-folder.ts';

const gguf = readFileSync(join(import.meta.dirname, '../fixtures/tiny-llama.gguf'));
const files = { ...tinyFiles(tinyModel('llama', 5)), ...charTokenizerFiles() };
/** Three chunks of the cache. */
const large = {
  ...tinyFiles(
    randomModel(
      {
        model_type: 'llama',
        hidden_size: 256,
        intermediate_size: 512,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 4,
        vocab_size: 64,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        hidden_act: 'silu',
      },
      3,
    ),
  ),
  ...charTokenizerFiles(),
};
const repositories = {
  'some/tiny': { files: { ...files } },
  'some/gated': { files: { ...files, 'more.json': '{}' }, gated: true as const },
  'some/large': { files: { ...large } },
  'some/one-GGUF': { files: { 'm.gguf': gguf } },
};

let hub: HubServer;
const home = mkdtempSync(join(tmpdir(), 'hub-cli-'));
const kept = (): string[] => readdirSync(join(home, 'cache/shishulm/shishulm-cache'));
const before = process.cwd();
beforeAll(async () => {
  hub = await startHub(repositories);
  mkdirSync(join(home, 'some'), { recursive: true });
  process.chdir(home);
});
afterAll(async () => {
  process.chdir(before);
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(home, { recursive: true });
});
beforeEach(async () => {
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
  vi.stubEnv('HF_TOKEN', '');
  vi.stubEnv('XDG_CACHE_HOME', join(home, 'cache'));
  hub.asked.length = 0;
  rmSync(join(home, 'cache'), { recursive: true, force: true });
});

/** First byte and end of what a request asked for. */
function rangeOf({ range = '' }: Asked): [number, number] {
  const [, from, to] = /(\d+)-(\d+)/.exec(range)!;
  return [Number(from), Number(to) + 1];
}

/** Loads all of a model that needs no GPU, and digests its weights. */
async function load(name: string, cache?: Parameters<typeof openModelFolder>[1]): Promise<string> {
  const source = await openModelFolder(name, cache);
  const { spec, checkpoint } = await readHeaders(source, {});
  await loadTokenizer(source, spec.vocabSize);
  const hash = createHash('sha256');
  for (const tensor of checkpoint.tensors.keys()) hash.update(await checkpoint.read(tensor));
  return hash.digest('hex');
}

async function printed(run: () => Promise<void>): Promise<string> {
  let text = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  await run().finally(() => write.mockRestore());
  return text;
}
const inspected = async (...args: string[]): Promise<{ bytes: object; dtype: string }> =>
  JSON.parse(
    await printed(() =>
      inspect.run([...args, '--json', '--profile', 'gpu'], new AbortController().signal, {} as never),
    ),
  );

describe('a name on the command line', () => {
  it('is of the hub of HF_ENDPOINT, with the token of HF_TOKEN', async () => {
    await load('some/tiny', false);
    await expect(load('some/gated', false)).rejects.toThrow(/licence.*HF_TOKEN/);
    vi.stubEnv('HF_TOKEN', ` ${TOKENS.member}\n`);
    await load('some/gated', false);
    const told = new Set(hub.asked.filter(({ token }) => token).map(({ host, token }) => `${host} ${token}`));
    expect([...told]).toEqual([`hub Bearer ${TOKENS.member}`]);
    vi.stubEnv('HF_ENDPOINT', 'hub.example');
    await expect(load('some/tiny')).rejects.toThrow(/endpoint "hub\.example" is not a URL.*https/);
  });

  it('gives way to a folder or file of this machine; hf: does not', async () => {
    const folder = writeFolder(join(home, 'some/tiny'), files);
    writeFileSync(join(home, 'some/m.gguf'), gguf);
    try {
      await load('some/tiny');
      await load('some/m.gguf');
      expect(hub.asked).toEqual([]);
      await load('hf:some/tiny');
      expect(hub.asked.length).toBeGreaterThan(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    ['some/none', /no model http\S+\/some\/none, or it is private, and no folder or file some\/none is here/],
    [
      'some/one-GGUF/n.gguf',
      /n\.gguf is not in http\S+ \(no folder or file some\/one-GGUF\/n\.gguf is here\)/,
    ],
    ['./some/none', /no folder \.\/some\/none\..*owner\/name/],
    ['none', /no folder none\..*owner\/name/],
    ['none.gguf', /none\.gguf is not in \./],
    ['hf:none', /"hf:none" is no model of a hub\. Write owner\/name/],
  ])('%s says all that was looked for', async (name, message) => {
    await expect(load(name, false)).rejects.toThrow(message);
  });

  it('is inspected by its header alone, in safetensors and in GGUF', async () => {
    expect(await inspected('some/large')).toMatchObject({ dtype: 'f32' });
    const weights = large['model.safetensors']!;
    const header = 8 + Number(new DataView(weights.buffer, weights.byteOffset).getBigUint64(0, true));
    for (const asked of hub.asked)
      if (asked.host === 'cdn') expect(rangeOf(asked)[1]).toBeLessThanOrEqual(header);
    expect(await inspected('some/one-GGUF')).toMatchObject({ dtype: 'q8' });
    expect(await listCached()).toEqual([]);
  });
});

describe('downloads', () => {
  it('are kept for the next time, which asks nothing', async () => {
    const first = await load('some/large');
    expect(hub.asked.length).toBeGreaterThan(0);
    hub.asked.length = 0;
    expect(await load('some/large')).toEqual(first);
    expect(await inspected('some/large')).toMatchObject({ dtype: 'f32' });
    expect(hub.asked).toEqual([]);
    expect((await listCached()).map(({ url }) => url.split('/').at(-1))).toContain('model.safetensors');
    expect(await deleteCached()).toBeGreaterThan(large['model.safetensors']!.length);
    expect(kept().length).toBe((await listCached()).length);
  });

  it('of a repository with one GGUF file are kept too', async () => {
    const first = await load('some/one-GGUF');
    hub.asked.length = 0;
    expect(await load('some/one-GGUF')).toEqual(first);
    expect(hub.asked.filter(({ host }) => host === 'cdn')).toEqual([]);
  });

  it('are not kept with --no-cache, and asked about with --refresh', async () => {
    await load('some/tiny', false);
    expect(existsSync(join(home, 'cache'))).toBe(false);
    const old = await load('some/tiny');
    const { files: there } = repositories['some/tiny'];
    Object.assign(there, tinyFiles(tinyModel('llama', 6)));
    expect(await load('some/tiny')).toEqual(old);
    const fresh = await load('some/tiny', 'refresh');
    expect(fresh).not.toEqual(old);
    expect(await load('some/tiny')).toEqual(fresh);
  });

  it('go without a folder to keep them in', async () => {
    const file = join(home, 'no-folder');
    writeFileSync(file, '');
    vi.stubEnv('XDG_CACHE_HOME', file);
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    await load('some/tiny');
    expect(told).toHaveBeenCalledWith(expect.stringMatching(/not kept: ENOTDIR/));
    told.mockRestore();
    expect(hub.asked.length).toBeGreaterThan(0);
  });

  it('that were cut off go on where they stopped, and damage is fetched anew', async () => {
    const source = await openModelFolder('some/large');
    await source.read('model.safetensors', 0, 100);
    const [entry] = (await listCached()).filter(({ url }) => url.endsWith('.safetensors'));
    expect(entry!.storedBytes).toBeGreaterThan(0);
    hub.asked.length = 0;
    const all = await load('some/large');
    const fetched = hub.asked
      .filter(({ host }) => host === 'cdn')
      .map(rangeOf)
      .reduce((sum, [from, to]) => sum + to - from, 0);
    expect(fetched).toBeLessThan(large['model.safetensors']!.length - entry!.storedBytes + 10);

    const folder = join(home, 'cache/shishulm/shishulm-cache');
    const chunk = kept()
      .map((name) => join(folder, name, '1'))
      .find((path) => existsSync(path))!;
    const bytes = readFileSync(chunk);
    bytes[5000]! ^= 1;
    writeFileSync(chunk, bytes);
    hub.asked.length = 0;
    expect(await load('some/large')).toEqual(all);
    expect(hub.asked.filter(({ host }) => host === 'cdn').length).toBeGreaterThan(0);
  });

  it('of several at once are whole, as are those of who asks anew meanwhile', async () => {
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const all = await load('some/large', false);
    for (let round = 0; round < 4; round++) {
      if (round % 2 === 0) rmSync(join(home, 'cache'), { recursive: true, force: true });
      const loads = [true, true, 'refresh', true, 'refresh'] as const;
      const found = await Promise.all(loads.map((cache) => load('some/large', cache)));
      expect(found).toEqual(loads.map(() => all));
    }
    expect(told).not.toHaveBeenCalled();
    hub.asked.length = 0;
    expect(await load('some/large')).toBe(all);
    expect(hub.asked).toEqual([]);
    told.mockRestore();
  });

  it('that another process takes away between finding and reading them are fetched anew', async () => {
    const all = await load('some/large');
    const { prototype } = globalThis.FileSystemFileHandle;
    const { getFile } = prototype;
    let taken = 0;
    const found = vi.spyOn(prototype, 'getFile').mockImplementation(async function (
      this: FileSystemFileHandle,
    ) {
      const file = await getFile.call(this);
      if (!/^\d+$/.test(this.name)) return file;
      taken++;
      const gone = async (): Promise<never> => {
        throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      };
      return { size: file.size, arrayBuffer: gone, slice: () => ({ arrayBuffer: gone }) } as unknown as File;
    });
    try {
      expect(await load('some/large')).toEqual(all);
      expect(taken).toBeGreaterThan(0);
    } finally {
      found.mockRestore();
    }
  });

  it('that a process was ended in leave nothing for long', async () => {
    await load('some/tiny');
    const folder = join(home, 'cache/shishulm/shishulm-cache');
    const [name] = kept();
    const [old, young] = [1, 2].map((id) => join(folder, `${name}.${id}-0.part`)) as [string, string];
    for (const path of [old, young]) writeFileSync(path, 'half');
    utimesSync(old, 1e9, 1e9);
    await load('some/tiny');
    expect([old, young].map((path) => existsSync(path))).toEqual([false, true]);
    expect((await listCached()).length).toBeGreaterThan(0);
  });

  it('of a licensed model miss no file that was refused for want of a token', async () => {
    vi.stubEnv('HF_TOKEN', TOKENS.member);
    await load('some/gated');
    vi.stubEnv('HF_TOKEN', '');
    const read = async () => (await openModelFolder('some/gated')).read('more.json');
    await expect(read()).rejects.toThrow('licence');
    vi.stubEnv('HF_TOKEN', TOKENS.member);
    expect(Buffer.from(await read()).toString()).toBe('{}');
  });
});
