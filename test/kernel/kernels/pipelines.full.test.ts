// Pipelines are created on devices with exactly WebGPU's default limits, with and without optional features. Here those that
// read weights do so in q4, which binds most: every single one is created in test/dawn/pipelines.test.ts.
import { expect, test } from 'vitest';
import { openGpu } from '../../../src/gpu/device.ts';
import { ARGMAX } from '../../../src/kernels/sample.ts';
import { createAll, needs } from '../../support/create-pipelines.ts';
import { declaredShaders } from '../../support/declared-shaders.ts';
import { defaultLimitsDevice } from '../../support/gpu-features.ts';

// Tiles of projections take drivers on the CPU ten seconds each: the walk over the registry compiles those that differ most.
const SOME = declaredShaders.filter(
  ({ kernel, imports }) =>
    kernel.name !== 'matmul' && (imports?.WEIGHT ?? 'blocks/weight_q4') === 'blocks/weight_q4',
);

test.each([
  ['the optional features that the adapter has', undefined],
  ['no optional features', []],
])(
  'with %s',
  async (_, features) => {
    const device = await defaultLimitsDevice(features);
    const gpu = await openGpu({ device });
    const { f16, subgroups } = gpu.features;
    const here = SOME.filter((spec) =>
      needs(spec).every((name) => (name === 'f16' ? f16 : name === 'subgroups' && subgroups)),
    );
    expect(here.length).toBeGreaterThan(200);
    await createAll(gpu, here);
    device.destroy();
  },
  600_000,
);

test('what is not in the list cannot be made', async () => {
  const gpu = await openGpu();
  const constants = { WG: 16, VOCAB: 260, STRIDE4: 80 };
  await gpu.pipelines.get({ kernel: ARGMAX, constants });
  const odds: Record<string, number>[] = [{ WG: 512 }, { VOCAB: 0 }, { LANES: 2 }];
  for (const odd of odds)
    await expect(
      gpu.pipelines.get({ kernel: ARGMAX, constants: { ...constants, ...odd } }),
    ).rejects.toMatchObject({ code: 'shader', message: expect.stringContaining(Object.keys(odd)[0]!) });
  gpu.close();
});
