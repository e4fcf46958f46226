// Every kernel of the engine against its CPU twin: see test/support/walk-kernels.ts.
import { expect, test } from 'vitest';
import { KERNELS } from '../../../src/kernels/all.ts';
import { covering, kernelCases } from '../../support/kernel-cases.ts';
import { walkKernels } from '../../support/walk-kernels.ts';

const { run, fits } = await walkKernels(KERNELS);

test('a wrong number is seen, and one that is not to be written', async () => {
  const norm = KERNELS.find(({ name }) => name === 'norm')!;
  const fixed = covering(norm, { pairs: false, fits }).find(({ HEAD }) => HEAD)!;
  const [one] = kernelCases(norm, fixed);
  await run(one!);
  const { step } = one!.launch;
  await expect(run(one!, { ...step, first: 0 })).rejects.toThrow(/out\[\d+\] is/);
  await expect(run(one!, { ...step, count: step.count - 2 })).rejects.toThrow(/should not be/);
});
