// LoRA adapters against peft: logits, greedy replies, several in one batch, beside quantised weights, and what is kept between calls.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { GenerateOptions, LoadOptions } from '../../src/engine/types.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { ADAPTER_FIXTURES, type AdapterFixture, adapterFixture } from '../support/adapter-fixtures.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { difference } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { forGpus } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const TOLERANCE = 1e-4;
const LLAMA = ['llama-all', 'llama-attention', 'llama-mlp'];

/** What the base model is asked with, and each of its adapters. */
async function withModel<T>(
  { base }: AdapterFixture,
  run: (model: EngineModel) => Promise<T>,
  options: LoadOptions = {},
  tuning: Partial<Tuning> = {},
): Promise<T> {
  const model = await loadModel(
    memorySource({ ...base.files, ...charTokenizerFiles() }),
    { device: gpu.device, contextLength: base.context, dtype: 'f32', kv: 'f32', ...options },
    { tuning },
  );
  try {
    return await run(model);
  } finally {
    await model.dispose();
  }
}

async function reply(model: EngineModel, prompt: number[], options: GenerateOptions): Promise<number[]> {
  return (await resultOf(model.generate(prompt, { ignoreEos: true, ...options }))).tokenIds;
}

/** How far logits with the adapter are from peft's. */
async function off(model: EngineModel, { prompt, logits }: AdapterFixture): Promise<number> {
  const found = await model.logits(prompt, { adapter: 'own' });
  return difference(found.subarray(-logits.length), logits);
}

describe.each(ADAPTER_FIXTURES)('%s', (name) => {
  test('logits and greedy replies are those of peft, and without it those of the model', async () => {
    const fixture = await adapterFixture(name);
    const { prompt, greedy, skipped, base } = fixture;
    const maxTokens = greedy.length;
    await withModel(fixture, async (model) => {
      const before = { ...model.info.bytes };
      const plain = await model.logits(prompt);
      const info = await model.loadAdapter(memorySource(fixture.files), { name: 'own' });
      expect(model.info.adapters).toEqual([info]);
      expect(model.info.bytes.weights).toBeGreaterThanOrEqual(before.weights + info.bytes);
      const apart = await off(model, fixture);
      console.info(`${name}: ${apart.toExponential(1)}`);
      expect(apart).toBeLessThan(TOLERANCE);
      // To the last bit.
      expect(await model.logits(prompt)).toEqual(plain);
      expect(await reply(model, prompt, { maxTokens, adapter: 'own' })).toEqual(greedy);
      expect(await reply(model, prompt, { maxTokens })).toEqual(base.greedy.slice(0, maxTokens));
      await model.setModes({ [skipped.layer]: 'skip' });
      const without = await model.logits(prompt, { adapter: 'own' });
      expect(difference(without.subarray(-skipped.logits.length), skipped.logits)).toBeLessThan(TOLERANCE);
      await model.setModes({});
      await model.unloadAdapter('own');
      expect(model.info.adapters).toEqual([]);
      expect(model.info.bytes.weights).toBe(before.weights);
      await expect(model.logits(prompt, { adapter: 'own' })).rejects.toThrow('No adapter "own" is loaded');
    });
  });

  // Drivers on the CPU take half a minute to compile them for each.
  test.runIf(name === 'llama-all' || (inject('full') && name === 'gemma3'))('kernels for GPUs', async () => {
    const fixture = await adapterFixture(name);
    const run = async (model: EngineModel): Promise<void> => {
      await model.loadAdapter(memorySource(fixture.files), { name: 'own' });
      expect(await off(model, fixture)).toBeLessThan(TOLERANCE);
      const maxTokens = fixture.greedy.length;
      expect(await reply(model, fixture.prompt, { maxTokens, adapter: 'own' })).toEqual(fixture.greedy);
    };
    await withModel(fixture, run, {}, forGpus);
  });
});

