// Prompts of 2 to 16 tokens have kernels of their own on GPUs: compiled when a model loads, and tested with the others.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeRunner } from '../../src/engine/engine.ts';
import type { Runner } from '../../src/engine/runner.ts';
import { GREEDY } from '../../src/engine/sampler.ts';
import { selfTest } from '../../src/engine/self-test.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { referenceGreedy } from '../reference/forward.ts';
import { memorySource } from '../support/memory-source.ts';
import { randomTokens, tinyFiles, tinyModel } from '../support/tiny-models.ts';
import { forGpus } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const tiny = tinyModel('llama', 7);
const plan = planOf(tiny.spec);

/** Loads the model as on a GPU, batch 1, through a compiler of its own that may spoil shaders. */
async function load(spoil: (code: string) => string): Promise<{ runner: Runner; compiled: () => number }> {
  const { device } = gpu;
  let modules = 0;
  const own = new Proxy(device, {
    get(target, key) {
      if (key === 'createShaderModule')
        return ({ label = '', code }: GPUShaderModuleDescriptor) => {
          modules++;
          return device.createShaderModule({ label, code: spoil(code) });
        };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const hardware = await openGpu({ device: own, profile: 'gpu' });
  const specs = tensorsOf(tiny.spec);
  const checkpoint = await openCheckpoint(memorySource(tinyFiles(tiny)), specs);
  const sizes = { dtype: 'f32', kv: 'f32', contextLength: 48, batch: 1 } as const;
  const tuning = { ...forGpus, wideFrom: 17 };
  const runner = await makeRunner(hardware, tiny.spec, { ...sizes, tuning }, (fill) =>
    fillFromCheckpoint(hardware, fill, checkpoint, specs),
  );
  return { runner, compiled: () => modules };
}

test('compiled at loading, right, and nothing is compiled later', async () => {
  const { runner, compiled } = await load((code) => code);
  const before = compiled();
  expect(await selfTest(runner, plan)).toEqual([]);
  // The self-test reads the logits of few rows too, by twos, fours and eights, which only scores and batches do; and draws a token,
  // which takes three.
  expect(compiled() - before).toBeLessThanOrEqual(6);
  const loaded = compiled();
  for (const length of [1, 2, 3, 5, 16, 17]) {
    const prompt = randomTokens(tiny.spec, length, 40 + length);
    const { tokens } = await runner.prefill(plan, 0, prompt, 0, GREEDY);
    expect([...tokens]).toEqual([...referenceGreedy(tiny.spec, tiny.tensors, prompt, 1)]);
  }
  expect(compiled()).toBe(loaded);
  runner.ledger.releaseAll();
});

test('that they compute wrongly is found', async () => {
  // Every row reads the first.
  const { runner } = await load((code) =>
    /const TOKENS: u32 = 4u/.test(code)
      ? code.replace(/const X_STRIDE4: u32 = \d+u/, 'const X_STRIDE4: u32 = 0u')
      : code,
  );
  const wrong = (await selfTest(runner, plan)).map(({ kernel }) => kernel);
  expect(wrong.join()).toMatch(/few rows, block 0/);
  expect(wrong.join()).not.toMatch(/prompt|decode/);
  runner.ledger.releaseAll();
});
