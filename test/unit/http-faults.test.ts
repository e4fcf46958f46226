import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ShishuError } from '../../src/errors.ts';
import { rawHttp } from '../../src/formats/http.ts';
import { openSource, type SourceOptions } from '../../src/formats/open-source.ts';
import type { Source } from '../../src/formats/source.ts';

const content = new Uint8Array(400_000).map((_, i) => (i * 2654435761) >>> 13);
const FILE = 'model.safetensors';

type Answer = (request: IncomingMessage, response: ServerResponse, nth: number) => void;

/** `[start, stop)` that a request asks for, or undefined. */
function rangeOf({ headers }: IncomingMessage): [number, number] | undefined {
  const match = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '');
  return match
    ? [Number(match[1]), Math.min(match[2] ? Number(match[2]) + 1 : content.length, content.length)]
    : undefined;
}

function head(
  request: IncomingMessage,
  extra: Record<string, string> = {},
): [number, number, Record<string, string>] {
  const [start, stop] = rangeOf(request) ?? [0, content.length];
  const range = { 'Content-Range': `bytes ${start}-${stop - 1}/${content.length}` };
  return [start, stop, { ETag: '"1"', 'Content-Length': String(stop - start), ...range, ...extra }];
}

/** A server as it should be. */
const good: Answer = (request, response) => {
  const [start, stop, headers] = head(request);
  if (start >= content.length)
    return void response.writeHead(416, { 'Content-Range': `bytes */${content.length}` }).end();
  response.writeHead(rangeOf(request) ? 206 : 200, headers).end(content.subarray(start, stop));
};

/** Cuts the connection after `bytes` of the body, for the first `times` requests. */
const dropping =
  (bytes: number, times: number): Answer =>
  (request, response, nth) => {
    if (nth > times) return good(request, response, nth);
    const [start, stop, headers] = head(request);
    response.writeHead(206, headers);
    response.flushHeaders();
    const end = Math.min(stop, start + bytes);
    if (end > start)
      response.write(content.subarray(start, end), () => setImmediate(() => response.destroy()));
    else setImmediate(() => response.destroy());
  };

const failing =
  (status: number, times: number, headers: Record<string, string> = {}): Answer =>
  (request, response, nth) =>
    nth > times ? good(request, response, nth) : void response.writeHead(status, headers).end('no');

/** A chunked answer that ends properly, but too early. */
const endingEarly =
  (bytes: number, times: number): Answer =>
  (request, response, nth) => {
    if (nth > times) return good(request, response, nth);
    const [start, stop, { 'Content-Length': _, ...headers }] = head(request);
    response.writeHead(206, headers).end(content.subarray(start, Math.min(stop, start + bytes)));
  };

const trickling: Answer = (request, response) => {
  const [start, stop, headers] = head(request);
  response.writeHead(206, headers);
  let at = start;
  const timer = setInterval(() => {
    response.write(content.subarray(at, Math.min(stop, at + 16_384)));
    at += 16_384;
    if (at < stop) return;
    clearInterval(timer);
    response.end();
  }, 2);
};

/** Sends the first bytes and then nothing for ever. */
const stalling: Answer = (request, response, nth) => {
  if (nth > 1) return good(request, response, nth);
  const [start, , headers] = head(request);
  response.writeHead(206, headers);
  response.write(content.subarray(start, start + 1000));
};

const redirecting: Answer = (request, response, nth) =>
  request.url?.startsWith('/else/')
    ? good(request, response, nth)
    : void response.writeHead(nth % 2 ? 302 : 307, { Location: `/else${request.url}` }).end();

const without: Answer = (_request, response) => void response.writeHead(200).end(content);
/** Forgets its ranges after the first cut. */
const forgetting: Answer = (request, response, nth) =>
  nth === 1 ? dropping(50_000, 1)(request, response, nth) : without(request, response, nth);

let server: Server;
let base = '';
const cases = new Map<string, { answer: Answer; ranges: string[] }>();

