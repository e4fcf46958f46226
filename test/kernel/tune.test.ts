// Choosing kernels on the device: only among those that are right, kept for the next load, and never in the way of loading.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { shapeModel } from '../../src/bench/models.ts';
import { fillSynthetic } from '../../src/bench/synthetic.ts';
import { loadModel, makeRunner } from '../../src/engine/engine.ts';
import { browserStore, keepTuning, keptTuning, type TuningStore } from '../../src/engine/kept-tuning.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { Runner } from '../../src/engine/runner.ts';
import { GREEDY } from '../../src/engine/sampler.ts';
import { type Turn, tune } from '../../src/engine/tune.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { type Pipeline, type PipelineCache, PipelineError } from '../../src/gpu/pipeline.ts';
import { type Stopwatch, stopwatchOf } from '../../src/gpu/stopwatch.ts';
import { type TunedKernels, VARIANTS } from '../../src/kernels/tuning.ts';
import type { ForwardParts } from '../../src/model/forward.ts';
import { type Plan, planOf } from '../../src/model/spec.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { randomTokens, tinyFiles, tinyModel } from '../support/tiny-models.ts';

// Every variant is compiled, which a driver on the CPU takes minutes over that has not kept them from an earlier run.
vi.setConfig({ testTimeout: 480_000 });

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

/** A small child with random weights, and the kernels of software adapters. */
async function withRunner<T>(run: (runner: Runner, plan: Plan) => Promise<T>): Promise<T> {
  const { spec } = shapeModel({ kind: 'shape', preset: 'Tiny-1M', stack: [1, 2, 1, 0] }, undefined);
  const tuning = { ...plain, wideFrom: 5, vocabulary: 16 };
  const sizes = { dtype: 'f32', kv: 'f32', contextLength: 40, batch: 1, tuning, chunk: 16 } as const;
  const runner = await makeRunner(gpu, spec, sizes, (fill) => fillSynthetic(gpu, fill, 1));
  try {
    return await run(runner, planOf(spec));
  } finally {
    runner.ledger.releaseAll();
  }
}

/** The parts with a GPU whose compiler does as `turn` says of each shader. */
function turned(parts: ForwardParts, turn: (spec: ShaderSpec) => ShaderSpec): ForwardParts {
  const get = async (spec: ShaderSpec): Promise<Pipeline> => gpu.pipelines.get(turn(spec));
  return { ...parts, gpu: { ...gpu, pipelines: { get } as unknown as PipelineCache } };
}

/** Takes the time that `msOf` says of the kernels of one run. */
const stopwatch = (msOf: (kernels: ReadonlySet<string>) => number, leastMs = 25): Stopwatch => ({
  leastMs,
  async time(fill) {
    const ran: string[] = [];
    const pass = {
      setPipeline: ({ label }: GPUComputePipeline) => void ran.push(label),
      setBindGroup() {},
      dispatchWorkgroups() {},
    };
    fill(pass as unknown as GPUComputePassEncoder);
    const embeds = ran.filter((label) => label === 'embed').length;
    return embeds * msOf(new Set(ran));
  },
});

function memoryStore(kept?: unknown): TuningStore & { sets: [string, TunedKernels][] } {
  const sets: [string, TunedKernels][] = [];
  return {
    sets,
    get: async (key) => sets.find(([its]) => its === key)?.[1] ?? kept,
    set: async (key, choice) => void sets.push([key, choice]),
  };
}

const noTime = { budgetMs: 1e9, stopwatch: stopwatch(() => 1) };

test('variants that do not compile or that are wrong are not chosen, and are named', async () => {
  const wrong = new Set<string>();
  const found = await withRunner(({ parts }, plan) =>
    tune(
      turned(parts, (spec) => {
        const { constants } = spec;
        const { name } = spec.kernel;
        // Only the beginning of each row.
        if (name === 'matmul') {
          if (constants.UNITS === undefined) return spec;
          wrong.add(name);
          return { ...spec, constants: { ...constants, UNITS: 1 } };
        }
        if (constants.LANES !== undefined && constants.LANES !== 1) throw new PipelineError(spec, [], 'No.');
        if (name === 'attention_decode' || name === 'attention_tiled')
          throw new PipelineError(spec, [], 'No.');
        return spec;
      }),
      plan,
      // All but the plain ones are faster.
      { budgetMs: 1e9, stopwatch: stopwatch((kernels) => (kernels.has('matmul') ? 1 : 2)) },
    ),
  );
  expect([...wrong]).toEqual(['matmul']);
  expect(found!.tuning).toEqual(plain);
  expect(found!.leftOut.map(({ variant, why }) => `${why} ${variant}`)).toEqual([
    'computes wrongly in wide tiled',
    'does not compile wideAttention tiled',
    ...VARIANTS.matvec.slice(0, -1).map((shape) => `does not compile matvec ${JSON.stringify(shape)}`),
    'does not compile attention cooperative',
  ]);
});

