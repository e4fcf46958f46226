// Weights are read by several requests at once, through faults, and with no more of them under way than allowed.

import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Checkpoint, openCheckpoint, type Span } from '../../src/formats/checkpoint.ts';
import { LANES, lanesOf, slots } from '../../src/formats/concurrency.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { Source } from '../../src/formats/source.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Weight, WeightDtype } from '../../src/kernels/tensor.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { tensorsOf } from '../../src/model/spec.ts';
import { allocateWeights } from '../../src/model/weights.ts';
import { DTYPES } from '../../src/quant/index.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

Object.assign(globalThis, { GPUBufferUsage: {} });
// Node 20 cannot detach a buffer by this name, newer engines can: what is given back too early then shows.
(ArrayBuffer.prototype as { transfer?: (size?: number) => ArrayBuffer }).transfer ??= function (
  this: ArrayBuffer,
) {
  return structuredClone(this, { transfer: [this] });
};
const model = tinyModel('shishu-copies', 7);
const files = tinyFiles(model);

/** A digest of what would be written to the GPU, whatever comes first. */
async function filled(source: Source, signal?: AbortSignal, dtype: WeightDtype = 'f32'): Promise<string> {
  const written: string[] = [];
  const digest = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
  let buffers = 0;
  const device = {
    limits: { maxBufferSize: Number.POSITIVE_INFINITY },
    pushErrorScope() {},
    popErrorScope: async () => null,
    createBuffer: ({ size }: GPUBufferDescriptor) => ({ size, label: String(buffers++) }),
    queue: {
      writeBuffer: ({ label }: GPUBuffer, to: number, data: ArrayBuffer, at: number, size: number) =>
        void written.push(`${label} ${to} ${digest(new Uint8Array(data, at, size))}`),
    },
  };
  const gpu = { device, limits: { binding: 2 ** 30, workgroups: 65535 } } as unknown as Gpu;
  const specs = tensorsOf(model.spec);
  const { fill } = allocateWeights(gpu, new Ledger(gpu), model.spec, dtype);
  await fillFromCheckpoint(gpu, fill, await openCheckpoint(source, specs), specs, signal ? { signal } : {});
  return digest(written.sort().join());
}

interface Seen {
  most: number;
  requests: number;
  /** Requests that began where another was cut. */
  resumed: number;
  whole: number;
}

/** A server in memory: `cut` says how many bytes of a request's answer come before its connection drops. */
function server(cut: (nth: number) => number | undefined, ranges = true): { source: Source; seen: Seen } {
  const seen: Seen = { most: 0, requests: 0, resumed: 0, whole: 0 };
  const cuts = new Set<number>();
  let open = 0;
  const fetch = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const file = files[String(url).split('/').at(-1)!];
    if (!file) return new Response(null, { status: 404 });
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(new Headers(init?.headers).get('Range') ?? '') ?? [];
    const start = ranges && from ? Number(from) : 0;
    const end = ranges && to ? Number(to) + 1 : file.length;
    const nth = seen.requests++;
    if (from === undefined) seen.whole++;
    if (cuts.has(start)) seen.resumed++;
    seen.most = Math.max(seen.most, ++open);
    const stop = cut(nth);
    let sent = false;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (!sent) controller.enqueue(file.slice(start, Math.min(end, start + (stop ?? Infinity))));
        else if (stop === undefined) controller.close();
        else controller.error(new TypeError('connection lost'));
        if (sent) open--;
        else if (stop !== undefined) cuts.add(start + stop);
        sent = true;
      },
      cancel() {
        open--;
      },
    });
    const headers = { 'Content-Range': `bytes ${start}-${end - 1}/${file.length}` };
    return new Response(body, ranges ? { status: 206, headers } : { status: 200 });
  };
  const sleep = async (): Promise<void> => {};
  return { source: openSource('https://example.org/m/', { fetch, sleep }), seen };
}

const expected = filled(memorySource(files));

describe('loading by ranges', () => {
  test('several are under way, and the weights are those of the file', async () => {
    const { source, seen } = server(() => undefined);
    expect(await filled(source)).toBe(await expected);
    expect(seen.most).toBe(LANES);
  });

  test('small neighbours come in one request', async () => {
    const { source, seen } = server(() => undefined);
    await filled(source);
    const { tensors } = await openCheckpoint(memorySource(files), tensorsOf(model.spec));
    // The header takes some; stored copies, compared in pairs, stand between the others.
    const copies = tensorsOf(model.spec).filter(({ name, copyOf }) => copyOf && tensors.has(name)).length;
    expect(seen.requests).toBeLessThan(3 + 2 * copies + (tensors.size - copies) / 3);
  });

  test('a source keeps the bytes that it gave, whatever becomes of them', async () => {
    for (const dtype of DTYPES) {
      const held = new Map<string, Uint8Array>();
      const source = openSource({
        read(file, start = 0, end = 0) {
          const key = `${file} ${start} ${end}`;
          const bytes = held.get(key) ?? files[file]?.slice(start, end || undefined);
          if (bytes) held.set(key, bytes);
          return bytes;
        },
        size: (file) => files[file]?.length ?? null,
      });
      expect(await filled(source, undefined, dtype)).toBe(await filled(source, undefined, dtype));
    }
  });

  test('every second connection drops on the way: each goes on at its byte', async () => {
    const { source, seen } = server((nth) => (nth > 3 && nth % 2 === 0 ? 100 : undefined));
    expect(await filled(source)).toBe(await expected);
    expect(seen.resumed).toBeGreaterThan(10);
    console.log(`faults tried ${seen.resumed}: survived ${seen.resumed}`);
  });

  test('a server without ranges sends the file to all of them once it is known as such', async () => {
    const { source, seen } = server(() => undefined, false);
    expect(await filled(source)).toBe(await expected);
    expect(seen.whole).toBeLessThanOrEqual(1);
  });

  test('an abort ends all of them', async () => {
    const abort = new AbortController();
    const { source, seen } = server((nth) => void (nth === 8 && abort.abort()));
    await expect(filled(source, abort.signal)).rejects.toMatchObject({ code: 'aborted' });
    expect(seen.requests).toBeLessThanOrEqual(8 + LANES);
  });
});

