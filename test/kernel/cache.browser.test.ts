import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { canCache, deleteCached, listCached } from '../../src/formats/cache-files.ts';
import { CHUNK_BYTES, PREFETCHED_CHUNKS, slots } from '../../src/formats/concurrency.ts';
import { openSource, type SourceOptions } from '../../src/formats/open-source.ts';
import { readOptional, type Source } from '../../src/formats/source.ts';

const FOLDER = 'https://models.example/tiny/';
const WEIGHTS = 'model.safetensors';
// More than what one read brings with it.
const size = (2 + PREFETCHED_CHUNKS) * CHUNK_BYTES + 12_345;
const content = new Uint8Array(size).map((_, i) => (i * 2654435761) >>> 13);

/** A server in memory that counts what it sends. */
class Server {
  files: Record<string, Uint8Array<ArrayBuffer>> = { [WEIGHTS]: content };
  etag = '"1"';
  requests: string[] = [];
  /** How the browser's own cache was to be used. */
  stores = new Set<RequestCache | undefined>();
  sent = 0;
  offline = false;
  /** What is said of files that are not there. */
  absent = 404;
  /** Chunks after this byte never come. */
  stuckAfter = Number.POSITIVE_INFINITY;

  readonly fetch: typeof fetch = async (url, init) => {
    if (this.offline) throw new TypeError('offline');
    const file = String(url).slice(FOLDER.length);
    const range = new Headers(init?.headers).get('Range');
    this.requests.push(`${file} ${range ?? 'whole'}`);
    this.stores.add(init?.cache);
    const bytes = this.files[file];
    if (!bytes) return new Response('', { status: this.absent });
    const [first = 0, last = bytes.length - 1] = (range?.slice(6).split('-') ?? [])
      .filter(Boolean)
      .map(Number);
    if (first > this.stuckAfter)
      return new Promise((_, reject) => {
        init?.signal?.addEventListener('abort', () => reject(new DOMException('Aborted', 'AbortError')));
      });
    const body = bytes.slice(first, last + 1);
    this.sent += body.length;
    const headers = {
      ETag: this.etag,
      'Content-Range': `bytes ${first}-${first + body.length - 1}/${bytes.length}`,
    };
    return new Response(body, range ? { status: 206, headers } : { headers });
  };
}

let server: Server;
const warnings: string[] = [];
const open = (options: SourceOptions = {}): Source =>
  openSource(FOLDER, {
    fetch: server.fetch,
    cache: true,
    attempts: 1,
    warn: (message) => warnings.push(message),
    ...options,
  });

async function holds(source: Source, start = 0, end = size): Promise<boolean> {
  const bytes = await source.read(WEIGHTS, start, end);
  let same = bytes.length === end - start;
  for (let i = 0; same && i < bytes.length; i++) same = bytes[i] === content[start + i];
  return same;
}

const untilStored = (bytes: number): Promise<void> =>
  vi.waitFor(async () => expect((await listCached())[0]?.storedBytes).toBe(bytes), { timeout: 20_000 });

/** Changes the stored bytes of a chunk behind the cache's back. */
async function damage(
  index: number,
  change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>,
): Promise<void> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('shishulm-cache');
  for await (const folder of root.values()) {
    const handle = await (folder as FileSystemDirectoryHandle)
      .getFileHandle(String(index))
      .catch(() => undefined);
    if (!handle) continue;
    const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
    const writer = await handle.createWritable();
    await writer.write(change(bytes));
    await writer.close();
  }
}

