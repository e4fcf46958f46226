import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '../../src/formats/node-folder.ts';
import { openSource } from '../../src/formats/open-source.ts';
import { readOptional, type Source } from '../../src/formats/source.ts';

const content = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251);

/** A directory handle with one file at the top and one in a folder. */
function handle(name: string, files: Record<string, Uint8Array<ArrayBuffer>>): FileSystemDirectoryHandle {
  const missing = () => Promise.reject(new DOMException('gone', 'NotFoundError'));
  return {
    name,
    getFileHandle: (file: string) =>
      files[file] ? Promise.resolve({ getFile: async () => new File([files[file]!], file) }) : missing(),
    getDirectoryHandle: (folder: string) =>
      folder === 'sub' ? Promise.resolve(handle(folder, files)) : missing(),
  } as unknown as FileSystemDirectoryHandle;
}

function picked(path: string, bytes: Uint8Array<ArrayBuffer>): File {
  const file = new File([bytes], path.split('/').at(-1) ?? '');
  Object.defineProperty(file, 'webkitRelativePath', { value: path });
  return file;
}

/** Answers of a server by the first part of the path. */
function serve(): Server {
  return createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '', 'http://x');
    const [, kind, ...rest] = pathname.split('/');
    const name = rest.join('/');
    if (kind === 'denied') return response.writeHead(403).end();
    if (kind === 'app' && name !== 'data.bin')
      return response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>');
    if (kind === 'signed' && search !== '?key=1') return response.writeHead(500).end();
    if (name !== 'data.bin' && name !== 'a%20b%23.bin') return response.writeHead(404).end();
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    if (!range || kind === 'whole') return response.writeHead(200).end(content);
    const start = Number(range[1]);
    const stop = Math.min(range[2] ? Number(range[2]) + 1 : content.length, content.length);
    const from = kind === 'shifted' ? start + 1 : start;
    const body = content.subarray(from, kind === 'short' ? stop - 1 : stop);
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${stop - 1}/${content.length}` }).end(body);
  });
}

/** Whether these are the bytes `[start, end)` of the file; an assertion on each element would be slow. */
const holds = (bytes: Uint8Array, start = 0, end = content.length): boolean =>
  Buffer.from(content.buffer, start, end - start).equals(bytes);

let server: Server;
let base = '';
let folder = '';
beforeAll(async () => {
  server = serve();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  folder = await mkdtemp(join(tmpdir(), 'source-'));
  await writeFile(join(folder, 'data.bin'), content);
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

const kinds: [string, () => Source | Promise<Source>][] = [
  ['a server with ranges', () => openSource(`${base}/ranges`)],
  ['a server without ranges', () => openSource(new URL(`${base}/whole/`))],
  ['a server that answers with its page', () => openSource(`${base}/app`)],
  ['a URL with a key', () => openSource(`${base}/signed?key=1`)],
  ['files with plain names', () => openSource([new File([content], 'data.bin')])],
  [
    'files of a picked folder',
    () =>
      openSource([
        picked('m/sub/config.json', content),
        picked('m/config.json', content),
        picked('m/data.bin', content),
      ]),
  ],
  ['a directory handle', () => openSource(handle('m', { 'data.bin': content }))],
  [
    'an object with read',
    () => openSource({ read: async (name, s, e) => (name === 'data.bin' ? content.slice(s, e) : undefined) }),
  ],
  ['a folder on disk', () => openFolder(folder)],
];

describe.each(kinds)('%s', (_, open) => {
  it('gives whole files, ranges and sizes, and names what is missing', async () => {
    const source = await open();
    expect(holds(await source.read('data.bin'))).toBe(true);
    expect(await source.read('data.bin', 5, 9)).toEqual(content.slice(5, 9));
    expect(holds(await source.read('data.bin', 250_000, 290_000), 250_000, 290_000)).toBe(true);
    expect(await source.read('data.bin', 299_990)).toEqual(content.slice(299_990));
    expect(holds(await source.read('data.bin', 0, content.length))).toBe(true);
    expect(await source.read('data.bin', 7, 7)).toHaveLength(0);
    expect([content.length, undefined]).toContain(await source.size('data.bin'));
    await expect(source.read('no.bin')).rejects.toMatchObject({
      code: 'not-found',
      details: { file: 'no.bin' },
    });
    await expect(source.read('no/no.bin', 0, 4)).rejects.toMatchObject({ code: 'not-found' });
    expect(await readOptional(source, 'no.bin')).toBeUndefined();
  });

  it('refuses ranges that are cut short or senseless', async () => {
    const source = await open();
    const short = source.read('data.bin', 299_990, 300_010);
    await expect(short).rejects.toMatchObject({
      code: 'io',
      details: { file: 'data.bin', found: 10, expected: 20 },
    });
    for (const [start, end] of [
      [5, 4],
      [-1, 4],
      [0.5, 4],
    ])
      await expect(source.read('data.bin', start, end)).rejects.toMatchObject({ code: 'bad-argument' });
  });
});

describe('openSource', () => {
  it('reports what a server does wrong', async () => {
    const code = (kind: string) =>
      openSource(`${base}/${kind}`, { sleep: async () => {} })
        .read('data.bin', 0, 9)
        .catch((e) => e);
    expect(await code('denied')).toMatchObject({ code: 'io', details: { status: 403 } });
    expect(await code('shifted')).toMatchObject({ code: 'io', details: { found: 1, expected: 0 } });
    expect(await code('short')).toMatchObject({ code: 'io', details: { found: 8, expected: 9 } });
    const offline = openSource('http://x/', {
      fetch: () => Promise.reject(new TypeError('offline')),
      sleep: async () => {},
    });
    await expect(offline.read('a')).rejects.toMatchObject({
      code: 'io',
      message: expect.stringMatching(/a of .*offline/),
    });
  });

  it('escapes file names and keeps sub-folders', async () => {
    const urls: string[] = [];
    const source = openSource('http://x/m?k=1', {
      fetch: async (url) => {
        urls.push(String(url));
        return new Response('ok');
      },
    });
    await source.read('sub/a b#?.bin');
    expect(urls).toEqual(['http://x/m/sub/a%20b%23%3F.bin?k=1']);
  });

  it('reads files in sub-folders of a handle', async () => {
    const source = openSource(handle('m', { 'data.bin': content }));
    expect(await source.read('sub/data.bin', 1, 3)).toEqual(content.slice(1, 3));
    expect(await source.size('sub/data.bin')).toBe(content.length);
  });

  it('says when a call was aborted', async () => {
    const signal = AbortSignal.abort();
    await expect(openSource(base).read('data.bin', 0, 4, signal)).rejects.toMatchObject({ code: 'aborted' });
  });

  it('refuses what is no source, and readers that break their word', async () => {
    for (const odd of [null, 5, {}, 'no url'])
      expect(() => openSource(odd as never)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    const read = (value: unknown) => openSource({ read: () => value as never }).read('f', 0, 2);
    await expect(read('text')).rejects.toMatchObject({ code: 'io' });
    await expect(read(new Uint8Array(3))).rejects.toMatchObject({ code: 'io' });
    await expect(
      openSource({
        read: () => {
          throw new Error('disk on fire.');
        },
      }).read('f'),
    ).rejects.toThrow(/disk on fire\.$/);
    await expect(openFolder(join(folder, 'none'))).rejects.toMatchObject({ code: 'not-found' });
    await expect(openFolder(join(folder, 'data.bin'))).rejects.toThrow(/is not a folder/);
  });
});
