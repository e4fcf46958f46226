// Vectors of texts against transformers and sentence-transformers, in batches and alone, and what they leave of others' caches.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { Embeddings, LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { stride } from '../../src/kernels/tensor.ts';
import { type EmbeddingFixture, embeddingFixture } from '../support/embedding-fixtures.ts';
import { difference } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';

let gpu: Gpu;
const fixtures = {} as Record<'qwen3' | 'llama', EmbeddingFixture>;
beforeAll(async () => {
  gpu = await openTestGpu();
  for (const name of ['qwen3', 'llama'] as const) fixtures[name] = await embeddingFixture(name);
});
afterAll(() => gpu.close());

async function withModel<T>(
  { files, context }: EmbeddingFixture,
  run: (model: EngineModel) => Promise<T>,
  options: LoadOptions = {},
  chunk?: number,
): Promise<T> {
  const own: LoadOptions = { contextLength: context, dtype: 'f32', kv: 'f32', selfTest: false };
  const model = await loadModel(
    memorySource(files),
    { device: gpu.device, ...own, ...options },
    chunk === undefined ? {} : { chunk },
  );
  try {
    return await run(model);
  } finally {
    await model.dispose();
  }
}

const worst = ({ embeddings }: Embeddings, expected: readonly Float32Array[]): number =>
  Math.max(...expected.map((vector, i) => difference(embeddings[i]!, vector)));

describe.each(['qwen3', 'llama'] as const)('%s', (name) => {
  test.each([
    [1, 7],
    [3, 64],
  ])('batch %i, chunks of %i: each case is that of transformers', async (batch, chunk) => {
    const { texts, ids, cases } = fixtures[name];
    await withModel(
      fixtures[name],
      async (model) => {
        for (const { options, vectors } of cases) {
          const found = await model.embed(texts, options);
          expect(found.embeddings).toHaveLength(texts.length);
          const apart = worst(found, vectors);
          expect(apart, JSON.stringify(options)).toBeLessThan(1e-4);
        }
        const plain = await model.embed(texts, { instruction: '' });
        expect(plain.tokens).toEqual(ids.map(({ length }) => length));
        const byIds = await model.embed(ids.map((each) => Uint32Array.from(each)));
        expect(byIds).toEqual(plain);
      },
      { batch },
      chunk,
    );
  });

  test.each([
    ['f16', 1e-3],
    ['q8', 0.06],
  ] as const)('%s is near', async (dtype, bound) => {
    const { texts, cases } = fixtures[name];
    const [{ options, vectors }] = cases as [EmbeddingFixture['cases'][0]];
    const apart = await withModel(
      fixtures[name],
      async (model) => worst(await model.embed(texts, options), vectors),
      { dtype },
    );
    console.info(`${name} ${dtype}: ${apart.toExponential(1)}`);
    expect(apart).toBeLessThan(bound);
  });
});

describe('beside others', () => {
  let model: EngineModel;
  beforeAll(async () => {
    const { files, context } = fixtures.qwen3;
    const options: LoadOptions = { contextLength: context, dtype: 'f32', kv: 'f32', batch: 3 };
    model = await loadModel(memorySource(files), { device: gpu.device, ...options }, { chunk: 64 });
  });
  afterAll(() => model.dispose());

  test('a text in a long list is as alone, in the order given; progress tells of each turn', async () => {
    const { texts } = fixtures.qwen3;
    const list = Array.from({ length: 80 }, (_, i) => `${i} ${texts[i % texts.length]}`);
    const told: [number, number][] = [];
    const all = await model.embed(list, { onProgress: ({ texts, total }) => void told.push([texts, total]) });
    expect(told.length).toBeGreaterThan(3);
    expect(told.at(-1)).toEqual([80, 80]);
    for (const i of [0, 1, 63, 64, 79]) {
      const alone = await model.embed(list[i]!);
      expect(alone.tokens).toEqual([all.tokens[i]]);
      expect(difference(all.embeddings[i]!, alone.embeddings[0]!)).toBeLessThan(1e-5);
    }
  });

  test('a chat keeps its cache, and others get their turn before a long list ends', async () => {
    const prompt = fixtures.qwen3.ids[0]!;
    const cached = async (tokens: readonly number[]): Promise<number> => {
      return (await resultOf(model.generate(tokens, { maxTokens: 2, ignoreEos: true }))).usage.cachedTokens;
    };
    await cached(prompt);
    await model.embed(['a text', 'another']);
    await model.score([1, 2, 3]);
    expect(await cached([...prompt, 5])).toBe(prompt.length);
    const order: string[] = [];
    const list = Array.from({ length: 130 }, (_, i) => `text ${i}`);
    const embedding = model.embed(list).then(() => order.push('list'));
    await model.embed('first').then(() => order.push('one'));
    await embedding;
    expect(order).toEqual(['one', 'list']);
  });

  test('an abort ends it; the next call runs', async () => {
    const abort = new AbortController();
    const list = Array.from({ length: 500 }, (_, i) => `text ${i}`);
    const call = model.embed(list, { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(call).rejects.toMatchObject({ code: 'aborted' });
    expect((await model.embed('a')).tokens).toEqual([2]);
  });

  test('of all hidden states, one vector a text is read back', async () => {
    const { device } = gpu;
    const read = { bytes: 0 };
    const createBuffer = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      if (descriptor.usage & GPUBufferUsage.MAP_READ) read.bytes += descriptor.size;
      return createBuffer(descriptor);
    };
    try {
      const { tokens } = await model.embed(fixtures.qwen3.texts, { pooling: 'mean' });
      expect(tokens.reduce((sum, count) => sum + count)).toBeGreaterThan(100);
      expect(read.bytes).toBe(4 * stride(24) * tokens.length);
    } finally {
      device.createBuffer = createBuffer;
    }
  });
});

test('a model without a head embeds, and refuses what needs it by name', async () => {
  await withModel(fixtures.llama, async (model) => {
    expect((await model.embed('a text')).embeddings[0]).toHaveLength(24);
    const refusal = { code: 'unsupported', details: { tensor: 'lm_head.weight' } };
    await expect(model.generate([1]).next()).rejects.toMatchObject(refusal);
    await expect(model.score([1, 2])).rejects.toMatchObject(refusal);
    await expect(model.logits([1, 2])).rejects.toMatchObject(refusal);
  });
});
