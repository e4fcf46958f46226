import { afterEach, describe, expect, test, vi } from 'vitest';
import { hostModels } from '../../src/api/host.ts';
import { loadModel } from '../../src/api/load.ts';
import { loadModelInWorker } from '../../src/api/remote.ts';
import { type Methods, Peer, STREAM_WINDOW, Transferred } from '../../src/api/rpc.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type {
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  LoadOptions,
  LoadProgress,
  Message,
} from '../../src/engine/types.ts';
import { ShishuError } from '../../src/errors.ts';
import type { SourceLike } from '../../src/formats/open-source.ts';
import type { RawSource } from '../../src/formats/raw-source.ts';
import { collect } from '../support/streams.ts';

const open: Peer[] = [];
afterEach(() => {
  for (const peer of open.splice(0)) peer.close();
});

function connect(methods: Methods, onClose?: (error: unknown) => void): { client: Peer; server: Peer } {
  const { port1, port2 } = new MessageChannel();
  const server = new Peer(port2, methods, onClose);
  const client = new Peer(port1);
  open.push(client, server);
  return { client, server };
}

const tick = (ms = 5): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.fail('it resolved'),
    (error: unknown) => error,
  );
}

describe('calls', () => {
  test('answer out of order, each to its own caller', async () => {
    const { client } = connect({
      async late(ms: number) {
        await tick(ms);
        return ms;
      },
    });
    expect(await Promise.all([client.call('late', 30), client.call('late', 1)])).toEqual([30, 1]);
  });

  test('a ShishuError keeps class, code, message, details, mend and cause', async () => {
    const thrown = new ShishuError('bad-checkpoint', 'Tensor x is short.', {
      details: { file: 'model.safetensors', shape: [2, 3], missing: 4 },
      mend: 'Fetch it again.',
      cause: new RangeError('offset 7', { cause: new ShishuError('io', 'read failed') }),
    });
    const { client } = connect({ fail: () => Promise.reject(thrown) });
    const error = (await rejection(client.call('fail'))) as ShishuError;
    expect(error).toBeInstanceOf(ShishuError);
    expect(error).not.toBe(thrown);
    expect(error.message).toBe('Tensor x is short. Fetch it again.');
    expect(error).toMatchObject({ code: 'bad-checkpoint', mend: 'Fetch it again.', details: thrown.details });
    expect(error.stack).toBe(thrown.stack);
    expect(error.cause).toBeInstanceOf(RangeError);
    expect((error.cause as Error).cause).toBeInstanceOf(ShishuError);
  });

  test('other errors keep class and name, thrown values their value', async () => {
    const { client } = connect({
      type: () => {
        throw new TypeError('no');
      },
      dom: () => {
        throw new DOMException('gone', 'NotFoundError');
      },
      own: () => {
        throw Object.assign(new Error('mine'), { name: 'MyError' });
      },
      value: () => {
        throw 7;
      },
    });
    expect(await rejection(client.call('type'))).toBeInstanceOf(TypeError);
    const dom = await rejection(client.call('dom'));
    expect(dom).toBeInstanceOf(DOMException);
    expect(dom).toMatchObject({ name: 'NotFoundError', message: 'gone' });
    expect(await rejection(client.call('own'))).toMatchObject({ name: 'MyError', message: 'mine' });
    expect(await rejection(client.call('value'))).toBe(7);
  });

  test('a method that is not there, an argument and a result that do not clone are errors, not silence', async () => {
    const { client } = connect({ symbol: () => Symbol('x'), echo: (x: unknown) => x });
    expect(await rejection(client.call('toString'))).toMatchObject({ code: 'bad-argument' });
    expect(await rejection(client.call('symbol'))).toMatchObject({ name: 'DataCloneError' });
    expect(await rejection(client.call('echo', Symbol('y')))).toMatchObject({ code: 'bad-argument' });
    expect(await client.call('echo', { a: [1, null, undefined] })).toEqual({ a: [1, null, undefined] });
  });

  test('buffers of a Transferred result move', async () => {
    const logits = Float32Array.of(1, 2, 3);
    const { client } = connect({ logits: () => new Transferred({ logits }, [logits.buffer]) });
    const got = await client.call<{ logits: Float32Array }>('logits');
    expect(got.logits).toEqual(Float32Array.of(1, 2, 3));
    expect(logits.byteLength).toBe(0);
  });

  test('functions among the arguments are called back, in order, with results and errors', async () => {
    const { client } = connect({
      async copy(source: { read: (name: string) => Promise<Uint8Array> }, onProgress: (n: number) => void) {
        for (let i = 0; i < 3; i++) onProgress(i);
        const failed = await rejection(source.read('missing'));
        return [await source.read('a'), (failed as ShishuError).code];
      },
    });
    const seen: number[] = [];
    const read = (name: string): Uint8Array => {
      if (name === 'missing') throw new ShishuError('not-found', 'missing is not there');
      return Uint8Array.of(4, 5);
    };
    const result = await client.call('copy', { read }, (n: number) => seen.push(n));
    expect(result).toEqual([Uint8Array.of(4, 5), 'not-found']);
    expect(seen).toEqual([0, 1, 2]);
  });

  test('a callback after its call has ended is refused and harms nobody', async () => {
    let late: (() => Promise<unknown>) | undefined;
    const { client } = connect({
      keep(callback: () => Promise<unknown>) {
        late = callback;
      },
    });
    const called = vi.fn();
    await client.call('keep', called);
    expect(await rejection(late!())).toMatchObject({ code: 'bad-argument' });
    expect(called).not.toHaveBeenCalled();
  });

  test('an abort signal crosses with its reason, before the call and during it', async () => {
    const { client } = connect({
      wait: ({ signal }: { signal: AbortSignal }) =>
        new Promise((_, reject) => {
          const stop = (): void => reject(signal.reason);
          if (signal.aborted) stop();
          signal.addEventListener('abort', stop);
        }),
    });
    const reason = new ShishuError('aborted', 'enough');
    const controller = new AbortController();
    const waiting = rejection(client.call('wait', { signal: controller.signal }));
    await tick();
    controller.abort(reason);
    expect(await waiting).toMatchObject({ code: 'aborted', message: 'enough' });
    const already = await rejection(client.call('wait', { signal: AbortSignal.abort() }));
    expect(already).toMatchObject({ name: 'AbortError' });
  });
});

