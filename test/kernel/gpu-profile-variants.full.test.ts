// What a GPU may take besides its profile's defaults, against the CPU's forward: the kernels that `tune` chooses among, adapters
// without f16 or subgroups, the largest heads, linear maps of a checkpoint, and other sizes of batches.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu, GpuOptions } from '../../src/gpu/device.ts';
import { type Tuning, VARIANTS } from '../../src/kernels/tuning.ts';
import { referenceGreedy, referenceLogits } from '../reference/forward.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { heldTensors, shapedModel, shapedSource } from '../support/gpu-shapes.ts';
import { SLOW, thorough } from '../support/thorough.ts';
import { randomTokens, type TinyModel, tinyModel } from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** Runs a prompt that needs wide kernels, and as many greedy replies as the batch holds. */
async function expectRight(
  tiny: TinyModel,
  options: LoadOptions = {},
  extra: Omit<GpuOptions, 'device'> & { tuning?: Partial<Tuning> } = {},
): Promise<void> {
  const { dtype = 'f32' } = options;
  const tensors = heldTensors(tiny, dtype === 'auto' ? 'f32' : dtype);
  const model = await loadModel(
    shapedSource(tiny),
    { device: gpu.device, profile: 'gpu', contextLength: 80, kv: 'f32', ...options },
    extra,
  );
  try {
    const { selfTest, batch } = model.info;
    expect(selfTest).toMatchObject({ kernels: 'usual', wrong: [] });
    const tokens = randomTokens(tiny.spec, 70, 21);
    const [found, expected] = [await model.logits(tokens), referenceLogits(tiny.spec, tensors, tokens)];
    expect(found.length).toBe(expected.length);
    const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    // What tiles read is rounded to f16 where weights were rounded too.
    const { wide = 'tiled' } = extra.tuning ?? {};
    const rounds = gpu.features.f16 && !extra.without?.includes('f16') && dtype !== 'f32' && wide === 'tiled';
    const most = (rounds ? 2e-3 : 1e-4) * spread;
    const differs = (value: number, i: number): boolean => !(Math.abs(value - expected[i]!) <= most);
    expect(found.findIndex(differs), 'first logit that differs').toBe(-1);

    const prompt = tokens.slice(0, 7);
    const replies: number[][] = Array.from({ length: batch }, () => []);
    const options = { ignoreEos: true, maxTokens: 3 };
    for await (const { index, tokenId } of model.generateBatch(Uint32Array.from(prompt), batch, options))
      replies[index]!.push(tokenId);
    expect(replies).toEqual(Array(batch).fill(referenceGreedy(tiny.spec, tensors, prompt, 3)));
  } finally {
    await model.dispose();
  }
}

describe('kernels that tune may choose', () => {
  const tiny = shapedModel('heads of 64');
  const rest = [
    { dtype: 'f32', attention: 'direct', wide: 'matvec', wideAttention: 'direct' },
    { dtype: 'f16', attention: 'cooperative', wide: 'matvec', wideAttention: 'tiled' },
    { dtype: 'q8', attention: 'cooperative', wide: 'tiled', wideAttention: 'direct' },
    { dtype: 'q4', attention: 'direct', wide: 'matvec', wideAttention: 'tiled' },
  ] as const;
  const shapes = VARIANTS.matvec;
  const variants = rest.map((one, i) => ({ matvec: shapes[i % shapes.length]!, ...one }));
  test.each(thorough ? variants : variants.slice(2, 3))(
    '$matvec, $attention, $wide, $wideAttention with weights $dtype',
    { timeout: SLOW },
    ({ dtype, ...tuning }) => expectRight(tiny, { dtype, batch: 4 }, { tuning }),
  );
});

test('without subgroups', { timeout: SLOW }, () =>
  expectRight(shapedModel('heads of 128'), {}, { without: ['subgroups'] }),
);

test('without f16', { timeout: SLOW }, () =>
  expectRight(shapedModel('heads of 80'), { dtype: 'f16' }, { without: ['f16'] }),
);

test('the largest heads', { timeout: SLOW }, () => expectRight(shapedModel('heads of 256')));

test('linear maps of a checkpoint, as two factors', { timeout: SLOW }, () =>
  expectRight(tinyModel('linear-rank', 7)),
);

test.each(thorough ? [4, 16, 20] : [20])('a batch of %i', { timeout: SLOW }, (batch) =>
  expectRight(shapedModel('heads of 160'), { batch }),
);
