// Weights are read by several ranges at once, in order, through faults, and with no more of them under way than allowed.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { inFlight, slots } from '../../src/formats/ahead.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { openSource, type Source } from '../../src/formats/source.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { WeightDtype } from '../../src/kernels/tensor.ts';
import { fillFromCheckpoint, READS_IN_FLIGHT } from '../../src/model/load.ts';
import { planOf, tensorSpecs } from '../../src/model/plan.ts';
import { allocateWeights } from '../../src/model/weights.ts';
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

/** A digest of what would be written to the GPU, in order. */
async function filled(source: Source, signal?: AbortSignal, dtype: WeightDtype = 'f32'): Promise<string> {
  const written = createHash('sha256');
  const device = {
    limits: { maxBufferSize: Number.POSITIVE_INFINITY },
    createBuffer: ({ size }: GPUBufferDescriptor) => ({ size }),
    queue: {
      writeBuffer: (_: GPUBuffer, __: number, data: ArrayBuffer, at: number, size: number) =>
        void written.update(`${size} `).update(new Uint8Array(data, at, size)),
    },
  };
  const gpu = { device, limits: { binding: 2 ** 30, workgroups: 65535 } } as unknown as Gpu;
  const specs = tensorSpecs(model.config);
  const { fill } = allocateWeights(gpu, new Ledger(gpu), model.config, planOf(model.config), dtype);
  await fillFromCheckpoint(gpu, fill, await openCheckpoint(source, specs), specs, signal ? { signal } : {});
  return written.digest('hex');
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
    expect(seen.most).toBe(READS_IN_FLIGHT);
  });

  test('small neighbours come in one request', async () => {
    const { source, seen } = server(() => undefined);
    await filled(source);
    const { tensors } = await openCheckpoint(memorySource(files), tensorSpecs(model.config));
    // The header takes some; stored copies, compared in pairs, stand between the others.
    const copies = tensorSpecs(model.config).filter(({ name, copyOf }) => copyOf && tensors.has(name)).length;
    expect(seen.requests).toBeLessThan(3 + 2 * copies + (tensors.size - copies) / 3);
  });

  test('a source keeps the bytes that it gave, whatever becomes of them', async () => {
    for (const dtype of ['f32', 'f16', 'q8', 'q4'] as const) {
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
    expect(seen.requests).toBeLessThanOrEqual(8 + READS_IN_FLIGHT);
  });
});

describe('inFlight', () => {
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  test('gives results in order, whatever ends first, and keeps to its bound', async () => {
    let open = 0;
    let most = 0;
    const results: number[] = [];
    const work = async (ms: number): Promise<number> => {
      most = Math.max(most, ++open);
      await wait(ms);
      open--;
      return ms;
    };
    for await (const [item, result] of inFlight([9, 1, 5, 2, 7], 3, work)) results.push(item, result);
    expect(results).toEqual([9, 9, 1, 1, 5, 5, 2, 2, 7, 7]);
    expect(most).toBe(3);
  });

  test('raises the signal of the others when one fails or the reader leaves', async () => {
    const signals: AbortSignal[] = [];
    const work = async (item: number, signal: AbortSignal): Promise<number> => {
      signals.push(signal);
      await wait(1);
      if (item === 1) throw new Error('no');
      return item;
    };
    const read = async (): Promise<void> => {
      for await (const _ of inFlight([0, 1, 2], 3, work));
    };
    await expect(read()).rejects.toThrow('no');
    for await (const _ of inFlight([0, 2, 4], 3, work)) break;
    expect(signals.map(({ aborted }) => aborted)).toEqual(signals.map(() => true));
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
