// Files that a folder may lack, asked of servers that say so in their own ways; and files that are something else.

import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readHeaders } from '../../src/engine/engine.ts';
import { readGeneration } from '../../src/formats/generation.ts';
import { readJson } from '../../src/formats/json.ts';
import { openSource } from '../../src/formats/open-source.ts';
import { readOptional } from '../../src/formats/source.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { randomModel, tinyFiles, tinyModel } from '../support/tiny-models.ts';

type Files = Record<string, string | Uint8Array<ArrayBuffer>>;

const PAGE = '<!DOCTYPE html>\n<html><body>Sign in</body></html>';
const html = { 'Content-Type': 'text/html; charset=utf-8' };
const ANSWERS: Record<string, () => Response> = {
  '400': () => new Response('<?xml version="1.0"?><Error/>', { status: 400 }),
  '401': () => new Response('Unauthorized', { status: 401 }),
  '403': () => new Response('<Error><Code>AccessDenied</Code></Error>', { status: 403 }),
  '404': () => new Response('no', { status: 404 }),
  '405': () => new Response('no', { status: 405 }),
  '410': () => new Response('gone', { status: 410 }),
  '204': () => new Response(null, { status: 204 }),
  'a page with 200': () => new Response(PAGE, { headers: html }),
  'a page without a type': () => new Response(PAGE, { headers: { 'Content-Type': 'text/plain' } }),
  'a page behind a byte order mark': () =>
    new Response(`\ufeff\n${PAGE}`, { headers: { 'Content-Type': '' } }),
  'an XML document with 200': () =>
    new Response('<?xml version="1.0"?><a/>', { headers: { 'Content-Type': '' } }),
};