beforeAll(async () => {
  server = createServer((request, response) => {
    const name = /case-\d+/.exec(request.url ?? '')?.[0] ?? '';
    const found = cases.get(name);
    if (!found) return response.writeHead(404).end();
    if (!request.url?.startsWith('/else/')) found.ranges.push(request.headers.range ?? 'whole');
    found.answer(request, response, found.ranges.length);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

const tally = { tried: 0, survived: 0, refused: 0 };
afterAll(() => {
  server.closeAllConnections();
  server.close();
  console.log(
    `faults tried ${tally.tried}: survived ${tally.survived}, refused with a typed error ${tally.refused}`,
  );
});

interface Opened {
  source: Source;
  /** `Range` headers of the requests so far. */
  ranges: string[];
  waits: number[];
}

function serve(answer: Answer, options: SourceOptions = {}): Opened {
  const name = `case-${cases.size}`;
  const ranges: string[] = [];
  const waits: number[] = [];
  cases.set(name, { answer, ranges });
  const sleep = async (ms: number): Promise<void> => void waits.push(ms);
  return { source: openSource(`${base}/${name}/`, { sleep, ...options }), ranges, waits };
}

const same = (bytes: Uint8Array, start: number, end: number): boolean =>
  bytes.length === end - start && Buffer.from(content.buffer, start, end - start).equals(bytes);

const RANGE: [number, number] = [1000, 301_000];

/** Cuts of a range that is read as a stream of spans. */
const cutsOf = (start: number, end: number): number[] => [
  start,
  start,
  ...[0.1, 0.4, 0.45].map((part) => Math.floor(start + part * (end - start))),
  end,
];
type Way = (source: Source, start: number, end: number, signal?: AbortSignal) => Promise<Uint8Array>;
const WAYS: [string, Way][] = [
  ['one read', (source, start, end, signal) => source.read(FILE, start, end, signal)],
  [
    'a stream of spans',
    async (source, start, end, signal) => {
      const spans: Uint8Array[] = [];
      const cuts = cutsOf(start, end);
      await source.readSpans(FILE, cuts, (bytes) => spans.push(bytes.slice()), signal);
      expect(spans.map(({ length }) => length)).toEqual(cuts.slice(1).map((cut, i) => cut - cuts[i]!));
      return Buffer.concat(spans);
    },
  ],
];
let read: Way;

/** Reads a range through a fault; the bytes must be right. */
async function survives(answer: Answer, options?: SourceOptions): Promise<Opened> {
  tally.tried++;
  const opened = serve(answer, options);
  expect(same(await read(opened.source, ...RANGE), ...RANGE)).toBe(true);
  tally.survived++;
  return opened;
}

async function refuses(
  answer: Answer,
  expected: object,
  how: (source: Source) => Promise<unknown> = (source) => read(source, ...RANGE),
): Promise<Opened> {
  tally.tried++;
  const opened = serve(answer);
  const error = await how(opened.source).catch((e) => e);
  expect(error).toBeInstanceOf(ShishuError);
  expect(error).toMatchObject(expected);
  tally.refused++;
  return opened;
}

describe.each(WAYS)('%s', (name, way) => {
  beforeAll(() => {
    read = way;
  });
  /** Bytes of the first read of a range that has any. */
  const firstBytes = (start: number, end: number): number =>
    name === 'one read' ? end - start : cutsOf(start, end)[2]! - start;

  describe('a connection that drops', () => {
    it.each([0, 1, 999, 16_384, 65_536, 299_999])('after %i bytes goes on at that byte', async (bytes) => {
      const { ranges, waits } = await survives(dropping(bytes, 1));
      expect(ranges).toHaveLength(2);
      // What the client had taken in before the cut is not asked for again.
      const resumed = Number(/=(\d+)-/.exec(ranges[1]!)![1]);
      expect(resumed).toBeGreaterThanOrEqual(1000);
      expect(resumed).toBeLessThanOrEqual(1000 + bytes);
      if (bytes >= 65_536) expect(resumed).toBeGreaterThan(1000);
      expect(ranges[1]).toMatch(/-300999$/);
      expect(waits).toHaveLength(1);
    });

    it('again and again still ends well while bytes come', async () => {
      const { ranges } = await survives(dropping(30_000, 9));
      expect(ranges.length).toBeGreaterThan(6);
    });

    it('without ever a byte is given up, after waits that grow', async () => {
      const { waits, ranges } = await refuses(dropping(0, 99), { code: 'io', details: { file: FILE } });
      expect(ranges).toHaveLength(6);
      expect(waits).toHaveLength(5);
      waits.forEach((wait, i) => {
        expect(wait).toBeGreaterThanOrEqual(250 * 2 ** i);
        expect(wait).toBeLessThanOrEqual(500 * 2 ** i);
      });
    });

    it('while a whole file is read starts anew', async () => {
      tally.tried++;
      const { source, ranges } = serve(dropping(5000, 2));
      expect(same(await source.read(FILE), 0, content.length)).toBe(true);
      expect(ranges).toEqual(['whole', 'whole', 'whole']);
      tally.survived++;
    });

    it('that only stalls is dropped here', async () => {
      const { ranges } = await survives(stalling, { stallMs: 60 });
      expect(ranges).toEqual(['bytes=1000-300999', 'bytes=2000-300999']);
    });
  });

  describe('answers', () => {
    it('that come slowly are waited for', async () => {
      expect((await survives(trickling, { stallMs: 500 })).ranges).toHaveLength(1);
    });

    it.each([408, 425, 429, 500, 502, 503, 504])('of %i are asked for again', async (status) => {
      expect((await survives(failing(status, 3))).waits).toHaveLength(3);
    });

    it('of 429 and 503 are asked for again when Retry-After says', async () => {
      expect((await survives(failing(429, 1, { 'Retry-After': '7' }))).waits).toEqual([7000]);
      const date = new Date(Date.now() + 30_000).toUTCString();
      const { waits } = await survives(failing(503, 1, { 'Retry-After': date }));
      expect(waits[0]).toBeGreaterThan(25_000);
      expect(waits[0]).toBeLessThanOrEqual(30_000);
      await refuses(failing(429, 1, { 'Retry-After': '86400' }), { code: 'io', details: { status: 429 } });
    });

    it.each([400, 401, 403, 451, 501])('of %i are final', async (status) => {
      const { ranges } = await refuses(failing(status, 99), { code: 'io', details: { status, file: FILE } });
      expect(ranges).toHaveLength(1);
    });

    it.each([404, 410])('of %i say that the file is missing', async (status) => {
      expect((await refuses(failing(status, 99), { code: 'not-found' })).ranges).toHaveLength(1);
      await refuses(failing(status, 99), { code: 'not-found' }, (source) => source.size(FILE));
    });

    it('of 416 past the end are a short file, within it an error', async () => {
      const past = (source: Source) => read(source, 400_000, 400_010);
      await refuses(
        good,
        { code: 'io', details: { found: 0, expected: firstBytes(400_000, 400_010) } },
        past,
      );
      const lying = failing(416, 99, { 'Content-Range': `bytes */${content.length}` });
      await refuses(lying, { code: 'io', details: { status: 416 } });
    });

    it('that redirect are followed', async () => {
      await survives(redirecting);
    });
  });

  describe('wrong lengths', () => {
    it('a proper end too early is gone on from', async () => {
      const { ranges } = await survives(endingEarly(100_000, 2));
      expect(ranges).toEqual(['bytes=1000-300999', 'bytes=101000-300999', 'bytes=201000-300999']);
    });

    it('an end that stays too early is a short read', async () => {
      const details = { found: 0, expected: firstBytes(...RANGE) };
      expect((await refuses(endingEarly(0, 99), { code: 'io', details })).ranges).toHaveLength(6);
    });

    it('more bytes than asked for are refused', async () => {
      const answer: Answer = (_, response) => {
        response.writeHead(206, { 'Content-Range': 'bytes 1000-300999/400000' }).end(content.subarray(1000));
      };
      await refuses(answer, { code: 'io', details: { expected: 300_000 } });
    });

    it('another range than asked for is refused', async () => {
      const answer: Answer = (_, response) => {
        response
          .writeHead(206, { 'Content-Range': 'bytes 0-299999/400000' })
          .end(content.subarray(0, 300_000));
      };
      await refuses(answer, { code: 'io', details: { found: 0, expected: 1000 } });
    });

    it('a file that changes on the way is refused', async () => {
      const answer: Answer = (request, response, nth) => {
        if (nth === 1) return dropping(100_000, 1)(request, response, nth);
        const [start, stop, headers] = head(request, { ETag: '"2"' });
        response.writeHead(206, headers).end(content.subarray(start, stop));
      };
      await refuses(answer, { code: 'io', details: { before: '"1"', now: '"2"' } });
    });
  });

  describe('a server without ranges', () => {
    it('sends a small part once and a large file once', async () => {
      const { source, ranges } = await survives(without);
      expect(same(await read(source, 5, 8), 5, 8)).toBe(true);
      expect(ranges).toHaveLength(2);
      const big = new Uint8Array(3 << 20).map((_, i) => i >> 10);
      const large = serve((_, response) => void response.writeHead(200).end(big));
      for (const start of [2 << 20, 1 << 20, (2 << 20) + 5]) {
        const bytes = await read(large.source, start, start + 4096);
        expect(Buffer.from(big.buffer, start, 4096).equals(bytes)).toBe(true);
      }
      expect(large.ranges).toHaveLength(2);
    });

    it('that forgets its ranges half-way is skipped through', async () => {
      expect((await survives(forgetting)).ranges).toHaveLength(2);
    });
  });

  describe('aborting', () => {
    const code = (promise: Promise<unknown>) =>
      promise.then(
        () => 'none',
        (error: ShishuError) => error.code,
      );

    it('ends a read that runs, and one that waits to try again', async () => {
      const running = new AbortController();
      const { source } = serve(stalling);
      const reading = read(source, ...RANGE, running.signal);
      setTimeout(() => running.abort(), 30);
      expect(await code(reading)).toBe('aborted');

      const waiting = new AbortController();
      const answer: Answer = (request, response, nth) => {
        failing(503, 99, { 'Retry-After': '60' })(request, response, nth);
        setTimeout(() => waiting.abort(), 60);
      };
      const { source: broken, ranges } = serve(answer, { sleep: undefined });
      const begun = performance.now();
      expect(await code(read(broken, ...RANGE, waiting.signal))).toBe('aborted');
      expect(performance.now() - begun).toBeLessThan(5000);
      expect(ranges).toHaveLength(1);
    });

    it('closes the connection', async () => {
      const abort = new AbortController();
      let closed: Promise<void> | undefined;
      const { source, ranges } = serve((request, response, nth) => {
        closed = new Promise((resolve) => void response.once('close', resolve));
        stalling(request, response, nth);
        setTimeout(() => abort.abort(), 30);
      });
      expect(await code(read(source, ...RANGE, abort.signal))).toBe('aborted');
      await closed;
      expect(ranges).toHaveLength(1);
    });
  });
});

describe('the head of a file', () => {
  const size = content.length;

  it('comes with the size in one request', async () => {
    const { source, ranges } = serve(good);
    expect(await source.readHead(FILE, 1000)).toEqual({ bytes: content.slice(0, 1000), size });
    expect(ranges).toEqual(['bytes=0-999']);
  });

  it('is all there is of a shorter file', async () => {
    const { source } = serve(good);
    const { bytes, size: known } = await source.readHead(FILE, size + 1000);
    expect(same(bytes, 0, size)).toBe(true);
    expect(known).toBe(size);
    const empty: Answer = (_, response) =>
      void response.writeHead(416, { 'Content-Range': 'bytes */0' }).end();
    expect(await serve(empty).source.readHead(FILE, 10)).toEqual({ bytes: new Uint8Array(0), size: 0 });
  });

  it('comes from servers without ranges too, and without a size where they hide it', async () => {
    const told: Answer = (_, response) =>
      void response.writeHead(200, { 'Content-Length': size }).end(content);
    expect(await serve(told).source.readHead(FILE, 9)).toEqual({ bytes: content.slice(0, 9), size });
    const hiding: Answer = (request, response) => {
      const [start, stop] = head(request);
      response.writeHead(206).end(content.subarray(start, stop));
    };
    const { bytes, size: hidden } = await serve(hiding).source.readHead(FILE, 9);
    expect(bytes).toEqual(content.slice(0, 9));
    expect(hidden).toBeUndefined();
  });

  it('goes on where it was cut, and is missed by name', async () => {
    const { source, ranges } = serve(dropping(300, 1));
    expect(await source.readHead(FILE, 1000)).toEqual({ bytes: content.slice(0, 1000), size });
    expect(ranges).toHaveLength(2);
    await expect(serve(failing(404, 9)).source.readHead(FILE, 9)).rejects.toMatchObject({
      code: 'not-found',
    });
  });
});

it('a server that nobody knows is not waited for', async () => {
  const waits: number[] = [];
  const folder = rawHttp('https://nobody.invalid/model/', {
    fetch: async () => {
      throw new TypeError('fetch failed', { cause: { code: 'ENOTFOUND' } });
    },
    sleep: async (ms) => void waits.push(ms),
  });
  await expect(folder.read('config.json')).rejects.toThrow('fetch failed');
  expect(waits).toEqual([]);
});

describe('hub', () => {
  const asked: { url: string; token: string | null }[] = [];
  const fetcher: typeof fetch = async (url, init) => {
    asked.push({ url: String(url), token: new Headers(init?.headers).get('Authorization') });
    return new Response('{}');
  };
  const urlOf = async (id: string, hub?: SourceOptions['hub']): Promise<string> => {
    await openSource(id, { fetch: fetcher, ...(hub && { hub }) }).read('config.json');
    return asked.at(-1)!.url;
  };

  it('finds models by name, revision and host', async () => {
    expect(await urlOf('owner/name.v2-1B')).toBe(
      'https://huggingface.co/owner/name.v2-1B/resolve/main/config.json',
    );
    expect(await urlOf('owner/name@refs/pr/1')).toBe(
      'https://huggingface.co/owner/name/resolve/refs%2Fpr%2F1/config.json',
    );
    expect(await urlOf('o/n', { endpoint: 'https://mirror.example/hub/', revision: 'abc' })).toBe(
      'https://mirror.example/hub/o/n/resolve/abc/config.json',
    );
    expect(asked.every(({ token }) => token === null)).toBe(true);
  });

  it('sends a token to the hub and to nobody else', async () => {
    await urlOf('o/n', { token: 'secret' });
    expect(asked.at(-1)!.token).toBe('Bearer secret');
    await openSource('https://other.example/o/n', { fetch: fetcher, hub: { token: 'secret' } }).read('a');
    expect(asked.at(-1)).toEqual({ url: 'https://other.example/o/n/a', token: null });
  });

  it('takes only owner/name for a name', () => {
    for (const odd of ['name', 'a/b/c', 'a/b@', 'a/b@c@d', '-a/b'])
      expect(() => openSource(odd)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    expect(() => openSource('a/b@x', { hub: { revision: 'y' } })).toThrow(/another revision/);
    expect(() => openSource('a/b', { hub: { endpoint: 'nowhere' } })).toThrow(/not a URL/);
    expect(openSource('https://x.example/a/b').name).toBe('https://x.example/a/b/');
  });
});
