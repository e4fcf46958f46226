// Each architecture of GGUF files on the GPU, against transformers.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { difference } from '../support/family-fixtures.ts';
import { GGUF_FAMILIES, ggufFamily } from '../support/gguf-families.ts';
import { openTestGpu } from '../support/gpu-features.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

test.each(GGUF_FAMILIES)('%s: logits are those of transformers', async (name) => {
  const { file, context, prompt, logits } = await ggufFamily(name);
  const options = { device: gpu.device, contextLength: context, kv: 'f32', selfTest: false } as const;
  const model = await loadModel(file, { ...options, dtype: 'f32' });
  expect(difference(await model.logits(prompt), logits)).toBeLessThan(1e-4);
  await model.dispose();
});

// BF16 as it is; of factors, f16.
test.each([
  ['lfm2', 1e-4],
  ['gemma3', 5e-3],
])('%s as it loads unasked', async (name, bound) => {
  const { file, context, prompt, logits } = await ggufFamily(name);
  const options = { device: gpu.device, contextLength: context, kv: 'f32', selfTest: false } as const;
  const model = await loadModel(file, options);
  expect(difference(await model.logits(prompt), logits)).toBeLessThan(bound);
  await model.dispose();
});
