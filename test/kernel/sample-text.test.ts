// Text that a model samples to be calibrated on.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { samplerOf, sampleText } from '../../src/convert/sample-text.ts';
import { makeRunner } from '../../src/engine/engine.ts';
import type { Runner } from '../../src/engine/runner.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const { spec, ...tiny } = tinyModel('llama', 7);
const plan = planOf(spec);
let gpu: Gpu;
let runner: Runner;
beforeAll(async () => {
  gpu = await openTestGpu();
  const specs = tensorsOf(spec);
  const checkpoint = await openCheckpoint(memorySource(tinyFiles({ spec, ...tiny })), specs);
  const size = { dtype: 'f32', kv: 'f32', contextLength: 32, batch: 1 } as const;
  runner = await makeRunner(gpu, spec, size, (fill) => fillFromCheckpoint(gpu, fill, checkpoint, specs));
});
afterAll(() => {
  runner.ledger.releaseAll();
  gpu.close();
});

test('is as long as asked, without the tokens that end replies, and the same for a seed', async () => {
  const options = { tokens: 70, length: 20, bos: 1, stopTokenIds: [2, 3, 4], seed: 5 };
  const ids = await sampleText(samplerOf(runner, plan), options);
  expect(ids.length).toBe(70);
  expect(ids.some((id) => options.stopTokenIds.includes(id))).toBe(false);
  expect(new Set(ids).size).toBeGreaterThan(10);
  expect(await sampleText(samplerOf(runner, plan), options)).toEqual(ids);
});

test('a model that only ends its replies is refused, not asked for ever', async () => {
  const stopTokenIds = Array.from({ length: spec.vocabSize }, (_, id) => id);
  const asked = sampleText(samplerOf(runner, plan), { tokens: 8, length: 8, bos: 1, stopTokenIds, seed: 1 });
  await expect(asked).rejects.toMatchObject({ code: 'unsupported', details: { replies: 64 } });
});