test('parts of a matrix have about as many rows each: q4 learns from them how much its columns matter', async () => {
  const [rows, cols] = [1300, 1024];
  const read: number[] = [];
  const tensor = { file: 'm', dtype: 'F32', shape: [rows, cols], start: 0, end: 4 * rows * cols } as const;
  const checkpoint = {
    tensors: new Map([['m', tensor]]),
    readSpans: async (spans: Span[]) => void read.push(...spans.map(({ start, end }) => end - start)),
  };
  const weight = { rows, cols, parts: [{ row0: 0, rows, dtype: 'q4' as const }] } as unknown as Weight;
  const place = (row: number) => ({ part: 0, row });
  const fill = { matrices: [{ tensor: 'm', weight, rows, place }], biases: [], gains: [], plain: [] };
  await fillFromCheckpoint({} as Gpu, fill, checkpoint as unknown as Checkpoint, []);
  expect(read.map((bytes) => bytes / (4 * cols))).toEqual([434, 434, 432]);
});

describe('lanes', () => {
  const parts = [5, 1, 1, 7, 4, 2, 10].map((length, i, all) => {
    const start = all.slice(0, i).reduce((a, b) => a + b, 0);
    return { start, end: start + length };
  });

  test('are runs of about the same length where neighbours come in one stream', () => {
    expect(lanesOf(parts, true)).toEqual([parts.slice(0, 4), parts.slice(4, 6), parts.slice(6)]);
    expect(lanesOf(parts.slice(0, 1), true)).toEqual([parts.slice(0, 1)]);
    expect(lanesOf([], true)).toEqual([]);
    expect(lanesOf([{ start: 3, end: 3 }], true)).toEqual([[{ start: 3, end: 3 }]]);
  });

  test('else keep the order of the file', () => {
    const lanes = [0, 1, 2].map((first) => parts.filter((_, i) => i % 3 === first));
    expect(lanesOf(parts, false)).toEqual(lanes);
  });
});

describe('spans of a checkpoint', () => {
  const FILE = 'model.safetensors';
  const length = files[FILE]!.length;
  const spans = Array.from({ length: 20 }, (_, i) => ({
    file: FILE,
    start: Math.floor((i * length) / 20),
    end: Math.floor(((i + 1) * length) / 20),
  }));
  const opened = (source: Source): Promise<Checkpoint> => openCheckpoint(source, tensorsOf(model.spec));
  const sources = {
    'in streams': () => server(() => undefined).source,
    'one by one': () => memorySource(files),
  };

  test.each(Object.entries(sources))('come whole and once, %s', async (_, open) => {
    const seen = new Map<number, Buffer>();
    await (await opened(open())).readSpans(spans, ({ start }, bytes) => {
      expect(seen.has(start)).toBe(false);
      seen.set(start, Buffer.from(bytes));
    });
    const all = [...seen].sort(([a], [b]) => a - b).map(([, bytes]) => bytes);
    expect(Buffer.concat(all).equals(files[FILE]!)).toBe(true);
  });

  test('take a request for each lane, after one for the header', async () => {
    const { source, seen } = server(() => undefined);
    const checkpoint = await opened(source);
    expect(seen.requests).toBe(1);
    await checkpoint.readSpans(spans, () => {});
    expect(seen.requests).toBe(1 + LANES);
  });

  test.each(Object.entries(sources))('end with the first error of their user, %s', async (_, open) => {
    const error = new TypeError('no');
    let used = 0;
    const reading = (await opened(open())).readSpans(spans, () => {
      if (++used === 4) throw error;
    });
    await expect(reading).rejects.toBe(error);
    const before = used;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(used).toBe(before);
  });

  test('of a stream that fails close the others', async () => {
    let down = false;
    const { source, seen } = server(() => (down ? 0 : undefined));
    const checkpoint = await opened(source);
    down = true;
    await expect(checkpoint.readSpans(spans, () => {})).rejects.toMatchObject({ code: 'io' });
    const { requests } = seen;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen.requests).toBe(requests);
  });
});

test('slots let so many run at once, also behind one that fails', async () => {
  const two = slots(2);
  let open = 0;
  let most = 0;
  const work = (fails: boolean) =>
    two(async () => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve, 2));
      open--;
      if (fails) throw new Error('no');
    });
  const ends = await Promise.allSettled([true, false, true, false, false].map(work));
  expect(ends.map(({ status }) => status === 'rejected')).toEqual([true, false, true, false, false]);
  expect(most).toBe(2);
});
