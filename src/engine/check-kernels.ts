import { ShishuError } from '../errors.ts';
import { guardMemory } from '../gpu/buffer.ts';
import type { Plan } from '../model/spec.ts';
import { clearNote, readOverflow } from './kv-range.ts';
import { compileFailures, type Failure, rescued, warmed } from './rescue.ts';
import { Runner } from './runner.ts';
import { selfTest } from './self-test.ts';
import { kvOf, type RunnerOptions, scratchOf } from './size.ts';
import type { WrongKernel } from './spot-checks.ts';
import type { SelfTest } from './types.ts';

export interface CheckOptions {
  warn?: ((message: string) => void) | undefined;
  /** The KV cache may become f32 where f16 does not hold it; refuses sizes that do not fit. */
  widen?: ((options: RunnerOptions) => void) | undefined;
}

/** The model with the KV cache as f32. */
async function withWideKv(
  { parts, ledger, leftOut }: Runner,
  plan: Plan,
  options: RunnerOptions,
): Promise<Runner> {
  const { gpu, spec, tuning } = parts;
  ledger.releaseAll('scratch');
  ledger.releaseAll('kv');
  const wide = await guardMemory(gpu, 'the KV cache', () => {
    const kv = kvOf(gpu, ledger, spec, options);
    return new Runner({ ...parts, kv, scratch: scratchOf(gpu, ledger, spec, tuning, options) }, ledger);
  });
  wide.leftOut.push(...leftOut);
  return warmed(wide, plan, options);
}

const failuresOf = ({ parts: { gpu } }: Runner, found: readonly WrongKernel[]): Failure[] =>
  found.map(({ shader, ...wrong }) => ({
    shader,
    kernel: wrong.kernel,
    why: 'computes wrongly in',
    error: new ShishuError(
      'self-test',
      `The GPU ${gpu.name} computes wrongly: ${wrong.kernel} gave ${wrong.found}, not ${wrong.expected}.`,
      {
        details: { adapter: gpu.name, ...wrong },
        mend: 'Update the browser and the graphics driver, or use another GPU.',
      },
    ),
  }));

/** Makes sure that the model's kernels compute rightly, with the next best ones where the usual ones do not. */
export async function checkKernels(
  runner: Runner,
  plan: Plan,
  options: RunnerOptions,
  { warn = (message) => console.warn(message), widen }: CheckOptions = {},
): Promise<{ runner: Runner; selfTest: SelfTest }> {
  const begun = performance.now();
  clearNote(runner.parts, 0);
  const test = async (at: Runner): Promise<Failure[]> => {
    try {
      await at.warm(plan);
      return failuresOf(at, await selfTest(at, plan));
    } catch (error) {
      return compileFailures(at, error);
    }
  };
  const found = await test(runner);
  const overflow = await readOverflow(runner.parts, 0);
  if (overflow) {
    if (!widen) throw overflow;
    const wider: RunnerOptions = { ...options, kv: 'f32' };
    widen(wider);
    warn(`${overflow.message.replace(overflow.mend!, '').trim()} It is f32 instead.`);
    return checkKernels(await withWideKv(runner, plan, wider), plan, wider, { warn });
  }
  let first: Failure[] | undefined = found;
  const checked = await rescued(runner, options, async (at) => {
    const failures = first ?? (await test(at));
    first = undefined;
    return failures;
  });
  const wrong = found.filter(({ why }) => why === 'computes wrongly in').map(({ kernel }) => kernel);
  const kernels = wrong.length === 0 ? 'usual' : 'plain';
  return { runner: checked, selfTest: { kernels, wrong, ms: performance.now() - begun } };
}