test('several adapters and none in one batch: each as if alone, whatever ran in its slot before', async () => {
  const fixtures = await Promise.all(LLAMA.map(adapterFixture));
  const [first] = fixtures as [AdapterFixture];
  const { prompt, base } = first;
  const maxTokens = first.greedy.length;
  const asked = [...LLAMA, undefined];
  const expected = [...fixtures.map(({ greedy }) => greedy), base.greedy.slice(0, maxTokens)];
  await withModel(
    first,
    async (model) => {
      for (const [i, { files }] of fixtures.entries()) {
        const list = Object.entries(files).map(([file, data]) => new File([data], file));
        await model.loadAdapter(list, { name: LLAMA[i]! });
      }
      const all = (order: readonly number[]) =>
        Promise.all(
          order.map((i) => reply(model, prompt, { maxTokens, ...(asked[i] && { adapter: asked[i] }) })),
        );
      expect(await all([0, 1, 2, 3])).toEqual(expected);
      // In other slots, which hold the same prompt of another adapter.
      for (const order of [
        [3, 2, 1, 0],
        [1, 3, 0, 2],
      ])
        expect(await all(order)).toEqual(order.map((i) => expected[i]));
      // What is loaded and unloaded waits for replies, and the others stay as they are.
      const running = all([0, 1, 3]);
      await Promise.all([model.unloadAdapter(LLAMA[2]!), model.unloadAdapter(LLAMA[0]!)]);
      expect(await running).toEqual([expected[0], expected[1], expected[3]]);
      expect(await all([1, 3])).toEqual([expected[1], expected[3]]);
      await model.loadAdapter(memorySource(fixtures[2]!.files), { name: LLAMA[0]! });
      expect(await all([0, 1])).toEqual([expected[2], expected[1]]);
      const options = { maxTokens, ignoreEos: true, adapter: LLAMA[1]! };
      const replies = await resultOf(model.generateBatch(prompt, 2, options));
      expect(replies.map(({ tokenIds }) => tokenIds)).toEqual([expected[1], expected[1]]);
    },
    { batch: 4 },
  );
});

test('beside quantised weights and a narrow KV cache', async () => {
  const fixture = await adapterFixture('llama-all');
  await withModel(
    fixture,
    async (model) => {
      const plain = (await model.logits(fixture.prompt)).subarray(-fixture.logits.length);
      const lost = difference(plain, fixture.base.logits.subarray(-fixture.logits.length));
      await model.loadAdapter(memorySource(fixture.files), { name: 'own' });
      const apart = await off(model, fixture);
      console.info(`q8: ${apart.toFixed(4)}, without an adapter ${lost.toFixed(4)}`);
      // As much as the weights' rounding costs without it.
      expect(lost).toBeGreaterThan(0.001);
      expect(apart).toBeLessThan(2.5 * lost);
    },
    { dtype: 'q8', kv: 'f16' },
  );
});

test('a model that is loaded again after its GPU was lost has its adapters', async () => {
  const fixture = await adapterFixture('llama-attention');
  const { device } = await openGpu();
  await withModel(
    fixture,
    async (model) => {
      await model.loadAdapter(memorySource(fixture.files), { name: 'own' });
      const { adapters, bytes } = model.info;
      device.destroy();
      await expect(off(model, fixture)).rejects.toMatchObject({ code: 'device-lost' });
      await model.reload();
      expect(model.info).toMatchObject({ adapters, bytes });
      expect(await off(model, fixture)).toBeLessThan(TOLERANCE);
    },
    { device },
  );
});

test('what does not fit, or has a name that is taken, changes nothing', async () => {
  const fixture = await adapterFixture('llama-all');
  const needs = await withModel(fixture, async (model) => model.info.bytes.total);
  await withModel(
    fixture,
    async (model) => {
      const before = model.info.bytes;
      await expect(model.loadAdapter(memorySource(fixture.files))).rejects.toMatchObject({
        code: 'does-not-fit',
      });
      expect(model.info.adapters).toEqual([]);
      expect(model.info.bytes.weights).toBe(before.weights);
    },
    { memoryLimit: needs + 1000 },
  );
  await withModel(fixture, async (model) => {
    const source = memorySource(fixture.files);
    const both = await Promise.allSettled([
      model.loadAdapter(source, { name: 'a' }),
      model.loadAdapter(source, { name: 'a' }),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    await expect(model.loadAdapter(source, { rank: 3 } as never)).rejects.toThrow('no option "rank"');
    await expect(reply(model, [1], { adapter: 'b' })).rejects.toThrow('Loaded: a.');
    await expect(model.unloadAdapter('b')).rejects.toMatchObject({ code: 'bad-argument' });
    // A reply that waits while its adapter is unloaded.
    const options = { maxTokens: 4, adapter: 'a' };
    const [one, two] = [reply(model, [1, 2], options), reply(model, [3, 4], options)];
    const gone = model.unloadAdapter('a');
    const late = reply(model, [5, 6], options);
    expect(await one).toHaveLength(4);
    expect(await two).toHaveLength(4);
    await gone;
    await expect(late).rejects.toThrow('unloaded before');
  });
});
