import { ShishuError } from '../errors.ts';
import { guardMemory } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { PLAIN_TUNING } from '../kernels/tuning.ts';
import type { Plan } from '../model/spec.ts';
import { clearNote, readOverflow } from './kv-range.ts';
import { Runner } from './runner.ts';
import { selfTest } from './self-test.ts';
import { kvOf, type RunnerOptions, scratchOf } from './size.ts';
import type { SelfTest } from './types.ts';

/** The same device, as if it lacked what its drivers may do wrongly: subgroups. */
const plainGpu = (gpu: Gpu): Gpu =>
  // What is behind it, as `lost`, goes on changing.
  Object.create(gpu, { features: { value: { ...gpu.features, subgroups: false } } });

export interface CheckOptions {
  warn?: ((message: string) => void) | undefined;
  /** The KV cache may become f32 where f16 does not hold it; refuses sizes that do not fit. */
  widen?: ((options: RunnerOptions) => void) | undefined;
}

/** The model with the KV cache as f32. */
async function withWideKv({ parts, ledger }: Runner, plan: Plan, options: RunnerOptions): Promise<Runner> {
  const { gpu, spec, tuning } = parts;
  ledger.releaseAll('scratch');
  ledger.releaseAll('kv');
  const wide = await guardMemory(gpu, 'the KV cache', () => {
    const kv = kvOf(gpu, ledger, spec, options);
    return new Runner({ ...parts, kv, scratch: scratchOf(gpu, ledger, spec, tuning, options) }, ledger);
  });
  await wide.warm(plan);
  return wide;
}

/** Makes sure that the model's kernels compute rightly, with plain ones where the usual ones do not. */
export async function checkKernels(
  runner: Runner,
  plan: Plan,
  options: RunnerOptions,
  { warn = (message) => console.warn(message), widen }: CheckOptions = {},
): Promise<{ runner: Runner; selfTest: SelfTest }> {
  const begun = performance.now();
  clearNote(runner.parts, 0);
  const found = await selfTest(runner, plan);
  const overflow = await readOverflow(runner.parts, 0);
  if (overflow) {
    if (!widen) throw overflow;
    const wider: RunnerOptions = { ...options, kv: 'f32' };
    widen(wider);
    warn(`${overflow.message.replace(overflow.mend!, '').trim()} It is f32 instead.`);
    return checkKernels(await withWideKv(runner, plan, wider), plan, wider, { warn });
  }
  const wrong = found.map(({ kernel }) => kernel);
  const ended = (kernels: SelfTest['kernels']): SelfTest => ({
    kernels,
    wrong,
    ms: performance.now() - begun,
  });
  if (found.length === 0) return { runner, selfTest: ended('usual') };
  const { ledger } = runner;
  const { spec, ...kept } = runner.parts;
  const gpu = plainGpu(kept.gpu);
  ledger.releaseAll('scratch');
  const plain = await guardMemory(gpu, 'plain kernels', () => {
    const scratch = scratchOf(gpu, ledger, spec, PLAIN_TUNING, options);
    return new Runner({ ...kept, gpu, spec, tuning: PLAIN_TUNING, scratch }, ledger);
  });
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