/** Counts, and says how far it got and how it ended. */
function counter(): { made: number; ended: boolean; count: Methods[string] } {
  const state = {
    made: 0,
    ended: false,
    async *count(to: number, signal?: AbortSignal, every = 0) {
      try {
        for (let i = 0; i < to && !signal?.aborted; i++) {
          if (every) await tick(every);
          state.made++;
          yield i;
        }
        return signal?.aborted ? 'aborted' : 'all';
      } finally {
        await tick();
        state.ended = true;
      }
    },
  };
  return state;
}

describe('streams', () => {
  test('two at once keep their order and their return values apart', async () => {
    const { client } = connect({ count: counter().count, other: counter().count });
    const [a, b] = await Promise.all([
      collect(client.stream<number, string>('count', 100)),
      collect(client.stream<number, string>('other', 3, undefined, 2)),
    ]);
    expect(a).toEqual({ items: Array.from({ length: 100 }, (_, i) => i), value: 'all' });
    expect(b).toEqual({ items: [0, 1, 2], value: 'all' });
  });

  test('start on the first next, and run no further ahead than the window', async () => {
    const state = counter();
    const { client } = connect({ count: state.count });
    const stream = client.stream<number, string>('count', 1000);
    await tick(20);
    expect(state.made).toBe(0);
    expect(await stream.next()).toEqual({ value: 0, done: false });
    await tick(20);
    expect(state.made).toBe(STREAM_WINDOW);
    for (let i = 1; i <= 10; i++) await stream.next();
    await tick(20);
    expect(state.made).toBe(STREAM_WINDOW + 10);
    await stream.return('enough');
  });

  test('return() and break end the iterable there and wait until it has ended', async () => {
    const state = counter();
    const { client } = connect({ count: state.count });
    for await (const i of client.stream<number>('count', 1000)) if (i === 3) break;
    expect(state.ended).toBe(true);
    expect(state.made).toBeLessThanOrEqual(STREAM_WINDOW + 4);
  });

  test('a signal that is raised mid-stream ends it with its own return value', async () => {
    const state = counter();
    const { client } = connect({ count: state.count });
    const controller = new AbortController();
    const stream = client.stream<number, string>('count', 1000, controller.signal, 1);
    await stream.next();
    controller.abort();
    const { items, value } = await collect(stream);
    expect(value).toBe('aborted');
    expect(items.length).toBeLessThan(STREAM_WINDOW);
  });

  test('items before an error arrive, then the error', async () => {
    const { client } = connect({
      async *fail() {
        yield 1;
        yield 2;
        throw new ShishuError('context-full', 'no more');
      },
    });
    const stream = client.stream<number>('fail');
    expect([(await stream.next()).value, (await stream.next()).value]).toEqual([1, 2]);
    expect(await rejection(stream.next())).toMatchObject({ code: 'context-full' });
  });

  test('an item that does not clone ends the iterable', async () => {
    let ended = false;
    const { client } = connect({
      async *bad() {
        try {
          yield Symbol('x');
        } finally {
          ended = true;
        }
      },
    });
    expect(await rejection(client.stream('bad').next())).toMatchObject({ name: 'DataCloneError' });
    await tick();
    expect(ended).toBe(true);
  });
});

