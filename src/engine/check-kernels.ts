import { ShishuError } from '../errors.ts';
import { guardMemory } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { PLAIN_TUNING } from '../kernels/tuning.ts';
import type { Plan } from '../model/plan.ts';
import { Runner } from './runner.ts';
import { selfTest } from './self-test.ts';
import { type RunnerOptions, scratchOf } from './size.ts';
import type { SelfTest } from './types.ts';

/** The same device, as if it lacked what its drivers may do wrongly: subgroups. */
const plainGpu = (gpu: Gpu): Gpu =>
  // What is behind it, as `lost`, goes on changing.
  Object.create(gpu, { features: { value: { ...gpu.features, subgroups: false } } });

/** Makes sure that the model's kernels compute rightly, with plain ones where the usual ones do not. */
export async function checkKernels(
  runner: Runner,
  plan: Plan,
  options: RunnerOptions,
  warn: (message: string) => void = (message) => console.warn(message),
): Promise<{ runner: Runner; selfTest: SelfTest }> {
  const begun = performance.now();
  const found = await selfTest(runner, plan);
  const wrong = found.map(({ kernel }) => kernel);
  const ended = (kernels: SelfTest['kernels']): SelfTest => ({
    kernels,
    wrong,
    ms: performance.now() - begun,
  });
  if (found.length === 0) return { runner, selfTest: ended('usual') };
  const { ledger } = runner;
  const { config, ...kept } = runner.parts;
  const gpu = plainGpu(kept.gpu);
  ledger.releaseAll('scratch');
  const parts = await guardMemory(gpu, 'plain kernels', () => ({
    ...kept,
    gpu,
    config,
    tuning: PLAIN_TUNING,
    scratch: scratchOf(gpu, ledger, config, PLAIN_TUNING, options),
  }));
  const plain = new Runner(parts, ledger);
  await plain.warm(plan);
  const [still] = await selfTest(plain, plan);
  if (still)
    throw new ShishuError(
      'self-test',
      `The GPU ${gpu.name} computes wrongly: ${still.kernel} gave ${still.found}, not ${still.expected}.`,
      {
        details: { adapter: gpu.name, ...still },
        mend: 'Update the browser and the graphics driver, or use another GPU.',
      },
    );
  warn(`The GPU ${gpu.name} computes wrongly in ${wrong.join(', ')}: slower kernels are used.`);
  return { runner: plain, selfTest: ended('plain') };
}
