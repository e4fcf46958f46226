// Choosing kernels on the device: only among those that are right, kept for the next load, and never in the way of loading.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shapeModel } from '../../src/bench/models.ts';
import { fillSynthetic } from '../../src/bench/synthetic.ts';
import { loadModel, makeRunner } from '../../src/engine/engine.ts';
import { keptTuning, type TuningStore } from '../../src/engine/kept-tuning.ts';
import { tune } from '../../src/engine/tune.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import type { Pipeline, PipelineCache } from '../../src/gpu/pipeline.ts';
import type { TunedKernels } from '../../src/kernels/tuning.ts';
import type { ForwardParts } from '../../src/model/forward.ts';
import { type Plan, planOf } from '../../src/model/spec.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** The default of software adapters, on every adapter. */
const plain: TunedKernels = {
  matvec: { workgroup: 16, lanes: 1 },
  attention: 'direct',
  wide: 'matvec',
  wideAttention: 'direct',
};
const forGpus: TunedKernels = {
  matvec: { workgroup: 256, lanes: 64 },
  attention: 'cooperative',
  wide: 'tiled',
  wideAttention: 'tiled',
};

/** A small child with random weights, as it is before it is warmed up. */
async function withParts<T>(run: (parts: ForwardParts, plan: Plan) => Promise<T>): Promise<T> {
  const { spec } = shapeModel({ kind: 'shape', preset: 'Tiny-1M', stack: [1, 2, 1, 0] }, undefined);
  const plan = planOf(spec);
  const tuning = { ...plain, wideFrom: 5, vocabulary: 16 };
  const sizes = { dtype: 'f32', kv: 'f32', contextLength: 40, batch: 1, tuning, chunk: 16 } as const;
  let found: { value: T } | undefined;
  const runner = await makeRunner(gpu, spec, sizes, (fill) => fillSynthetic(gpu, fill, 1), {
    choose: async (parts, filled) => {
      await filled;
      found = { value: await run(parts, plan) };
      return {};
    },
  });
  runner.ledger.releaseAll();
  return found!.value;
}

/** The parts with a GPU whose compiler does as `turn` says of each shader. */
function turned(parts: ForwardParts, turn: (spec: ShaderSpec) => ShaderSpec): ForwardParts {
  const get = async (spec: ShaderSpec): Promise<Pipeline> => gpu.pipelines.get(turn(spec));
  return { ...parts, gpu: { ...gpu, pipelines: { get } as unknown as PipelineCache } };
}

function memoryStore(kept?: unknown): TuningStore & { sets: [string, TunedKernels][] } {
  const sets: [string, TunedKernels][] = [];
  return {
    sets,
    get: async (key) => sets.find(([its]) => its === key)?.[1] ?? kept,
    set: async (key, choice) => void sets.push([key, choice]),
  };
}

test('variants that do not compile or that are wrong are not chosen', async () => {
  const wrong = new Set<string>();
  const choice = await withParts((parts, plan) =>
    tune(
      turned(parts, (spec) => {
        const { constants } = spec;
        const { name } = spec.kernel;
        // Only the beginning of each row: very fast.
        if (name === 'matmul' || constants.LANES === 16) {
          wrong.add(name);
          return { ...spec, constants: { ...constants, UNITS: 1 } };
        }
        if (constants.LANES !== undefined && constants.LANES !== 1) throw new Error('A driver that cannot.');
        if (name === 'attention_decode' || name === 'attention_tiled')
          throw new Error('A driver that cannot.');
        return spec;
      }),
      plan,
      { budgetMs: 1e9 },
    ),
  );
  expect([...wrong].sort()).toEqual(['matmul', 'matvec']);
  expect(choice).toEqual(plain);
});

test('without time left, the defaults stay', async () => {
  expect(await withParts((parts, plan) => tune(parts, plan, { budgetMs: 0 }))).toEqual(plain);
});

const filled = Promise.resolve();

test('a kept choice is taken, anything else is chosen anew, and nothing of it fails', async () => {
  await withParts(async (parts, plan) => {
    const none = { budgetMs: 0 };
    const kept = memoryStore(forGpus);
    expect(await keptTuning(parts, plan, filled, kept, none)).toEqual(forGpus);
    expect(kept.sets).toEqual([]);
    for (const odd of [
      '?',
      {},
      { ...forGpus, wide: 'huge' },
      { ...forGpus, matvec: { workgroup: 7, lanes: 3 } },
    ]) {
      const store = memoryStore(odd);
      expect(await keptTuning(parts, plan, filled, store, none)).toEqual(plain);
      expect(store.sets.map(([, choice]) => choice)).toEqual([plain]);
    }
    const broken: TuningStore = {
      get: () => Promise.reject(new Error('No room.')),
      set: () => Promise.reject(new Error('No room.')),
    };
    expect(await keptTuning(parts, plan, filled, broken, none)).toEqual(plain);
    const lost = turned(parts, () => {
      throw new Error('Nothing compiles.');
    });
    expect(await keptTuning(lost, plan, filled, memoryStore())).toEqual({});
    // A choice of one profile is none of another's.
    const byProfile = memoryStore();
    for (const profile of ['software', 'gpu', 'software'] as const)
      await keptTuning({ ...parts, gpu: { ...gpu, profile } }, plan, filled, byProfile, none);
    expect(byProfile.sets).toHaveLength(2);
    // Where the platform has a place of its own.
    expect(await keptTuning(parts, plan, filled, undefined, none)).toEqual(plain);
    expect(await keptTuning(parts, plan, filled, undefined, none)).toEqual(plain);
  });
});

test('a model loaded with tune gives the same logits, and keeps its choice by its shapes', async () => {
  const model = tinyModel('shishu', 7);
  const files = { ...tinyFiles(model), ...charTokenizerFiles() };
  const tokens = Array.from({ length: 20 }, (_, i) => (i * 5) % 100);
  const store = memoryStore();
  const logits = async (options: Pick<LoadOptions, 'tune' | 'dtype' | 'profile'>): Promise<Float32Array> => {
    const loaded = await loadModel(
      memorySource(files),
      { device: gpu.device, contextLength: 32, ...options },
      { tuningStore: store },
    );
    try {
      return await loaded.logits(tokens);
    } finally {
      await loaded.dispose();
    }
  };
  const expected = await logits({ tune: false });
  // By default neither is it timed where a CPU plays GPU, whatever the profile, nor on a GPU with the other's.
  await logits({ profile: gpu.software ? 'gpu' : 'software' });
  expect(store.sets).toEqual([]);
  const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let load = 0; load < 2; load++) {
    const found = await logits({ tune: true });
    const apart = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
    expect(apart / spread).toBeLessThan(1e-4);
    expect(store.sets).toHaveLength(1);
  }
  await logits({ tune: true, dtype: 'q8' });
  expect(store.sets).toHaveLength(2);
});