/** A server with these files, that answers so for all others. */
function server(files: Files, absent: () => Response) {
  return openSource('http://x/m/', {
    sleep: async () => {},
    async fetch(url, init) {
      const file = files[new URL(String(url)).pathname.slice('/m/'.length)];
      if (file === undefined) return absent();
      const bytes = typeof file === 'string' ? new TextEncoder().encode(file) : file;
      const range = /bytes=(\d+)-(\d*)/.exec(new Headers(init?.headers).get('Range') ?? '');
      if (!range) return new Response(bytes);
      const [start, end] = [
        Number(range[1]),
        Math.min(range[2] ? Number(range[2]) + 1 : bytes.length, bytes.length),
      ];
      const headers = { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` };
      return new Response(bytes.slice(start, end), { status: 206, headers });
    },
  });
}

const model = tinyModel('llama', 5);
const weights = (shards: number): Files => tinyFiles(model, 'F32', shards);

describe.each(Object.entries(ANSWERS))('a server that answers %s', (name, absent) => {
  it('for optional files has a model without them', async () => {
    const { 'tokenizer.json': tokenizerJson } = byteTokenizerFiles();
    const folder = server({ 'tokenizer.json': tokenizerJson! }, absent);
    expect(await readOptional(folder, 'chat_template.jinja')).toBeUndefined();
    const tokenizer = await loadTokenizer(folder, 300);
    expect(tokenizer.hasChatTemplate).toBe(false);
    const { eosTokenIds } = await readGeneration(folder, { eosTokenIds: [2], vocabSize: 9 }, { enders: [] });
    expect(eosTokenIds).toEqual([2]);
  });

  it.each([1, 3])('for the other way to store weights loads those in %i files', async (shards) => {
    const { checkpoint } = await readHeaders(server(weights(shards), absent), {});
    expect(checkpoint.bytes).toBe(
      [...model.tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0),
    );
  });

  it('for what it needs is named with the file', async () => {
    const refused = /^4/.test(name) && name !== '404' && name !== '410';
    const error = await readHeaders(server({}, absent), {}).catch((e) => e);
    expect(error.message).toContain('config.json');
    expect(error).toMatchObject(
      refused ? { code: 'io', details: { status: Number(name) } } : { details: { file: 'config.json' } },
    );
    const { 'config.json': spec } = weights(1);
    const noWeights = await readHeaders(server({ 'config.json': spec! }, absent), {}).catch((e) => e);
    expect(noWeights.message).toContain('model.safetensors');
    if (refused) expect(noWeights.details.status).toBe(Number(name));
    const { 'model-00002-of-00003.safetensors': _, ...without } = weights(3);
    await expect(readHeaders(server(without, absent), {})).rejects.toThrow(/model-00002-of-00003/);
  });
});

it('an empty optional file is none', async () => {
  const files = { ...byteTokenizerFiles(), 'chat_template.jinja': '' };
  const tokenizer = await loadTokenizer(memorySource(files), 300);
  expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'x' }])).toContain('<|im_start|>user');
});

describe('a file that is something else', () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 2471645608\n`;
  const gzip = new Uint8Array(gzipSync(new Uint8Array(5000)));
  const zip = new Uint8Array([0x50, 0x4b, 3, 4, ...new Uint8Array(60)]);
  const gguf = new Uint8Array([...new TextEncoder().encode('GGUF'), 3, 0, 0, 0, ...new Uint8Array(60)]);
  const OTHER: [string, string | Uint8Array<ArrayBuffer>, RegExp][] = [
    ['a Git LFS pointer', pointer, /Git LFS pointer.*git lfs pull/],
    ['gzip', gzip, /packed with gzip/],
    ['a page', PAGE, /HTML page/],
    ['a zip', zip, /zip archive/],
    ['a GGUF', gguf, /GGUF/],
    ['an error in JSON', '{"error": "no such model"}', /JSON, not weights/],
  ];
  /** A folder whose files have a size, one whose files have none, and a server. */
  const folders = (files: Files) => [
    memorySource(files),
    openSource({
      read(file, start, end) {
        const found = files[file];
        return (typeof found === 'string' ? new TextEncoder().encode(found) : found)?.slice(start, end);
      },
    }),
    server(files, () => new Response(null, { status: 404 })),
  ];

  it.each(OTHER)('in place of weights is told: %s', async (_, bytes, message) => {
    for (const shards of [1, 3]) {
      const files = weights(shards);
      const file = Object.keys(files).find((each) => each.endsWith('.safetensors'))!;
      for (const folder of folders({ ...files, [file]: bytes })) {
        const error = await readHeaders(folder, {}).catch((e) => e);
        expect(error).toMatchObject({ code: 'bad-checkpoint', details: { file } });
        expect(error.message).toMatch(message);
        expect(error.message).toContain(file);
      }
    }
  });

  it.each(OTHER.slice(0, 5))('in place of JSON is told: %s', async (_, bytes, message) => {
    for (const folder of folders({ 'tokenizer.json': bytes })) {
      const error = await readJson(folder, 'tokenizer.json', { code: 'bad-tokenizer' }).catch((e) => e);
      expect(error).toMatchObject({ code: 'bad-tokenizer', details: { file: 'tokenizer.json' } });
      expect(error.message).toMatch(message);
    }
  });

  it('weights whose header is as long as the beginning of a packed file are weights', async () => {
    // Lengths whose first bytes are those of gzip: 0x8b1f.
    const wide = randomModel({ ...model.configJson, num_hidden_layers: 34 }, 1);
    const files = tinyFiles(wide);
    const bytes = files['model.safetensors']!;
    const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const padded = new Uint8Array(bytes.length + 0x8b1f - header).fill(0x20);
    expect(header).toBeLessThan(0x8b1f);
    padded.set(bytes.subarray(0, 8 + header));
    padded.set(bytes.subarray(8 + header), 8 + 0x8b1f);
    new DataView(padded.buffer).setBigUint64(0, 0x8b1fn, true);
    expect([...padded.subarray(0, 2)]).toEqual([0x1f, 0x8b]);
    await readHeaders(memorySource({ ...files, 'model.safetensors': padded }), {});
  });
});