describe('the end of the line', () => {
  const methods = (state: { count: Methods[string] }): Methods => ({
    never: (signal: AbortSignal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    count: state.count,
  });

  test('close() rejects what is pending and what comes later, and cancels the other side', async () => {
    const state = counter();
    const closed = vi.fn();
    const { client } = connect(methods(state), closed);
    const call = rejection(client.call('never', new AbortController().signal));
    const stream = client.stream<number>('count', 1000, undefined, 1);
    await stream.next();
    client.close();
    client.close();
    expect(await call).toMatchObject({ code: 'disposed' });
    await expect(collect(stream)).rejects.toMatchObject({ code: 'disposed' });
    expect(await rejection(client.call('never'))).toMatchObject({ code: 'disposed' });
    await tick(20);
    expect(closed).toHaveBeenCalledTimes(1);
    expect(state.ended).toBe(true);
  });

  test('a port that goes away does the same', async () => {
    const state = counter();
    const { port1, port2 } = new MessageChannel();
    const server = new Peer(port2, methods(state));
    const client = new Peer(port1);
    open.push(server, client);
    const call = rejection(client.call('never', new AbortController().signal));
    await tick();
    port2.close();
    expect(await call).toMatchObject({ code: 'disposed' });
    expect(server.closed).toBe(true);
  });

  test('the other end may name the error', async () => {
    const { client, server } = connect({ never: () => new Promise(() => {}) });
    const call = rejection(client.call('never'));
    await tick();
    server.close(new ShishuError('device-lost', 'The GPU is gone.'));
    expect(await call).toMatchObject({ code: 'device-lost' });
  });
});

/** A model that answers each word of its prompt. */
function fakeModel(source: SourceLike, log: string[]): EngineModel {
  const adapters = new Map<string, SourceLike>();
  const model: { -readonly [K in keyof EngineModel]: EngineModel[K] } = {
    info: { adapter: String((source as RawSource).name ?? source), bytes: { kv: 8 } } as EngineModel['info'],
    hasChatTemplate: true,
    toolFormat: undefined,
    thoughtTags: [],
    templateVariables: [],
    async *generate(
      prompt,
      options: GenerateOptions = {},
    ): AsyncGenerator<GenerateChunk, GenerateResult, undefined> {
      const words =
        typeof prompt === 'string' ? prompt.split(' ') : (prompt as readonly Message[]).map((m) => m.content);
      let made = 0;
      for (const text of words) {
        await tick(1);
        if (options.signal?.aborted) break;
        yield { text, tokenId: made++ };
      }
      return { text: '', finishReason: made === words.length ? 'stop' : 'aborted' } as GenerateResult;
    },
    async *generateBatch(prompt, n, options) {
      for (let index = 0; index < n; index++)
        for await (const chunk of model.generate(prompt, options)) yield { index, ...chunk };
      return [];
    },
    async score(ids) {
      return { nll: ids.length, logprobs: new Float32Array(ids), top1: new Uint32Array(ids) };
    },
    embed: async (texts) => ({
      embeddings: [Float32Array.of(1), Float32Array.of(texts.length)],
      tokens: [1, 2],
    }),
    logits: async (ids) => new Float32Array(ids),
    async setModes(setting, options) {
      log.push(`setModes ${JSON.stringify([setting, options])}`);
      model.info = { ...model.info, modes: setting as EngineModel['info']['modes'] };
    },
    async setPruneOrder(order) {
      if (!Array.isArray(order)) throw new ShishuError('bad-argument', 'No list.');
      log.push(`setPruneOrder ${order}`);
    },
    async releaseUnusedKv() {
      model.info = { ...model.info, bytes: { ...model.info.bytes, kv: 0 } };
    },
    async loadAdapter(source, { name = '' } = {}) {
      const adapter = source as RawSource;
      const bytes = adapter.read ? await adapter.read('adapter_config.json') : undefined;
      log.push(`loadAdapter ${name} ${bytes?.length ?? String(source)}`);
      adapters.set(name, source);
      return { name, rank: 4, bytes: 16, targets: [] };
    },
    unloadAdapter: async (name) => void log.push(`unloadAdapter ${name}`),
    setLinearMaps: async (maps) => void log.push(`setLinearMaps ${maps[1]!.W.length} ${maps[1]!.b[0]}`),
    encode: async (text) => [...text].map((c) => c.codePointAt(0)!),
    decode: async (ids) => String.fromCodePoint(...ids),
    applyChatTemplate: async (messages) => messages.map((m) => `<${m.role}>${m.content}`).join(''),
    tune: async () => ({ wide: 'tiled' }) as Awaited<ReturnType<EngineModel['tune']>>,
    reset: async () => void log.push('reset'),
    async reload({ onProgress } = {}) {
      onProgress?.({ phase: 'ready', loadedBytes: 1, totalBytes: 1, kernels: { compiled: 0, total: 0 } });
      Object.assign(model.info, { adapter: 'another' });
      log.push('reload');
      for (const [name, source] of adapters) await model.loadAdapter(source, { name });
    },
    dispose: async () => void log.push('dispose'),
  };
  return model;
}

/** A Worker's outside whose inside is `hostModels` in this thread. */
function fakeWorker(
  log: string[],
  load = async (source: SourceLike, _: LoadOptions) => fakeModel(source, log),
) {
  const { port1, port2 } = new MessageChannel();
  const host = hostModels(port2, load);
  open.push(host);
  return Object.assign(port1, { terminate: () => log.push('terminate') }) as unknown as Worker;
}

describe('loadModel with a worker', () => {
  test("answers chats, in OpenAI's shapes, from the worker", async () => {
    const model = await loadModel('https://example.org/a', { worker: fakeWorker([]) });
    const messages = ['Hel', 'lo'].map((content) => ({ role: 'user', content }));
    const { completions } = model.chat;
    const stream = await completions.create({ messages, stream: true });
    const said: string[] = [];
    for await (const { choices } of stream) said.push(choices[0]?.delta.content ?? '');
    expect(said.join('')).toBe('Hello');
    expect(await rejection(completions.create({ messages: [] }))).toMatchObject({ code: 'bad-argument' });
  });

  test('refuses a worker that is none, and says when none can start', async () => {
    const odd = { worker: 'yes' } as unknown as { worker: true };
    expect(await rejection(loadModel('https://example.org/', odd))).toMatchObject({
      code: 'bad-argument',
      details: { option: 'worker' },
    });
    // As a script from another origin does.
    vi.stubGlobal('Worker', function refuse() {
      throw new DOMException('not of this origin', 'SecurityError');
    });
    const error = await rejection(loadModel('https://example.org/', { worker: true }));
    vi.unstubAllGlobals();
    expect(error).toMatchObject({ code: 'io', details: { worker: true } });
  });
});

describe('models in a worker', () => {
  test('two models in one worker answer with the methods of Model', async () => {
    const log: string[] = [];
    const worker = fakeWorker(log);
    const a = await loadModelInWorker('https://example.org/a', { worker });
    const b = await loadModelInWorker(new URL('https://example.org/b'), { worker });
    expect([a.info.adapter, b.info.adapter]).toEqual(['https://example.org/a', 'https://example.org/b']);
    expect(a.hasChatTemplate).toBe(true);
    const [left, right] = await Promise.all([
      collect(a.generate('one two three')),
      collect(b.generate([{ role: 'user', content: 'hi' }])),
    ]);
    expect(left.items.map((chunk) => chunk.text)).toEqual(['one', 'two', 'three']);
    expect(left.value.finishReason).toBe('stop');
    expect(right.items.map((chunk) => chunk.text)).toEqual(['hi']);
    const constraint = { jsonSchema: { type: 'object' } };
    const several = await collect(a.generateBatch('one two', 2, { constraint }));
    expect(several.items.map(({ index, text }) => [index, text])).toEqual([
      [0, 'one'],
      [0, 'two'],
      [1, 'one'],
      [1, 'two'],
    ]);
    expect(await a.score([1, 2])).toEqual({
      nll: 2,
      logprobs: Float32Array.of(1, 2),
      top1: Uint32Array.of(1, 2),
    });
    expect(await a.logits([7])).toEqual(Float32Array.of(7));
    expect(await a.embed(['a', 'b', 'c'])).toEqual({
      embeddings: [Float32Array.of(1), Float32Array.of(3)],
      tokens: [1, 2],
    });
    expect(await a.decode(await a.encode('ab'))).toBe('ab');
    expect(await b.applyChatTemplate([{ role: 'user', content: 'x' }])).toBe('<user>x');
    await b.reset();
    await a.dispose();
    await a.dispose();
    expect(log).toEqual(['reset', 'dispose']);
    // As a model in the page says it.
    const gone = { code: 'disposed', mend: 'Load it again to use it.' };
    expect(await rejection(a.encode('x'))).toMatchObject(gone);
    expect(await rejection(a.generate('x').next())).toMatchObject(gone);
    expect(await rejection(a.reload())).toMatchObject(gone);
    expect(() => a.info).toThrow(expect.objectContaining(gone));
    expect(await b.encode('a')).toEqual([97]);
  });

  test('modes are set over there, and info here follows', async () => {
    const log: string[] = [];
    const worker = fakeWorker(log);
    const model = await loadModelInWorker('https://example.org/', { worker });
    const other = await loadModelInWorker('https://example.org/', { worker });
    await model.setPruneOrder([1, 0]);
    await model.setLinearMaps({ 1: { W: new Float32Array(4), b: Float32Array.of(3, 0) } });
    // A source that the page reads.
    const info = await model.loadAdapter({ read: () => new Uint8Array(5) }, { name: 'own' });
    expect(info).toEqual({ name: 'own', rank: 4, bytes: 16, targets: [] });
    await model.loadAdapter('https://models.test/adapter/', { name: 'far' });
    await model.unloadAdapter('own');
    await model.setModes({ 1: 'linear' }, { releaseKv: true });
    expect(log).toEqual([
      'setPruneOrder 1,0',
      'setLinearMaps 4 3',
      'loadAdapter own 5',
      'loadAdapter far https://models.test/adapter/',
      'unloadAdapter own',
      'setModes [{"1":"linear"},{"releaseKv":true}]',
    ]);
    expect(model.info.modes).toEqual({ 1: 'linear' });
    expect(model.info.bytes.kv).toBe(8);
    await model.releaseUnusedKv();
    expect(model.info.bytes.kv).toBe(0);
    expect(other.info.bytes.kv).toBe(8);
    const odd = { order: { skip: [], linear: [] } };
    expect(await rejection(model.setPruneOrder(odd))).toMatchObject({ code: 'bad-argument' });
  });

  test('what is known of a model without a call is carried over, and follows every call', async () => {
    let hosted: ReturnType<typeof fakeModel> | undefined;
    const worker = fakeWorker([], async (source) => {
      hosted = fakeModel(source, []);
      return hosted;
    });
    const model = await loadModelInWorker('https://example.org/', { worker });
    expect([model.hasChatTemplate, model.toolFormat, model.thoughtTags]).toEqual([true, undefined, []]);
    const tags = { open: '<think>', close: '</think>' };
    const calls = [() => model.encode('x'), () => collect(model.generate('x')), () => model.reload()];
    for (const [i, call] of calls.entries()) {
      const thoughtTags = Array(i + 1).fill(tags);
      Object.assign(hosted!, { hasChatTemplate: i % 2 === 1, toolFormat: 'hermes', thoughtTags });
      await call();
      expect(model).toMatchObject({ hasChatTemplate: i % 2 === 1, toolFormat: 'hermes', thoughtTags });
    }
    // Also where it fails.
    hosted!.encode = () => Promise.reject(new ShishuError('device-lost', 'Gone.'));
    Object.assign(hosted!, { thoughtTags: [] });
    await rejection(model.encode('x'));
    expect(model.thoughtTags).toEqual([]);
  });

  test('a model warns the page while it loads, and afterwards', async () => {
    const tells: ((message: string) => void)[] = [];
    const worker = fakeWorker([], async (source, { warn }) => {
      tells.push(warn!);
      warn!('loading');
      return fakeModel(source, []);
    });
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    const model = await loadModelInWorker('https://example.org/a/', { worker, warn });
    const other = await loadModelInWorker('https://example.org/b/', {
      worker,
      warn: (text) => warn(`b ${text}`),
    });
    tells[0]!('later');
    tells[1]!('later');
    await model.reset();
    await other.reset();
    expect(warnings).toEqual(['loading', 'b loading', 'later', 'b later']);
  });

  test('a reply that makes KV buffers again is told of with its end', async () => {
    const models: ReturnType<typeof fakeModel>[] = [];
    const worker = fakeWorker([], async (source) => {
      models.push(fakeModel(source, []));
      return models[0]!;
    });
    const model = await loadModelInWorker('https://example.org/', { worker });
    const stream = model.generate('a b');
    await stream.next();
    Object.assign(models[0]!, { info: { ...models[0]!.info, bytes: { kv: 9 } } });
    await collect(stream);
    expect(model.info.bytes.kv).toBe(9);
  });

  test('a model whose GPU was lost is reloaded in its worker', async () => {
    const log: string[] = [];
    const phases: string[] = [];
    const model = await loadModelInWorker('https://example.org/a', { worker: fakeWorker(log) });
    const onProgress = ({ phase }: LoadProgress): void => void phases.push(phase);
    // Read by the page, once more.
    await model.loadAdapter({ read: () => new Uint8Array(5) }, { name: 'own' });
    log.length = 0;
    await Promise.all([model.reload({ onProgress }), model.reload()]);
    const again = ['reload', 'loadAdapter own 5'];
    expect([log, phases, model.info.adapter]).toEqual([again, ['ready'], 'another']);
    await model.dispose();
    expect(await rejection(model.reload())).toMatchObject({ code: 'disposed' });
  });

  test("the package's own worker that stopped is replaced by reload", async () => {
    const log: string[] = [];
    const workers: Worker[] = [];
    vi.stubGlobal('Worker', function start() {
      workers.push(fakeWorker(log));
      return workers.at(-1);
    });
    try {
      const model = await loadModelInWorker('https://example.org/a');
      await model.loadAdapter({ read: () => new Uint8Array(5) }, { name: 'own' });
      await model.loadAdapter('https://models.test/adapter/', { name: 'far' });
      await model.unloadAdapter('far');
      await model.setModes({ 1: 'linear', 2: 'skip' });
      log.length = 0;
      const stream = model.generate('a b c d');
      await stream.next();
      workers[0]!.dispatchEvent(Object.assign(new Event('error'), { message: 'out of memory' }));
      expect(await rejection(collect(stream))).toMatchObject({ code: 'device-lost' });
      expect(await rejection(model.encode('x'))).toMatchObject({ code: 'device-lost' });
      await Promise.all([model.reload(), model.reload()]);
      expect(workers.length).toBe(2);
      expect(await model.encode('a')).toEqual([97]);
      expect(log.slice(-2)).toEqual(['setModes [{"2":"skip"},null]', 'loadAdapter own 5']);
      await model.dispose();
      expect(log.filter((event) => event === 'terminate').length).toBe(2);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  test('abort during a reply gives the reply so far', async () => {
    const model = await loadModelInWorker('https://example.org/', { worker: fakeWorker([]) });
    const controller = new AbortController();
    const stream = model.generate('a b c d e f g h i j k l m', { signal: controller.signal });
    await stream.next();
    controller.abort();
    expect((await collect(stream)).value.finishReason).toBe('aborted');
  });

  test('files keep their folders, an object with read is called on this side', async () => {
    const paths: string[] = [];
    const worker = fakeWorker([], async (source, options) => {
      if (Array.isArray(source)) paths.push(...source.map((file: File) => file.webkitRelativePath));
      else {
        const raw = source as RawSource;
        const bytes = await raw.read('config.json', 1, 3);
        options.onProgress?.({
          phase: 'read',
          loadedBytes: bytes!.length,
          totalBytes: 9,
          kernels: { compiled: 0, total: 0 },
        });
        paths.push(`${raw.name} ${await raw.size?.('config.json')}`);
      }
      return fakeModel('x', []);
    });
    const file = Object.defineProperty(new File(['{}'], 'config.json'), 'webkitRelativePath', {
      value: 'tiny/config.json',
    });
    const progress: number[] = [];
    await loadModelInWorker([file], { worker });
    const read = (_: string, start = 0, end = 0) => new Uint8Array(end - start);
    await loadModelInWorker(
      { name: 'mine', read },
      { worker, onProgress: ({ loadedBytes }) => progress.push(loadedBytes) },
    );
    expect(paths).toEqual(['tiny/config.json', 'mine undefined']);
    expect(progress).toEqual([2]);
  });

  test('what cannot work is refused by name before the worker is asked', async () => {
    const worker = fakeWorker([]);
    const options = { worker, device: {} };
    expect(await rejection(loadModelInWorker('https://example.org/', options))).toMatchObject({
      code: 'bad-argument',
    });
    expect(await rejection(loadModelInWorker(7 as unknown as string, { worker }))).toMatchObject({
      code: 'bad-argument',
    });
  });

  test('the error of a load arrives whole; the models go with the line', async () => {
    const log: string[] = [];
    let fail = true;
    const worker = fakeWorker(log, async (source) => {
      if (fail) throw new ShishuError('unsupported', 'config.json: x', { mend: 'y' });
      return fakeModel(source, log);
    });
    const error = await rejection(loadModelInWorker('https://example.org/', { worker }));
    expect(error).toMatchObject({ code: 'unsupported', mend: 'y' });
    fail = false;
    const model = await loadModelInWorker('https://example.org/', { worker });
    (worker as unknown as MessagePort).close();
    await tick(20);
    expect(log).toEqual(['dispose']);
    expect(await rejection(model.encode('x'))).toMatchObject({ code: 'disposed' });
    await model.dispose();
  });

  test('a worker that stops or never starts ends every call by name', async () => {
    const listeners: Record<string, (event: Event) => void> = {};
    const dead = () =>
      ({
        postMessage() {},
        addEventListener: (type: string, listener: (event: Event) => void) => {
          listeners[type] = listener;
        },
        removeEventListener() {},
      }) as unknown as Worker;
    const first = rejection(loadModelInWorker('https://example.org/', { worker: dead() }));
    listeners.error!(new Event('error'));
    expect(await first).toMatchObject({ code: 'io', details: { worker: true } });
    const second = rejection(loadModelInWorker('https://example.org/', { worker: dead() }));
    listeners.error!(Object.assign(new Event('error'), { message: 'boom' }));
    expect(await second).toMatchObject({ code: 'device-lost' });
  });
});
