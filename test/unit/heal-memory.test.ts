// A GPU without the memory that training takes: what would take less is said.
import { expect, it, vi } from 'vitest';
import { childConfig } from '../../src/convert/child-config.ts';
import { heal } from '../../src/convert/heal.ts';
import { mixtureOf } from '../../src/convert/windows.ts';
import { ShishuError } from '../../src/errors.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { type ModelSpec, ownTensors } from '../../src/model/spec.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { memorySource } from '../support/memory-source.ts';

const create = vi.hoisted(() => vi.fn());
vi.mock('../../src/train/trainer.ts', () => ({ Trainer: { create } }));

const json = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 24,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 0,
};
const parent = specOf(json);
const child = specOf(childConfig(json, parent, { layers: [1, 2], pairs: [], linear: true }));

async function modelOf(spec: ModelSpec) {
  const weights = initialWeights(spec, 1);
  const tensors = ownTensors(spec).map(({ name, shape }) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: weights[name]!.data,
  }));
  const source = memorySource({ 'model.safetensors': encodeSafetensors(tensors) });
  return { spec, checkpoint: await openCheckpoint(source, ownTensors(spec)) };
}

it('names the memory, and what takes less of it', async () => {
  create.mockRejectedValue(new ShishuError('out-of-memory', 'There is no memory for training.'));
  const windows = Array.from({ length: 40 }, (_, i) => Array.from({ length: 33 }, (_, j) => (i + j) % 24));
  const lines: string[] = [];
  const healed = heal(
    {} as Gpu,
    await modelOf(parent),
    await modelOf(child),
    { healing: mixtureOf(windows), choosing: [] },
    { tokens: 5000, log: (line) => lines.push(line) },
  );
  await expect(healed).rejects.toMatchObject({
    code: 'out-of-memory',
    message: expect.stringMatching(
      /found no \d\.\d MB .* Less would be: all with 1 window of 32 at once .*; changed with 1 window .*; lora:16/,
    ),
  });
  expect(lines[0]).toMatch(
    /^healing: \d+ steps of \d+ windows of 32 tokens, \d+ at once; trained: all, in \d\.\d MB/,
  );
  expect(create.mock.calls[0]![3]).toMatchObject({ lowest: 1, trained: 'all', teacher: { mix: 1 } });
});

it('leaves other faults as they are', async () => {
  create.mockRejectedValue(new ShishuError('device-lost', 'It is gone.'));
  const windows = [Array.from({ length: 33 }, (_, j) => j % 24)];
  const text = { healing: mixtureOf(windows), choosing: [] };
  const healed = heal({} as Gpu, await modelOf(parent), await modelOf(child), text, { tokens: 100 });
  await expect(healed).rejects.toMatchObject({ code: 'device-lost', message: 'It is gone.' });
});
