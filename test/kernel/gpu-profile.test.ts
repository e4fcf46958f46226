// Whole models with the profile of a GPU forced on this adapter, against the CPU's forward: every kind of weights and KV, one,
// four and sixteen rows at once, prompts of more than a chunk, modes and linear maps.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type {
  BatchChunk,
  GenerateOptions,
  KvDtype,
  LinearMaps,
  LoadOptions,
} from '../../src/engine/types.ts';
import type { Gpu, GpuOptions } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { pruned } from '../../src/model/prune.ts';
import { planOf } from '../../src/model/spec.ts';
import type { ChosenDtype } from '../../src/quant/index.ts';
import { type ReferenceTensors, referenceLogits } from '../reference/forward.ts';
import { logSoftmax } from '../reference/kernels.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { CONTEXT, type GpuShape, heldTensors, shapedModel, shapedSource } from '../support/gpu-shapes.ts';
import { mulberry32 } from '../support/random.ts';
import { SLOW, thorough } from '../support/thorough.ts';
import { randomTokens, type TinyModel } from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

type Extra = Omit<GpuOptions, 'device' | 'profile'> & { tuning?: Partial<Tuning> };

async function withModel(
  tiny: TinyModel,
  options: LoadOptions,
  run: (model: EngineModel) => Promise<void>,
  extra?: Extra,
): Promise<void> {
  const model = await loadModel(
    shapedSource(tiny),
    { device: gpu.device, contextLength: CONTEXT, profile: 'gpu', ...options },
    extra,
  );
  try {
    expect(model.info.profile).toBe('gpu');
    expect(model.info.selfTest).toMatchObject({ kernels: 'usual', wrong: [] });
    await run(model);
  } finally {
    await model.dispose();
  }
}

/** Asserts that values are equal to within `tolerance` times the largest expected. */
function expectNear(found: Float32Array, expected: Float32Array, tolerance: number, label: string): void {
  expect(found.length, label).toBe(expected.length);
  const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const wrong = found.findIndex((value, i) => !(Math.abs(value - expected[i]!) <= tolerance * spread));
  expect(wrong, `${label}: first value that differs, of ${found.length}`).toBe(-1);
}

/** Asserts that log-probabilities of likely tokens, as they came with a reply, are those of the reference's last logits. */
function expectTold(
  chunks: readonly BatchChunk[],
  prompt: readonly number[],
  logitsOf: (tokens: readonly number[]) => Float32Array,
  tolerance: number,
  label: string,
): void {
  const reply = chunks.map(({ tokenId }) => tokenId);
  const logits = logitsOf([...prompt, ...reply.slice(0, -1)]);
  const vocab = logits.length / (prompt.length + reply.length - 1);
  for (const [i, { logprob }] of chunks.entries()) {
    const at = (prompt.length - 1 + i) * vocab;
    const expected = logSoftmax(logits.subarray(at, at + vocab));
    expect(logprob!.top.length, label).toBe(20);
    for (const { tokenId, logprob: told } of logprob!.top)
      expect(Math.abs(told - expected[tokenId]!), `${label}, token ${i}`).toBeLessThan(tolerance);
  }
}

/** `n` replies to a prompt that are drawn apart, by reply. */
async function replies(
  model: EngineModel,
  prompt: readonly number[],
  n: number,
  options: GenerateOptions,
): Promise<BatchChunk[][]> {
  const all = { ignoreEos: true, logprobs: true, topLogprobs: 20, temperature: 4, seed: 5, ...options };
  const chunks: BatchChunk[][] = Array.from({ length: n }, () => []);
  for await (const chunk of model.generateBatch(Uint32Array.from(prompt), n, all))
    chunks[chunk.index]!.push(chunk);
  return chunks;
}

const MAX_TOKENS = 4;

