// Models run on a device with exactly WebGPU's default limits, with the kernels of GPUs and with the plain ones.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fillSynthetic } from '../../src/bench/synthetic.ts';
import { loadModel, makeRunner } from '../../src/engine/engine.ts';
import { GREEDY } from '../../src/engine/sampler.ts';
import { selfTest } from '../../src/engine/self-test.ts';
import { specOf } from '../../src/families/index.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { defaultTuning, PLAIN_TUNING } from '../../src/kernels/tuning.ts';
import { planOf } from '../../src/model/spec.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { defaultLimitsDevice } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

let device: GPUDevice;
let gpu: Gpu;
beforeAll(async () => {
  device = await defaultLimitsDevice();
  gpu = await openGpu({ device });
});
afterAll(() => device.destroy());

test.each(['GPUs', 'software adapters'])(
  'a reply, drawn and adjusted, with the kernels of %s',
  async (whose) => {
    const tuning = whose === 'GPUs' ? defaultTuning({ ...gpu, software: false }) : PLAIN_TUNING;
    const files = { ...tinyFiles(tinyModel('shishu', 7)), ...charTokenizerFiles(131) };
    const model = await loadModel(memorySource(files), { device, contextLength: 64, batch: 2 }, { tuning });
    expect(model.info.selfTest).toMatchObject({ kernels: 'usual', wrong: [] });
    const drawn = { temperature: 0.8, topK: 30, topP: 0.9, minP: 0.01, repetitionPenalty: 1.2, seed: 3 };
    const told = {
      logitBias: { 5: 1 },
      logprobs: true,
      topLogprobs: 20,
      constraint: { regex: '[a-z]{4,9}' },
    };
    const reply = model.generate('abc', { maxTokens: 5, ignoreEos: true, ...drawn, ...told });
    expect((await resultOf(reply)).text).toMatch(/^[a-z]{4,}$/);
    expect((await model.score([5, 6, 7, 8])).logprobs.every(Number.isFinite)).toBe(true);
    await model.dispose();
  },
);

test('weights larger than a binding are in parts, and all of the vocabulary is right', async () => {
  const spec = specOf({
    model_type: 'llama',
    hidden_size: 192,
    intermediate_size: 256,
    num_hidden_layers: 1,
    num_attention_heads: 3,
    vocab_size: 262_144,
    tie_word_embeddings: true,
  });
  const plan = planOf(spec);
  const sizes = { dtype: 'f32', kv: 'f32', contextLength: 32, batch: 1, chunk: 16 } as const;
  const tuning = defaultTuning({ ...gpu, software: false });
  const runner = await makeRunner(gpu, spec, { ...sizes, tuning }, (fill) => fillSynthetic(gpu, fill, 1));
  expect(runner.parts.weights.head.parts.length).toBe(2);
  expect(await selfTest(runner, plan)).toEqual([]);
  const kind = { ...GREEDY, greedy: false };
  const sampler = { temperature: 1, topP: 0.9, minP: 0, topK: 500 };
  const penalties = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };
  runner.sampler.setSampler(0, { ...sampler, ...penalties, seed: 1 });
  const { tokens } = await runner.prefill(plan, 0, [1, 262_143, 200_000], 0, kind);
  expect(tokens[0]).toBeLessThan(262_144);
  runner.ledger.releaseAll();
});
