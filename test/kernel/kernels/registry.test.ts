// Every kernel of the registry against its CPU twin, on a device of default limits: odd sizes, all that it may write and all that it
// must not. What a twin does not read is NaN. In a full run every two alternatives of a kernel's choices meet.
import { afterAll, expect, inject, test } from 'vitest';
import { openGpu } from '../../../src/gpu/device.ts';
import type { Fixed } from '../../../src/gpu/kernel.ts';
import { KERNELS } from '../../../src/kernels/all.ts';
import { defaultLimitsDevice } from '../../support/gpu-features.ts';
import { covering, type KernelCase, kernelCases } from '../../support/kernel-cases.ts';
import { thorough } from '../../support/thorough.ts';
import { runCase } from '../../support/twin-check.ts';

const device = await defaultLimitsDevice();
const gpu = await openGpu({ device });
afterAll(() => device.destroy());

const { subgroups, f16 } = gpu.features;
const { min, max } = gpu.subgroupSize;

/** Whether the engine would use a permutation on this adapter. */
const fits = ({ REDUCE, LANES, X, X_TILE, W_TILE, SUB = 1, PEAK }: Fixed): boolean =>
  (f16 || (X_TILE !== 'gpu/x_tile_f16' && W_TILE !== 'gpu/w_tile_f16')) &&
  (SUB === 1 || (subgroups && min >= Number(SUB))) &&
  (REDUCE !== 'reduce_subgroup' || (subgroups && Number(LANES) % max === 0)) &&
  (X !== 'plain/x_subgroup' || (subgroups && min >= 4)) &&
  (PEAK !== 'gpu/peak_subgroup' || subgroups);

const run = (one: KernelCase, step = one.launch.step): Promise<void> => runCase(gpu, one, step);

test.each(KERNELS)(
  '$name',
  async (kernel) => {
    // Dawn's driver on the CPU compiles a tile of projections in some seconds, Chromium's in one.
    const pairs = inject('full') && (kernel.name !== 'matmul' || typeof document !== 'undefined');
    const some = covering(kernel, { pairs, fits });
    expect(some.length).toBeGreaterThan(0);
    // Of many permutations each has one of the sizes where a software adapter takes seconds to compile one.
    const turns = some.length > 4 && (inject('full') || !thorough);
    for (const [i, fixed] of some.entries())
      for (const one of kernelCases(kernel, fixed, turns ? i : undefined)) await run(one);
  },
  1_200_000,
);

test('a wrong number is seen, and one that is not to be written', async () => {
  const norm = KERNELS.find(({ name }) => name === 'norm')!;
  const fixed = covering(norm, { pairs: false, fits }).find(({ HEAD }) => HEAD)!;
  const [one] = kernelCases(norm, fixed);
  await run(one!);
  const { step } = one!.launch;
  await expect(run(one!, { ...step, first: 0 })).rejects.toThrow(/out\[\d+\] is/);
  await expect(run(one!, { ...step, count: step.count - 2 })).rejects.toThrow(/should not be/);
});