test('the fastest that is right is chosen, for prompts and for tokens by itself', async () => {
  const watch = (fast: readonly string[]) =>
    stopwatch((kernels) => (fast.some((kernel) => kernels.has(kernel)) ? 10 : 11));
  const chosen = (fast: readonly string[]) =>
    withRunner(async ({ parts }, plan) => {
      const found = await tune(parts, plan, { budgetMs: 1e9, stopwatch: watch(fast) });
      expect(found!.leftOut).toEqual([]);
      return found!.tuning;
    });
  expect(await chosen(['matmul', 'attention_decode'])).toEqual({
    ...plain,
    wide: 'tiled',
    attention: 'cooperative',
  });
  expect(await chosen(['attention_tiled'])).toEqual({ ...plain, wideAttention: 'tiled' });
});

test('a sample is as long as the clock needs, or nothing is chosen by it', async () => {
  const lengths: number[] = [];
  const watch = (ms: number): Stopwatch => {
    const timed = stopwatch(() => ms);
    return {
      ...timed,
      async time(fill) {
        const taken = await timed.time(fill);
        lengths.push(taken);
        return taken;
      },
    };
  };
  await withRunner(({ parts }, plan) => tune(parts, plan, { budgetMs: 1e9, stopwatch: watch(2) }));
  // A variant's first tells how many runs a sample takes.
  expect(lengths.filter((ms) => ms >= 25).length).toBeGreaterThan(lengths.length / 2);
  const choice = await withRunner(({ parts }, plan) =>
    tune(parts, plan, { budgetMs: 1e9, stopwatch: watch(1e-6) }),
  );
  expect(choice!.tuning).toEqual(plain);
});

test('without time left, the defaults stay; what is done takes turns', async () => {
  let turns = 0;
  const turn: Turn = (run) => {
    turns++;
    return run(0);
  };
  const found = await withRunner(({ parts }, plan) => tune(parts, plan, { ...noTime, turn, budgetMs: 0 }));
  expect(found!.tuning).toEqual(plain);
  expect(turns).toBe(1);
  await withRunner(({ parts }, plan) => tune(parts, plan, { ...noTime, turn }));
  // A check of each variant that is not the first, and three samples of each.
  const variants = Object.values(VARIANTS).reduce((sum, { length }) => sum + length - 1, 0);
  expect(turns).toBeGreaterThan(4 * variants);
});

test('this adapter has a clock that is fine enough', async () => {
  const watch = await stopwatchOf(gpu);
  expect(watch!.leastMs).toBeLessThan(101);
  const found = await withRunner(({ parts }, plan) => tune(parts, plan, { budgetMs: 300 }));
  expect(Object.keys(found!.tuning)).toEqual(Object.keys(VARIANTS));
});

test('a kept choice is taken if it could be made today, and nothing of it fails', async () => {
  await withRunner(async ({ parts }) => {
    expect(await keptTuning(parts, memoryStore(forGpus))).toEqual(forGpus);
    for (const odd of [
      '?',
      {},
      { ...forGpus, wide: 'huge' },
      { ...forGpus, matvec: { workgroup: 7, lanes: 3 } },
    ])
      expect(await keptTuning(parts, memoryStore(odd))).toBeUndefined();
    const broken: TuningStore = {
      get: () => Promise.reject(new Error('No room.')),
      set: () => Promise.reject(new Error('No room.')),
    };
    expect(await keptTuning(parts, broken)).toBeUndefined();
    await keepTuning(parts, forGpus, broken);
    // A choice of one profile is none of another's.
    const byProfile = memoryStore();
    for (const profile of ['software', 'gpu'] as const)
      await keepTuning({ ...parts, gpu: { ...gpu, profile } }, forGpus, byProfile);
    expect(new Set(byProfile.sets.map(([key]) => key)).size).toBe(2);
    // Where the platform has a place of its own.
    await keepTuning(parts, forGpus, browserStore());
    expect(await keptTuning(parts, browserStore())).toEqual(
      typeof indexedDB === 'undefined' ? undefined : forGpus,
    );
  });
});

test('steps run other kernels from a switch on, and give the same tokens', async () => {
  await withRunner(async (runner, plan) => {
    const { spec } = runner.parts;
    const prompt = randomTokens(spec, 12, 3);
    const reply = async (from: number, steps: number): Promise<number[]> => {
      const tokens: number[] = [];
      for await (const sampled of runner.decode(plan, GREEDY, from, { steps }))
        tokens.push(sampled.tokens[0]!);
      return tokens;
    };
    await runner.prefill(plan, 0, prompt, 0, GREEDY);
    const expected = await reply(12, 16);
    await runner.prefill(plan, 0, prompt, 0, GREEDY);
    const begun = await reply(12, 7);
    const { scratch } = runner.ledger.byPurpose();
    const swap = await runner.prepareTuning(forGpus, plan);
    swap();
    expect(runner.ledger.byPurpose().scratch).toBe(scratch);
    const kernels = (await runner.decodeDispatches(plan)).map(({ shader }) => shader.kernel.name);
    expect(kernels).toContain('attention_decode');
    expect([...begun, ...(await reply(19, 9))]).toEqual(expected);
  });
});