/** A linear map for the last attention block of a model. */
function someMaps({ spec }: TinyModel): { layer: number; maps: LinearMaps; tensors: ReferenceTensors } {
  const layer = planOf(spec).findLast(({ kind }) => kind === 'attention')!.layer;
  const d = spec.hiddenSize;
  const uniform = mulberry32(3);
  const draw = (count: number) => Float32Array.from({ length: count }, () => 0.5 * (uniform() - 0.5));
  const [W, b] = [draw(d * d), draw(d)];
  const at = `model.layers.${layer}.linear_attn`;
  return {
    layer,
    maps: { [layer]: { W, b } },
    tensors: new Map([
      [`${at}.weight`, { shape: [d, d], data: W }],
      [`${at}.bias`, { shape: [d], data: b }],
    ]),
  };
}

// Every shape and every kind of weights once, of each kind of KV two.
const KINDS: readonly [GpuShape, ChosenDtype, KvDtype][] = [
  ['heads of 64', 'f32', 'f32'],
  ['heads of 80', 'f16', 'f16'],
  ['heads of 128', 'q8', 'f32'],
  ['heads of 160', 'q4', 'f16'],
];

/** Dawn's driver on the CPU, which has f16, compiles for a minute for each: those that use it there, all in Chromium. */
const CHOSEN = typeof document === 'undefined' ? KINDS.filter(([, , kv]) => kv === 'f16') : KINDS;

describe.each(CHOSEN)('%s, weights %s, KV %s', (shape, dtype, kv) => {
  const tiny = shapedModel(shape);
  const held = heldTensors(tiny, dtype);
  // The reference keeps K and V exact, and heads without norms make sharp scores of them; and it keeps what projections of rounded
  // weights read exact, which tiles round where there is f16. Of logits relative to the largest.
  const exact = { logits: 1e-4, told: 1e-3 };
  const inTiles = { logits: 2e-3, told: 0.03 };
  const toleranceOf = () =>
    kv === 'f16' ? { logits: 6e-3, told: 0.1 } : gpu.features.f16 && dtype !== 'f32' ? inTiles : exact;

  test(
    'a long prompt, one, four and sixteen rows, modes and linear maps: the reference',
    { timeout: SLOW },
    () =>
      withModel(tiny, { dtype, kv, batch: 16 }, async (model) => {
        expect(model.info).toMatchObject({ dtype, kv, batch: 16 });
        const tolerance = toleranceOf();
        // More than a chunk and a split, or more than a tile.
        const long = randomTokens(tiny.spec, thorough ? 270 : 70, 11);
        const whole = (tokens: readonly number[]): Float32Array => referenceLogits(tiny.spec, held, tokens);
        expectNear(await model.logits(long), whole(long), tolerance.logits, 'logits');

        const check = async (prompt: readonly number[], n: number): Promise<void> => {
          const told = await replies(model, prompt, n, { maxTokens: MAX_TOKENS });
          expect(told.map(({ length }) => length)).toEqual(Array(n).fill(MAX_TOKENS));
          // Sequences that are mixed up would be alike.
          expect(new Set(told.map((reply) => reply.map(({ tokenId }) => tokenId).join())).size).toBe(n);
          for (const reply of new Set([told[0]!, told[n - 1]!]))
            expectTold(reply, prompt, whole, tolerance.told, `${n} replies`);
        };
        for (const n of [1, 4, 16]) await check(long.slice(0, 30), n);
        // Past the first split.
        if (thorough) await check(long.slice(0, 257), 1);

        const { layer, maps, tensors } = someMaps(tiny);
        await model.setLinearMaps(maps);
        const modes = { 0: 'skip', [layer]: 'linear' } as const;
        const plan = pruned(planOf(tiny.spec), modes, new Set([layer]));
        const short = long.slice(0, 70);
        const expected = referenceLogits(tiny.spec, new Map([...held, ...tensors]), short, plan);
        expectNear(await model.logits(short, { modes }), expected, tolerance.logits, 'logits in modes');
      }),
  );
});
