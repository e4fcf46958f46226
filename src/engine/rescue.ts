import { ShishuError } from '../errors.ts';
import { guardMemory } from '../gpu/buffer.ts';
import { type Gpu, throwIfLost } from '../gpu/device.ts';
import type { ShaderSpec } from '../gpu/kernel.ts';
import { PipelineError } from '../gpu/pipeline.ts';
import { importModule } from '../lazy.ts';
import type { Plan } from '../model/spec.ts';
import type { Chosen } from './remedy.ts';
import { Runner } from './runner.ts';
import { type RunnerOptions, scratchOf } from './size.ts';
import type { LeftOut } from './types.ts';

/** A kernel that this GPU cannot be trusted with. */
export interface Failure {
  shader: ShaderSpec;
  /** Where it runs, for people. */
  kernel: string;
  why: LeftOut['why'];
  /** What is thrown where nothing can take its place. */
  error: ShishuError;
}

/** A runner of the same model with other kernels. Nothing may be under way. */
async function rebuilt(
  { parts, ledger, leftOut }: Runner,
  chosen: Chosen,
  options: RunnerOptions,
): Promise<Runner> {
  ledger.releaseAll('scratch');
  return guardMemory(chosen.gpu, 'other kernels', () => {
    const scratch = scratchOf(chosen.gpu, ledger, parts.spec, chosen.tuning, options);
    const runner = new Runner({ ...parts, ...chosen, scratch }, ledger);
    runner.leftOut.push(...leftOut);
    return runner;
  });
}

/**
 * Looks for kernels that fail until none does, each time with the next best in place of those that did.
 * @param idle awaited before buffers are made anew
 * @throws ShishuError the failure's own, where nothing can take a kernel's place
 */
export async function rescued(
  runner: Runner,
  options: RunnerOptions,
  find: (runner: Runner) => Promise<readonly Failure[]>,
  idle: () => Promise<unknown> = async () => {},
): Promise<Runner> {
  for (let at = runner; ; ) {
    const failures = await find(at);
    if (failures.length === 0) return at;
    throwIfLost(at.parts.gpu);
    const gone = new Set(at.leftOut.map(({ variant }) => variant));
    let chosen: Chosen = at.parts;
    const { remedied, remedyFor } = await importModule(() => import('./remedy.ts'));
    for (const { shader, kernel, why, error } of failures) {
      const remedy = remedyFor(at.parts, shader, gone);
      if (!remedy) throw error;
      at.leftOut.push({ kernel, variant: remedy.variant, why });
      chosen = remedied(chosen, remedy);
    }
    await idle();
    at = await rebuilt(at, chosen, options);
  }
}

/** What an error says of a kernel that does not compile; others are thrown. */
export function compileFailures({ parts: { gpu } }: Runner, cause: unknown): Failure[] {
  if (!(cause instanceof PipelineError)) throw cause;
  const { spec, message, details } = cause;
  const error = new ShishuError('shader', `The GPU ${gpu.name} does not compile a kernel: ${message}`, {
    details: { adapter: gpu.name, ...details },
    mend: 'Update the browser and the graphics driver, or use another GPU.',
    cause,
  });
  return [{ shader: spec, kernel: spec.kernel.name, why: 'does not compile', error }];
}

/** The runner with what it needs from the start compiled, and the next best kernels in place of those that do not compile. */
export const warmed = (
  runner: Runner,
  plan: Plan,
  options: RunnerOptions,
  idle?: () => Promise<unknown>,
): Promise<Runner> =>
  rescued(
    runner,
    options,
    (at) =>
      at.warm(plan).then(
        () => [],
        (error) => compileFailures(at, error),
      ),
    idle,
  );

/** What a user is told of kernels that were left out. */
export function leftOutText(gpu: Pick<Gpu, 'name'>, leftOut: readonly LeftOut[]): string {
  const whys = new Map<string, Set<string>>();
  for (const { why, kernel } of leftOut) whys.set(why, (whys.get(why) ?? new Set()).add(kernel));
  const said = [...whys].map(([why, kernels]) => `${why} ${[...kernels].join(', ')}`);
  return `The GPU ${gpu.name} ${said.join(', and ')}: slower kernels are used.`;
}
