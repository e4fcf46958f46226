// Each family against transformers: logits of a prompt, its greedy continuation, two replies at once, a layer without attention.
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import {
  difference,
  FAMILY_FIXTURES,
  type FamilyFixture,
  familyFixture,
} from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { forGpus, forSoftware } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const TOLERANCE = 1e-4;

describe.each(FAMILY_FIXTURES)('%s', (name) => {
  let fixture: FamilyFixture;
  beforeAll(async () => {
    fixture = await familyFixture(name);
  });

  async function withModel<T>(
    run: (model: EngineModel) => Promise<T>,
    extra: { tuning?: Partial<Tuning>; chunk?: number } = {},
    options: LoadOptions = {},
  ): Promise<T> {
    const { files, context } = fixture;
    const model = await loadModel(
      memorySource({ ...files, ...charTokenizerFiles() }),
      { device: gpu.device, contextLength: context, dtype: 'f32', kv: 'f32', ...options },
      extra,
    );
    try {
      return await run(model);
    } finally {
      await model.dispose();
    }
  }

  test('logits, greedy, two at once and without an attention are those of transformers', async () => {
    const { prompt, greedy, logits, skipped } = fixture;
    const options = { maxTokens: greedy.length, ignoreEos: true };
    await withModel(
      async (model) => {
        const apart = difference(await model.logits(prompt), logits);
        console.info(`${name}: ${apart.toExponential(1)}`);
        expect(apart).toBeLessThan(TOLERANCE);
        const replies = await resultOf(model.generateBatch(prompt, 2, options));
        expect(replies.map(({ tokenIds }) => tokenIds)).toEqual([greedy, greedy]);
        await model.reset();
        expect((await resultOf(model.generate(prompt, options))).tokenIds).toEqual(greedy);
        await model.setModes({ [skipped.layer]: 'skip' });
        const without = await model.logits(prompt);
        expect(difference(without.subarray(-skipped.logits.length), skipped.logits)).toBeLessThan(TOLERANCE);
      },
      {},
      { batch: 2 },
    );
  });

  // Dawn's driver on the CPU compiles for half a minute for each: two families there, all in Chromium.
  const onGpus = typeof document !== 'undefined' || ['gemma3', 'qwen3'].includes(name);
  const tunings: [string, Partial<Tuning>][] = [
    ...(onGpus ? [['GPUs', forGpus] satisfies [string, Partial<Tuning>]] : []),
    ['software adapters', forSoftware],
  ];
  test.each(inject('full') ? tunings : [])(
    'kernels for %s, in chunks and token by token',
    async (_, tuning) => {
      for (const chunk of [1, 7, 24]) {
        const found = await withModel((model) => model.logits(fixture.prompt), { tuning, chunk });
        expect(difference(found, fixture.logits)).toBeLessThan(TOLERANCE);
      }
    },
  );
});
