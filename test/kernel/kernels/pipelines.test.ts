// Every pipeline that there can be is created on devices with exactly WebGPU's default limits, with and without optional features.
import { expect, test } from 'vitest';
import { type Gpu, openGpu } from '../../../src/gpu/device.ts';
import { type Kernel, permutations } from '../../../src/gpu/kernel.ts';
import { type ShaderConstant, type ShaderSpec, shaderText } from '../../../src/gpu/shader.ts';
import { KERNELS } from '../../../src/kernels/all.ts';
import { ARGMAX } from '../../../src/kernels/sample.ts';
import { defaultLimitsDevice } from '../../support/gpu-features.ts';

/** Sizes of a small model and of a large one; a kernel takes those that it has, no larger than it allows. */
const SMALL = {
  ...{ HEADS: 1, KV_HEADS: 1, HEAD_DIM: 4, SEQUENCES: 1, CONTEXT: 1, SPLIT: 64, SPLITS: 1, WIDE_FROM: 5 },
  ...{ Q_STRIDE: 64, Q_STRIDE4: 16, OUT_STRIDE: 64, OUT_STRIDE4: 16, X_STRIDE: 64, X_STRIDE4: 16 },
  ...{ K: 4, N: 4, ROW0: 0, BIAS_AT: 0, EPS: 1e-6, UNITS: 8, VOCAB: 260, STRIDE4: 80, MASK_WORDS: 9, TOP: 0 },
};
const LARGE: typeof SMALL = {
  ...{ HEADS: 28, KV_HEADS: 4, HEAD_DIM: 256, SEQUENCES: 256, CONTEXT: 131_072, SPLIT: 256, SPLITS: 512 },
  ...{
    Q_STRIDE: 7168,
    Q_STRIDE4: 1792,
    OUT_STRIDE: 7168,
    OUT_STRIDE4: 1792,
    X_STRIDE: 9216,
    X_STRIDE4: 2048,
  },
  ...{ K: 8192, N: 262_144, ROW0: 65_536, BIAS_AT: 8192, EPS: 1e-5, UNITS: 1024, VOCAB: 262_144 },
  ...{ STRIDE4: 65_536, MASK_WORDS: 8192, TOP: 20, WIDE_FROM: 17 },
};

const specOf = (
  kernel: Kernel,
  fixed: Record<string, string | ShaderConstant>,
  model: typeof SMALL,
): ShaderSpec => {
  const entries = Object.entries(fixed);
  const sizes = Object.entries(kernel.sizes).map(([name, [, most]]) => [
    name,
    Math.min(model[name as keyof typeof SMALL], most),
  ]);
  return {
    kernel,
    imports: Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
    constants: Object.fromEntries([...sizes, ...entries.filter(([, value]) => typeof value !== 'string')]),
  };
};

/** Every permutation, with sizes that are large: where sizes decide what it takes, with small ones too. */
const ALL = KERNELS.flatMap((kernel) =>
  permutations(kernel).flatMap((fixed) =>
    (kernel.name.startsWith('mat') ? [LARGE] : [SMALL, LARGE]).map((model) => specOf(kernel, fixed, model)),
  ),
);
const needs = (spec: ShaderSpec): string[] =>
  [...shaderText(spec).code.matchAll(/^enable (\w+);/gm)].map(([, name]) => name!);

async function createAll(gpu: Gpu, specs: readonly ShaderSpec[]): Promise<void> {
  const refused: string[] = [];
  for (let at = 0; at < specs.length; at += 16)
    await Promise.all(
      specs.slice(at, at + 16).map((spec) =>
        gpu.pipelines.get(spec).catch((error: Error) => {
          refused.push(`${JSON.stringify({ ...spec.imports, ...spec.constants })}: ${error.message}`);
        }),
      ),
    );
  expect(refused).toEqual([]);
}

test('with the features that the adapter has', async () => {
  const device = await defaultLimitsDevice();
  const gpu = await openGpu({ device });
  const { f16, subgroups } = gpu.features;
  const here = ALL.filter((spec) =>
    needs(spec).every((name) => (name === 'f16' ? f16 : name === 'subgroups' && subgroups)),
  );
  console.info(`${here.length} of ${ALL.length} pipelines of ${KERNELS.length} kernels, on ${gpu.name}.`);
  expect(here.length).toBeGreaterThan(1000);
  await createAll(gpu, here);
  device.destroy();
}, 600_000);

test('without optional features', async () => {
  const device = await defaultLimitsDevice([]);
  const gpu = await openGpu({ device });
  expect(gpu.features).toEqual({ f16: false, subgroups: false, timestamps: false });
  const plain = ALL.filter((spec) => needs(spec).length === 0);
  // What reads weights is as above but for the dtype: one of them shows the rest.
  const some = plain.filter(({ imports }) => (imports?.WEIGHT ?? 'weight_q4') === 'weight_q4');
  console.info(`${some.length} pipelines on a device without features.`);
  await createAll(gpu, some);
  device.destroy();
}, 600_000);

test('what is not in the list cannot be made', async () => {
  const gpu = await openGpu();
  const constants = { WG: 256, VOCAB: 260, STRIDE4: 80 };
  await gpu.pipelines.get({ kernel: ARGMAX, constants });
  const odds: Record<string, number>[] = [{ WG: 512 }, { VOCAB: 0 }, { LANES: 2 }];
  for (const odd of odds)
    await expect(
      gpu.pipelines.get({ kernel: ARGMAX, constants: { ...constants, ...odd } }),
    ).rejects.toMatchObject({ code: 'shader', message: expect.stringContaining(Object.keys(odd)[0]!) });
  gpu.close();
});
