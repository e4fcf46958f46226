// Healing on real WebGPU: a tiny parent that was taught, and a child of it without attention in two of three blocks.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { childConfig } from '../../src/convert/child-config.ts';
import { heal } from '../../src/convert/heal.ts';
import { mixtureOf } from '../../src/convert/windows.ts';
import { specOf } from '../../src/families/index.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { type ModelSpec, ownTensors } from '../../src/model/spec.ts';
import { BatchStream } from '../../src/train/batches.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { randomFrom } from '../../src/train/random.ts';
import { Trainer } from '../../src/train/trainer.ts';
import type { CpuWeights } from '../../src/train/weights.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { modelWith, parent, parentJson } from '../support/heal-fixtures.ts';

const LENGTH = 24;
const shape = { layers: [1, 2], pairs: [[1, 2]] as const, linear: true };
const child = specOf(childConfig(parentJson, parent, shape));

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
const heldOut = windowsFrom(2, 16);
const healingText = { healing: mixtureOf(text), choosing: windowsFrom(4, 8) };
const streamOf = (windows: number[][], rows: number): BatchStream =>
  new BatchStream(
    (i) => ({ ids: windows[i % windows.length]!, weights: Array.from({ length: LENGTH + 1 }, () => 1) }),
    { rows, length: LENGTH, pad: 0 },
  );
const schedule = { steps: 80, learningRate: 5e-3, warmUp: 10 };

/** Perplexity of held-out text. */
async function perplexityOf(spec: ModelSpec, weights: CpuWeights): Promise<number> {
  const trainer = await Trainer.create(
    gpu,
    spec,
    { weights },
    { schedule, rows: heldOut.length, length: LENGTH },
  );
  const loss = await trainer.loss(streamOf(heldOut, heldOut.length).next());
  trainer.dispose();
  return Math.exp(loss);
}

let gpu: Gpu;
afterAll(() => gpu.close());

describe('healing', () => {
  let taught: CpuWeights;
  let pruned: CpuWeights;
  beforeAll(async () => {
    gpu = await openTestGpu();
    const sizes = { rows: 16, length: LENGTH };
    const trainer = await Trainer.create(
      gpu,
      parent,
      { weights: initialWeights(parent, 1) },
      { schedule, ...sizes },
    );
    const stream = streamOf(windowsFrom(3, 300), 16);
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
  }, 120_000);

  it('takes away at least half of the perplexity that the child has over its parent, and trains linear maps too', async () => {
    const lines: string[] = [];
    const [teacher, student] = [await modelWith(parent, taught), await modelWith(child, pruned)];
    const { weights, healing } = await heal(gpu, teacher, student, healingText, {
      tokens: 12_000,
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
    expect(Math.abs(healing.tokens - 12_000)).toBeLessThan(600);
    expect(healing.passes).toBeCloseTo(healing.tokens / (120 * (LENGTH + 1)));
    expect(weights['model.layers.1.linear_attn.weight']!.data.some((value) => value !== 0)).toBe(true);
    expect(lines.at(-1)).toMatch(
      /^healing: step (\d+) of \1, loss [\d.]+, \d+ tokens\/s, 0 s left, held out [\d.]+$/,
    );
    const { curve } = healing;
    expect(curve.at(-1)).toMatchObject({ step: healing.steps, tokens: healing.tokens });
    expect(curve.at(-1)!.heldOut!).toBeLessThan(curve.find(({ heldOut }) => heldOut)!.heldOut!);
  });

  it.each(['changed', { rank: 4 }] as const)('trains less where it is told to: %j', async (trained) => {
    const [teacher, student] = [await modelWith(parent, taught), await modelWith(child, pruned)];
    const options = { tokens: 12_000, learningRate: 5e-3, trained, hidden: 0.1, mix: 0.9 };
    const { weights, healing } = await heal(gpu, teacher, student, healingText, options);
    expect(await perplexityOf(child, weights)).toBeLessThan(0.9 * (await perplexityOf(child, pruned)));
    expect(healing).toMatchObject({ mix: 0.9, hidden: 0.1, plan: { trained, lowest: 1 } });
    const embedding = 'model.embed_tokens.weight';
    expect(weights[embedding]!.data).toEqual(pruned[embedding]!.data);
    expect(Object.keys(weights).sort()).toEqual(Object.keys(pruned).sort());
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const [teacher, student] = [await modelWith(parent, taught), await modelWith(child, pruned)];
    const healed = heal(gpu, teacher, student, healingText, {
      tokens: 25_000,
      log: () => stop.abort(),
      signal: stop.signal,
    });
    await expect(healed).rejects.toMatchObject({ code: 'aborted' });
  });
});
