// ShishuLMs of several parents against transformers: logits of a prompt, and its greedy continuation.
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { CHILD_FIXTURES, childFixture } from '../support/child-fixtures.ts';
import { difference } from '../support/family-fixtures.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const TOLERANCE = 1e-4;

// The reference forward has them all (test/unit/child-layout.test.ts).
const NAMES = inject('full') ? CHILD_FIXTURES : ['llama', 'qwen3', 'gemma3'];

test.each(NAMES)('%s', async (name) => {
  const { files, context, prompt, greedy, logits } = await childFixture(name);
  const load = () =>
    loadModel(memorySource({ ...files, ...charTokenizerFiles() }), {
      device: gpu.device,
      contextLength: context,
      dtype: 'f32',
      kv: 'f32',
    });
  const model = await load();
  try {
    expect(difference(await model.logits(prompt), logits)).toBeLessThan(TOLERANCE);
    const reply = await resultOf(
      model.generate(prompt, { maxTokens: greedy.length, ignoreEos: true, temperature: 0 }),
    );
    expect(reply.tokenIds).toEqual(greedy);
  } finally {
    await model.dispose();
  }
});
