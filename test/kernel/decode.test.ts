// What decoding costs and how it ends: nothing is built a token, the context never wraps, sequences decode together.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel, makeRunner } from '../../src/engine/engine.ts';
import { GREEDY } from '../../src/engine/sampler.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { kvBytesPerToken, planOf, tensorsOf } from '../../src/model/spec.ts';
import { referenceGreedy } from '../reference/forward.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { randomTokens, tinyFiles, tinyModel } from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const tiny = tinyModel('shishu', 7);
const plan = planOf(tiny.spec);
const source = memorySource({ ...tinyFiles(tiny), ...charTokenizerFiles() });

const runnerOf = async (batch: number) => {
  const specs = tensorsOf(tiny.spec);
  const checkpoint = await openCheckpoint(source, specs);
  return makeRunner(gpu, tiny.spec, { dtype: 'f32', kv: 'f32', contextLength: 48, batch }, (fill) =>
    fillFromCheckpoint(gpu, fill, checkpoint, specs),
  );
};

test('several sequences decode together as each does alone', async () => {
  const prompts = [5, 9, 2].map((length, i) => randomTokens(tiny.spec, length, 20 + i));
  const runner = await runnerOf(prompts.length);
  const replies: number[][] = [];
  for (const [sequence, prompt] of prompts.entries()) {
    const { tokens } = await runner.prefill(plan, sequence, prompt, 0, GREEDY);
    replies.push([tokens[sequence]!]);
  }
  for await (const { tokens } of runner.decode(plan, GREEDY, 9, { steps: 11 }))
    for (const [sequence, reply] of replies.entries()) reply.push(tokens[sequence]!);
  runner.ledger.releaseAll();
  for (const [sequence, prompt] of prompts.entries())
    expect(replies[sequence]).toEqual([...referenceGreedy(tiny.spec, tiny.tensors, prompt, 12)]);
});

test('decoding builds no GPU object and submits once a step', async () => {
  const runner = await runnerOf(1);
  await runner.prefill(plan, 0, randomTokens(tiny.spec, 4, 3), 0, GREEDY);
  const { device } = gpu;
  const calls: string[] = [];
  const makers = [
    'createBuffer',
    'createBindGroup',
    'createComputePipelineAsync',
    'createShaderModule',
  ] as const;
  for (const name of makers) {
    const make = device[name].bind(device) as (...args: unknown[]) => unknown;
    Object.defineProperty(device, name, {
      configurable: true,
      value: (...args: unknown[]) => {
        calls.push(name);
        return make(...args);
      },
    });
  }
  const submit = device.queue.submit.bind(device.queue);
  let submits = 0;
  Object.defineProperty(device.queue, 'submit', {
    configurable: true,
    value: (lists: GPUCommandBuffer[]) => {
      // Empty ones wake drivers that are slow to tell, as this one may be on a busy machine.
      if (lists.length > 0) submits++;
      submit(lists);
    },
  });
  let steps = 0;
  try {
    for await (const _ of runner.decode(plan, GREEDY, 4, { steps: 10 })) steps++;
  } finally {
    for (const name of makers) Reflect.deleteProperty(device, name);
    Reflect.deleteProperty(device.queue, 'submit');
    runner.ledger.releaseAll();
  }
  expect(steps).toBe(10);
  expect(calls).toEqual([]);
  expect(submits).toBe(10);
});

test('the KV cache has the bytes of the formula, and a full one ends the reply', async () => {
  const model = await loadModel(source, { device: gpu.device, contextLength: 24 });
  expect(model.info.bytes.kv).toBe(24 * kvBytesPerToken(tiny.spec, plan, 4));
  const { finishReason, usage } = await resultOf(model.generate('ABCD', { ignoreEos: true }));
  expect(finishReason).toBe('length');
  expect(usage.totalTokens).toBe(24);
  await expect(model.generate('A'.repeat(25)).next()).rejects.toMatchObject({ code: 'context-full' });
  await model.dispose();
  await expect(model.generate('A').next()).rejects.toMatchObject({ code: 'disposed' });
});

test('a block of attention takes 5 dispatches, or 6 with norms of q and k; one without takes 2; 3 are beside', async () => {
  const runner = await runnerOf(1);
  const dispatches = await runner.decodeDispatches(plan);
  const of = (layer: number) => dispatches.filter(({ block }) => block === layer).length;
  for (const { kind, layer } of plan) expect(of(layer)).toBe(kind === 'attention' ? 6 : 2);
  expect(dispatches.filter(({ block }) => block === undefined).length).toBe(3);
  runner.ledger.releaseAll();
});
