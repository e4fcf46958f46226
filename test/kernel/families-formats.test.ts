// Each family with its weights in fewer bits, whatever factors they take in as they are read: logits stay near those of f32.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { difference, FAMILY_FIXTURES, familyFixture } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** Largest error of a logit, as a share of the largest logit. */
const BOUNDS = { f16: 0.005, q8: 0.06, q4: 0.6 } as const;

test.each(FAMILY_FIXTURES)('%s in f16, q8 and q4', async (name) => {
  const { files, context, prompt, logits } = await familyFixture(name);
  const source = memorySource({ ...files, ...charTokenizerFiles() });
  for (const dtype of ['f16', 'q8', 'q4'] as const) {
    const options = { device: gpu.device, contextLength: context, kv: 'f32', selfTest: false } as const;
    const model = await loadModel(source, { ...options, dtype });
    const apart = difference(await model.logits(prompt), logits);
    console.info(`${name} ${dtype}: ${apart.toExponential(1)}`);
    expect(apart, dtype).toBeLessThan(BOUNDS[dtype]);
    await model.dispose();
  }
});
