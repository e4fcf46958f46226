// Every kernel of a list against its CPU twin, on a device of default limits: odd sizes, all that it may write and all that it
// must not. What a twin does not read is NaN. In a full run every two alternatives of a kernel's choices meet.
import { afterAll, expect, inject, test } from 'vitest';
import { openGpu } from '../../src/gpu/device.ts';
import type { Fixed, Kernel, StepShape } from '../../src/gpu/kernel.ts';
import { defaultLimitsDevice } from './gpu-features.ts';
import { covering, type KernelCase, kernelCases } from './kernel-cases.ts';
import { thorough } from './thorough.ts';
import { runCase } from './twin-check.ts';

/** Declares the tests of a list; returns what they run a case with, and whether the engine would use a permutation on this adapter. */
export async function walkKernels(kernels: readonly Kernel[]) {
  const device = await defaultLimitsDevice();
  const gpu = await openGpu({ device });
  afterAll(() => device.destroy());

  const { subgroups, f16 } = gpu.features;
  const { min, max } = gpu.subgroupSize;

  const fits = ({ REDUCE, LANES, X, X_TILE, W_TILE, SUB = 1, PEAK, ROWS }: Fixed): boolean =>
    (f16 || (X_TILE !== 'gpu/x_tile_f16' && W_TILE !== 'gpu/w_tile_f16')) &&
    (SUB === 1 || (subgroups && min >= Number(SUB))) &&
    (REDUCE !== 'reduce_subgroup' || (subgroups && Number(LANES) % max === 0)) &&
    (X !== 'plain/x_subgroup' || (subgroups && min >= 4)) &&
    (PEAK !== 'gpu/peak_subgroup' || subgroups) &&
    (ROWS !== 'rows_told' || (subgroups && min === LANES && max === LANES));

  const run = (one: KernelCase, step: StepShape = one.launch.step): Promise<void> => runCase(gpu, one, step);

  test.each(kernels)(
    '$name',
    async (kernel) => {
      // Dawn's driver on the CPU compiles a tile of projections in some seconds, Chromium's in one.
      const pairs = inject('full') && (kernel.name !== 'matmul' || typeof document !== 'undefined');
      const some = covering(kernel, { pairs, fits });
      expect(some.length).toBeGreaterThan(0);
      // Of many permutations each has one of the sizes where a software adapter takes seconds to compile one.
      const few = inject('full') || !thorough || kernel.name.startsWith('train/matmul');
      const turns = some.length > 4 && few;
      for (const [i, fixed] of some.entries())
        for (const one of kernelCases(kernel, fixed, turns ? i : undefined)) await run(one);
    },
    1_200_000,
  );
  return { run, fits };
}
