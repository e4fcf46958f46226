// Whole models against the CPU's forward: every family, every way of cutting a prompt up.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu, GpuOptions } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { referenceLogits } from '../reference/forward.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import {
  randomTokens,
  TINY_MODEL_NAMES,
  type TinyModelName,
  tinyFiles,
  tinyModel,
} from '../support/tiny-models.ts';
import { forGpus, forSoftware } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

type Extra = Omit<GpuOptions, 'device'> & { tuning?: Partial<Tuning>; chunk?: number };

async function withModel<T>(
  name: TinyModelName,
  run: (model: EngineModel) => Promise<T>,
  options: LoadOptions = {},
  extra: Extra = {},
): Promise<T> {
  const files = { ...tinyFiles(tinyModel(name, 7)), ...charTokenizerFiles() };
  const model = await loadModel(
    memorySource(files),
    { device: gpu.device, contextLength: 64, ...options },
    extra,
  );
  try {
    return await run(model);
  } finally {
    await model.dispose();
  }
}

/** Largest difference, relative to the spread of the expected values. */
function difference(found: Float32Array, expected: Float32Array): number {
  expect(found.length).toBe(expected.length);
  const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let most = 0;
  for (let i = 0; i < found.length; i++) {
    const apart = Math.abs(found[i]! - expected[i]!) / spread;
    most = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : Math.max(most, apart);
  }
  return most;
}

function expected(name: TinyModelName, tokens: number[]): Float32Array {
  const { spec, tensors } = tinyModel(name, 7);
  return Float32Array.from(referenceLogits(spec, tensors, tokens));
}

describe.each(TINY_MODEL_NAMES)('%s', (name) => {
  const tokens = randomTokens(tinyModel(name, 7).spec, 39, 11);
  const want = expected(name, tokens);

  // Dawn's driver on the CPU compiles for long: some there, all in Chromium.
  const onGpus = typeof document !== 'undefined' || ['llama', 'qwen3', 'linear-rank'].includes(name);
  const tunings = [
    { kernels: 'kernels for GPUs', tuning: forGpus },
    { kernels: 'kernels for software adapters', tuning: forSoftware },
  ].slice(onGpus ? 0 : 1);

  test.each(tunings)('$kernels: logits are the reference forward to 1e-3', async ({ tuning }) => {
    const found = await withModel(name, (model) => model.logits(tokens), {}, { tuning });
    expect(difference(found, want)).toBeLessThan(1e-4);
  });

  test('one chunk, odd chunks and token by token agree', async () => {
    for (const { tuning } of tunings)
      for (const chunk of [1, 7, 39])
        expect(
          difference(await withModel(name, (model) => model.logits(tokens), {}, { tuning, chunk }), want),
        ).toBeLessThan(1e-4);
  });
});
