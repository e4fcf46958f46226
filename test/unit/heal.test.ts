import { beforeAll, describe, expect, it } from 'vitest';
import { childConfig } from '../../src/convert/child-config.ts';
import { checkHealing, heal } from '../../src/convert/heal.ts';
import { mixtureOf } from '../../src/convert/windows.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import { type ModelSpec, ownTensors } from '../../src/model/spec.ts';
import { BatchStream } from '../../src/train/batches.ts';
import { initialWeights } from '../../src/train/model.ts';
import { randomFrom } from '../../src/train/random.ts';
import { startJax, Trainer } from '../../src/train/trainer.ts';
import type { CpuWeights } from '../../src/train/weights.ts';
import { memorySource } from '../support/memory-source.ts';

const LENGTH = 24;
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
const shape = { layers: [1, 2], pairs: [[1, 2]] as const, linear: true };
const child = specOf(childConfig(json, parent, shape));

/** Each token is given by the two before it, but for one in ten: what tells them apart takes attention. */
function windowsFrom(seed: number, count: number): number[][] {
  const random = randomFrom(seed);
  return Array.from({ length: count }, () => {
    const ids = [1, 2];
    while (ids.length <= LENGTH)
      ids.push(random() < 0.1 ? Math.floor(random() * 24) : (3 * ids.at(-1)! + 5 * ids.at(-2)! + 1) % 24);
    return ids;
  });
}

const text = windowsFrom(1, 120);
const heldOut = windowsFrom(2, 32);
const healingText = { healing: mixtureOf(text), choosing: windowsFrom(4, 8) };
const streamOf = (windows: number[][], rows: number): BatchStream =>
  new BatchStream(
    (i) => ({ ids: windows[i % windows.length]!, weights: Array.from({ length: LENGTH + 1 }, () => 1) }),
    { rows, length: LENGTH, pad: 0 },
  );
const schedule = { steps: 120, learningRate: 5e-3, warmUp: 10 };

async function checkpointOf(spec: ModelSpec, weights: CpuWeights) {
  const tensors = ownTensors(spec).map(({ name, shape }) => {
    return { name, dtype: 'F32' as const, shape, data: weights[name]!.data };
  });
  const source = memorySource({ 'model.safetensors': encodeSafetensors(tensors) });
  return { spec, checkpoint: await openCheckpoint(source, ownTensors(spec)) };
}

/** Perplexity of held-out text. */
async function perplexityOf(spec: ModelSpec, weights: CpuWeights): Promise<number> {
  const trainer = new Trainer(spec, { weights }, { schedule, length: LENGTH });
  const loss = await trainer.loss(streamOf(heldOut, heldOut.length).next());
  trainer.dispose();
  return Math.exp(loss);
}

describe('healing', () => {
  let taught: CpuWeights;
  let pruned: CpuWeights;
  beforeAll(async () => {
    await startJax();
    const trainer = new Trainer(parent, { weights: initialWeights(parent, 1) }, { schedule, length: LENGTH });
    const stream = streamOf(windowsFrom(3, 400), 16);
    for (let i = 0; i < schedule.steps; i++) await trainer.train(stream.next());
    taught = await trainer.weights();
    trainer.dispose();
    // As a conversion with no map fitted would: attention dropped, the second of the pair too.
    pruned = Object.fromEntries(
      ownTensors(child).map(({ name, shape }) => {
        const zeros = () => new Float32Array(shape.reduce((a, b) => a * b, 1));
        return [name, taught[name] ?? { shape, data: zeros() }];
      }),
    );
  });

  it('takes away at least half of the perplexity that the child has over its parent, and trains linear maps too', async () => {
    const lines: string[] = [];
    const [teacher, student] = [await checkpointOf(parent, taught), await checkpointOf(child, pruned)];
    const { weights, healing } = await heal(teacher, student, healingText, {
      tokens: 25_000,
      learningRate: 5e-3,
      log: (line) => lines.push(line),
    });
    const [best, before, after] = [
      await perplexityOf(parent, taught),
      await perplexityOf(child, pruned),
      await perplexityOf(child, weights),
    ];
    expect(after - best).toBeLessThan(0.5 * (before - best));
    expect(healing).toMatchObject({ mix: 1, halvings: 0, learningRate: 5e-3 });
    expect(Math.abs(healing.tokens - 25_000)).toBeLessThan(600);
    expect(healing.passes).toBeCloseTo(healing.tokens / (120 * (LENGTH + 1)));
    expect(weights['model.layers.1.linear_attn.weight']!.data.some((value) => value !== 0)).toBe(true);
    expect(lines.at(-1)).toMatch(
      /^healing: step (\d+) of \1, loss [\d.]+, \d+ tokens\/s, 0 s left, held out [\d.]+$/,
    );
    const { curve } = healing;
    expect(curve.at(-1)).toMatchObject({ step: healing.steps, tokens: healing.tokens });
    expect(curve.at(-1)!.heldOut!).toBeLessThan(curve.find(({ heldOut }) => heldOut)!.heldOut!);
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const [teacher, student] = [await checkpointOf(parent, taught), await checkpointOf(child, pruned)];
    const healed = heal(teacher, student, healingText, {
      tokens: 25_000,
      log: () => stop.abort(),
      signal: stop.signal,
    });
    await expect(healed).rejects.toMatchObject({ code: 'aborted' });
  });
});

describe('healing is refused before anything is measured', () => {
  it('for a text that it would pass over more than ten times', () => {
    const tokens = 120 * (LENGTH + 1);
    expect(() => checkHealing(parent, healingText, { tokens: 10 * tokens })).not.toThrow();
    expect(() => checkHealing(parent, healingText, { tokens: 10 * tokens + 1 })).toThrow(
      expect.objectContaining({
        code: 'bad-argument',
        message: expect.stringMatching(
          /pass 11 times over the 3000 there are; at most 10, which takes 3001.*longer text/,
        ),
      }),
    );
  });

  it('for models that the trainer lacks parts of, and for those too large for it', () => {
    const biased = specOf({ ...json, model_type: 'qwen2' });
    expect(() => checkHealing(biased, healingText, { tokens: 1 })).toThrow(/no biases/);
    const large = specOf({
      ...json,
      hidden_size: 2048,
      head_dim: 64,
      intermediate_size: 8192,
      num_hidden_layers: 16,
    });
    expect(() => checkHealing(large, healingText, { tokens: 1 })).toThrow(
      expect.objectContaining({ code: 'does-not-fit' }),
    );
  });
});