beforeEach(async () => {
  await deleteCached();
  server = new Server();
  warnings.length = 0;
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('the cache', () => {
  it('downloads once, and then needs no network', async () => {
    expect(canCache()).toBe(true);
    const first = open();
    expect(await holds(first, 5, 100_000)).toBe(true);
    expect(await holds(first, CHUNK_BYTES - 10, CHUNK_BYTES + 10)).toBe(true);
    expect(await holds(first)).toBe(true);
    expect(server.sent).toBe(size + 1);
    expect(await listCached()).toEqual([
      { url: FOLDER + WEIGHTS, size, storedBytes: size, validator: '"1"' },
    ]);

    server.offline = true;
    const second = open();
    expect(await holds(second)).toBe(true);
    expect(await second.size(WEIGHTS)).toBe(size);
    expect(await second.read(WEIGHTS, size - 10)).toEqual(content.slice(size - 10));
    expect((await second.read(WEIGHTS)).length).toBe(size);
    await expect(second.read(WEIGHTS, size - 10, size + 10)).rejects.toMatchObject({
      code: 'io',
      details: { found: 10 },
    });
  });

  it('keeps downloads once, not in the cache of the browser too', async () => {
    expect(await holds(open())).toBe(true);
    expect([...server.stores]).toEqual(['no-store']);
    server.stores.clear();
    expect(await holds(open({ cache: false }))).toBe(true);
    expect([...server.stores]).toEqual([undefined]);
  });

  it('gives several reads at once their bytes, on the way in and from what is kept', async () => {
    const step = CHUNK_BYTES / 2;
    const starts = Array.from({ length: Math.ceil(size / step) }, (_, i) => i * step);
    for (const offline of [false, true]) {
      server.offline = offline;
      const source = open();
      const four = slots(4);
      const read = async (start: number): Promise<void> => {
        const bytes = await source.read(WEIGHTS, start, Math.min(size, start + step));
        expect(bytes.every((byte, i) => byte === content[start + i])).toBe(true);
      };
      await Promise.all(starts.map((start) => four(() => read(start))));
    }
    expect(server.sent).toBe(size + 1);
  });

  it('remembers what a finished model lacks, and asks again before that', async () => {
    await expect(open().read('chat_template.jinja')).rejects.toMatchObject({ code: 'not-found' });
    server.files['chat_template.jinja'] = new TextEncoder().encode('hello');
    expect((await open().read('chat_template.jinja')).length).toBe(5);
    await expect(open().read('generation_config.json')).rejects.toMatchObject({ code: 'not-found' });
    await holds(open());
    server.offline = true;
    await expect(open().read('generation_config.json')).rejects.toMatchObject({ code: 'not-found' });
    expect((await listCached()).map(({ url }) => url.slice(FOLDER.length))).toEqual([
      'chat_template.jinja',
      WEIGHTS,
    ]);
  });

  it('remembers what a server refuses, as buckets do for files that they lack', async () => {
    server.absent = 403;
    const source = open();
    expect(await readOptional(source, 'chat_template.jinja')).toBeUndefined();
    await expect(open().read('chat_template.jinja')).rejects.toMatchObject({ details: { status: 403 } });
    await holds(source);
    server.offline = true;
    expect(await readOptional(open(), 'chat_template.jinja')).toBeUndefined();
    expect(await listCached()).toHaveLength(1);
  });

  it('goes on with a download that was killed', async () => {
    server.stuckAfter = 2 * CHUNK_BYTES - 1;
    const kill = new AbortController();
    const source = open();
    const read = source.read(WEIGHTS, 0, size, kill.signal);
    const killed = untilStored(2 * CHUNK_BYTES).then(() => kill.abort());
    await expect(read).rejects.toMatchObject({ code: 'aborted' });
    await killed;

    server.stuckAfter = Number.POSITIVE_INFINITY;
    server.sent = 0;
    expect(await holds(open())).toBe(true);
    expect(server.sent).toBe(size - 2 * CHUNK_BYTES + 1);
  });

  it('begins anew when the file has changed since', async () => {
    await open().read(WEIGHTS, 0, 10);
    await untilStored((1 + PREFETCHED_CHUNKS) * CHUNK_BYTES);
    server.etag = '"2"';
    server.sent = 0;
    expect(await holds(open())).toBe(true);
    expect(server.sent).toBe(size + 1);
    expect((await listCached())[0]!.validator).toBe('"2"');
  });

  it('asks whether a whole file changed only when told to', async () => {
    await holds(open());
    server.requests = [];
    server.etag = '"2"';
    expect(await holds(open())).toBe(true);
    expect(server.requests).toEqual([]);
    server.sent = 0;
    expect(await holds(open({ cache: 'refresh' }))).toBe(true);
    expect(server.sent).toBe(size + 1);
    server.requests = [];
    expect(await holds(open({ cache: 'refresh' }))).toBe(true);
    expect(server.requests).toEqual([`${WEIGHTS} bytes=0-0`]);
  });

  it.each([
    ['changed', (bytes: Uint8Array<ArrayBuffer>) => bytes.fill(7, 1000, 1001)],
    ['cut short', (bytes: Uint8Array<ArrayBuffer>) => bytes.slice(0, 5000)],
    ['emptied', () => new Uint8Array(0)],
  ])('finds a chunk that was %s, and fetches it again', async (_, change) => {
    await holds(open());
    await damage(1, change);
    server.sent = 0;
    expect(await holds(open())).toBe(true);
    expect(server.sent).toBe(CHUNK_BYTES + 1);
    server.offline = true;
    expect(await holds(open())).toBe(true);
  });

  it('never mixes a damaged file with another version of it', async () => {
    await holds(open());
    await damage(1, (bytes) => bytes.fill(0));
    server.etag = '"2"';
    await expect(open().read(WEIGHTS)).rejects.toMatchObject({ code: 'io', details: { file: WEIGHTS } });
    expect(await holds(open())).toBe(true);
  });

  it('downloads once for two pages that load at the same time', async () => {
    expect(await Promise.all([holds(open()), holds(open())])).toEqual([true, true]);
    // Each has asked for the size; one has fetched.
    expect(server.sent).toBe(size + 2);
  });

  it('loads without keeping, and says so, when the quota is too small', async () => {
    vi.spyOn(navigator.storage, 'estimate').mockResolvedValue({ quota: 1_000_000, usage: 900_000 });
    expect(await holds(open())).toBe(true);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('100000');
    expect(await listCached()).toEqual([]);
  });

  it('loads on when the disk is full half-way', async () => {
    const source = open();
    await source.read(WEIGHTS, 0, 10);
    await untilStored((1 + PREFETCHED_CHUNKS) * CHUNK_BYTES);
    vi.spyOn(FileSystemFileHandle.prototype, 'createWritable').mockRejectedValue(
      new DOMException('No room.', 'QuotaExceededError'),
    );
    expect(await holds(source)).toBe(true);
    expect(await holds(source, size - 100, size)).toBe(true);
    expect(warnings).toEqual(['The model is not kept for the next visit: No room.']);
  });

  it('deletes by folder', async () => {
    await holds(open());
    expect(await deleteCached('https://other.example/')).toBe(0);
    expect(await deleteCached(FOLDER)).toBe(size);
    expect(await listCached()).toEqual([]);
  });
});
