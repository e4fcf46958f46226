// Vectors of texts against transformers and sentence-transformers, in batches and alone, and what they leave of others' caches.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { Embeddings, LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { type EmbeddingFixture, embeddingFixture } from '../support/embedding-fixtures.ts';
import { difference } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';

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
    [1, 64],
    [1, 7],
    [4, 64],
    [3, 5],
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

test('a text in a long list is as alone, in the order given; progress tells of each turn', async () => {
  const { texts } = fixtures.qwen3;
  const list = Array.from({ length: 150 }, (_, i) => `${i} ${texts[i % texts.length]}`);
  await withModel(
    fixtures.qwen3,
    async (model) => {
      const told: [number, number][] = [];
      const onProgress = ({ texts: done, total }: { texts: number; total: number }) =>
        void told.push([done, total]);
      const all = await model.embed(list, { onProgress });
      expect(told.length).toBeGreaterThan(3);
      expect(told.at(-1)).toEqual([150, 150]);
      for (const i of [0, 1, 63, 64, 100, 149]) {
        const alone = await model.embed(list[i]!);
        expect(alone.tokens).toEqual([all.tokens[i]]);
        expect(difference(all.embeddings[i]!, alone.embeddings[0]!)).toBeLessThan(1e-5);
      }
      expect(await model.embed([])).toEqual({ embeddings: [], tokens: [] });
    },
    { batch: 5 },
  );
});

test('a chat beside it keeps its cache, and gets its turn in a long list', async () => {
  const files = { ...fixtures.qwen3.files };
  await withModel(
    { ...fixtures.qwen3, files },
    async (model) => {
      const prompt = fixtures.qwen3.ids[0]!;
      const cached = async (tokens: readonly number[]): Promise<number> => {
        const reply = model.generate(tokens, { maxTokens: 2, ignoreEos: true });
        let next = await reply.next();
        while (!next.done) next = await reply.next();
        return next.value.usage.cachedTokens;
      };
      await cached(prompt);
      await model.embed('a text');
      await model.score([1, 2, 3]);
      expect(await cached([...prompt, 5])).toBe(prompt.length);
      const list = Array.from({ length: 300 }, (_, i) => `text ${i}`);
      const order: string[] = [];
      const embedding = model.embed(list).then(() => order.push('list'));
      await model.embed('first').then(() => order.push('one'));
      await embedding;
      expect(order).toEqual(['one', 'list']);
    },
    { batch: 2 },
  );
});