describe('a model', () => {
  const tiny = tinyModel('shishu', 7);
  const files = { ...tinyFiles(tiny), ...charTokenizerFiles() };
  const tokens = Uint32Array.from(randomTokens(tiny.spec, 20, 5));
  const load = (options: LoadOptions, store?: TuningStore) =>
    loadModel(
      memorySource(files),
      { device: gpu.device, contextLength: 32, ...options },
      store && { tuningStore: store },
    );
  const reply = async (model: EngineModel): Promise<number[]> =>
    (await resultOf(model.generate(tokens, { maxTokens: 10, ignoreEos: true }))).tokenIds;
  const ended = async (model: EngineModel): Promise<void> => {
    while (model.info.kernels.from !== 'timed') await new Promise((resolve) => setTimeout(resolve, 20));
  };

  test('is timed once its first reply has ended, gives the same replies, and keeps its choice', async () => {
    const store = memoryStore();
    const model = await load({ tune: true }, store);
    expect(model.info.kernels.from).toBe('defaults');
    expect(store.sets).toEqual([]);
    const expected = await reply(model);
    // These come in between.
    for (let i = 0; i < 3; i++) expect(await reply(model)).toEqual(expected);
    await ended(model);
    expect(await reply(model)).toEqual(expected);
    const { tuning } = model.info.kernels;
    await model.dispose();
    expect(store.sets.map(([, choice]) => choice)).toEqual([tuning]);
    const again = await load({ tune: true }, store);
    expect(again.info.kernels).toMatchObject({ from: 'kept', tuning });
    expect(await reply(again)).toEqual(expected);
    await again.dispose();
    expect(store.sets).toHaveLength(1);
    // Shapes and dtypes have choices of their own.
    const quantized = await load({ tune: true, dtype: 'q8' }, store);
    expect(quantized.info.kernels.from).toBe('defaults');
    await quantized.dispose();
  });

  test('that is disposed while it is timed leaves nothing', async () => {
    const store = memoryStore();
    const model = await load({ tune: true }, store);
    await reply(model);
    await model.dispose();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(store.sets).toEqual([]);
    await expect(model.tune()).rejects.toMatchObject({ code: 'disposed' });
  });

  test("is not timed by default where a CPU plays GPU, nor with 'off'", async () => {
    for (const options of [
      { profile: gpu.software ? 'gpu' : 'software' },
      { tune: 'off' },
      { tune: false },
      { tune: true, tuning: forGpus },
    ] as const) {
      const store = memoryStore(plain);
      const model = await load(options, store);
      await reply(model);
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(model.info.kernels.from).toBe('tuning' in options ? 'given' : 'defaults');
      expect(store.sets).toEqual([]);
      await model.dispose();
    }
  });

  test('takes a choice that is given, and refuses what it does not know by its name', async () => {
    const usual = await load({ tune: 'off' });
    const expected = await reply(usual);
    const { tuning } = usual.info.kernels;
    await usual.dispose();
    const model = await load({ tuning: forGpus });
    expect(model.info.kernels).toMatchObject({ from: 'given', tuning: forGpus });
    expect(await reply(model)).toEqual(expected);
    await model.dispose();
    const part = await load({ tuning: { matvec: { lanes: 64, workgroup: 256 } } });
    expect(part.info.kernels.tuning).toEqual({ ...tuning, matvec: forGpus.matvec });
    await part.dispose();
    for (const [given, said] of [
      [{ matrix: 'tiled' }, 'has "matrix"'],
      [{ wide: 'huge' }, 'has "huge" as "wide"'],
      [{ matvec: { workgroup: 7, lanes: 3 } }, 'has {"workgroup":7,"lanes":3} as "matvec"'],
      ['tiled', 'is "tiled"'],
    ])
      await expect(load({ tuning: given as LoadOptions['tuning'] & {} })).rejects.toMatchObject({
        code: 'bad-argument',
        message: expect.stringContaining(`Option "tuning" ${said}`),
        details: { option: 'tuning' },
      });
  });

  test('is timed when it is asked to be', async () => {
    const store = memoryStore();
    const model = await load({ tune: 'off' }, store);
    const [choice, same] = await Promise.all([model.tune(), model.tune()]);
    expect(choice).toEqual(model.info.kernels.tuning);
    expect(same).toEqual(choice);
    expect(model.info.kernels.from).toBe('timed');
    expect(store.sets.map(([, kept]) => kept)).toEqual([choice]);
    await model.dispose();
  });
});