test('an abort ends it; the next call runs', async () => {
  await withModel(fixtures.qwen3, async (model) => {
    const abort = new AbortController();
    const list = Array.from({ length: 500 }, (_, i) => `text ${i}`);
    const call = model.embed(list, { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(call).rejects.toMatchObject({ code: 'aborted' });
    expect((await model.embed('a')).tokens).toEqual([2]);
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

describe('bad input', () => {
  test('texts and options are refused by name', async () => {
    await withModel(
      fixtures.qwen3,
      async (model) => {
        const long = 'word '.repeat(100);
        const refused: [Promise<unknown>, object][] = [
          [model.embed(['a', long]), { code: 'context-full', details: { text: 1, limit: 32 } }],
          [model.embed([[1, 2], []]), { code: 'bad-argument', details: { text: 1 } }],
          [model.embed([5 as never, 'a']), { code: 'bad-argument', details: { option: 'texts[0]' } }],
          [model.embed({} as never), { code: 'bad-argument', details: { option: 'texts' } }],
          [model.embed([[999_999]]), { code: 'bad-argument', details: { tokenId: 999_999 } }],
          [model.embed('a', { dimensions: 25 }), { details: { option: 'dimensions' } }],
          [model.embed('a', { dimensions: 1.5 }), { details: { option: 'dimensions' } }],
          [model.embed('a', { pooling: 'cls' as 'last' }), { details: { option: 'pooling' } }],
          [model.embed('a', { normalise: true } as never), { details: { option: 'normalise' } }],
          [model.embed('a', { instruction: 'passage' }), { details: { option: 'instruction' } }],
          [model.embed([1], { instruction: 'query' }), { details: { option: 'instruction' } }],
          [model.embed('a', { modes: { 9: 'skip' } }), { code: 'bad-argument' }],
        ];
        for (const [call, error] of refused) await expect(call).rejects.toMatchObject(error);
      },
      { contextLength: 32 },
    );
  });

  test('a text that is cut keeps the token at its end', async () => {
    await withModel(
      fixtures.qwen3,
      async (model) => {
        const long = 'word '.repeat(100);
        const ids = await model.encode(long);
        const cut = await model.embed(long, { truncate: true });
        expect(cut.tokens).toEqual([32]);
        expect(cut).toEqual(await model.embed([...ids.slice(0, 31), ids.at(-1)!]));
        expect((await model.embed(ids, { truncate: true })).tokens).toEqual([32]);
      },
      { contextLength: 32 },
    );
  });

  test('a text without tokens is an error', async () => {
    await withModel(fixtures.llama, async (model) => {
      const call = model.embed(['a', ''], { instruction: '' });
      await expect(call).rejects.toMatchObject({ code: 'bad-argument', details: { text: 1, tokens: 0 } });
    });
  });

  test.each([
    [{ pooling_mode: 'max' }, 'max'],
    [{ pooling_mode: ['mean', 'max'] }, 'mean and max'],
    [{ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false }, 'cls'],
    [{ pooling_mode_weightedmean_tokens: true }, 'weightedmean'],
  ])('a pooling of the files that is not supported: %j', async (config, named) => {
    const files = { ...fixtures.qwen3.files, '1_Pooling/config.json': JSON.stringify(config) };
    await withModel({ ...fixtures.qwen3, files }, async (model) => {
      await expect(model.embed('a')).rejects.toMatchObject({
        code: 'unsupported',
        message: expect.stringContaining(`pool by ${named},`),
      });
      expect((await model.embed('a', { pooling: 'mean' })).tokens).toEqual([2]);
    });
  });

  test('files that are wrong are for those who ask for embeddings', async () => {
    const dense = [{ path: '2_Dense', type: 'sentence_transformers.models.Dense' }];
    const cases: [Record<string, string>, object][] = [
      [{ 'modules.json': '{"a"' }, { code: 'bad-config', details: { file: 'modules.json' } }],
      [{ 'modules.json': '[]' }, { code: 'bad-config', details: { file: 'modules.json' } }],
      [
        { 'modules.json': JSON.stringify(dense) },
        { code: 'unsupported', details: { module: dense[0]!.type } },
      ],
      [{ 'config_sentence_transformers.json': '{"prompts":{"a":1}}' }, { code: 'bad-config' }],
      [{ 'config_sentence_transformers.json': '{"default_prompt_name":"a"}' }, { code: 'bad-config' }],
      [{ '1_Pooling/config.json': '' }, { code: 'bad-config' }],
    ];
    for (const [wrong, error] of cases)
      await withModel({ ...fixtures.qwen3, files: { ...fixtures.qwen3.files, ...wrong } }, async (model) => {
        await expect(model.embed('a')).rejects.toMatchObject(error);
        expect((await model.score([1, 2])).top1).toHaveLength(2);
      });
  });
});

test('without such files: the last token, of length 1', async () => {
  const { 'modules.json': _, ...files } = fixtures.llama.files;
  await withModel({ ...fixtures.llama, files }, async (model) => {
    const { embeddings } = await model.embed('Rivers flow');
    const asked = await model.embed('Rivers flow', { pooling: 'last', normalize: true });
    expect(asked.embeddings).toEqual(embeddings);
    expect(Math.hypot(...embeddings[0]!)).toBeCloseTo(1, 5);
  });
});
