import { ShishuError } from '../errors.ts';
import { guardMemory } from '../gpu/buffer.ts';
import { type Gpu, type GpuFeatures, throwIfLost } from '../gpu/device.ts';
import type { ShaderSpec } from '../gpu/kernel.ts';
import { PipelineError } from '../gpu/pipeline.ts';
import { shaderText } from '../gpu/shader.ts';
import { CHOICE_OF, FALLBACKS, type Tuning, variantText } from '../kernels/tuning.ts';
import type { Plan } from '../model/spec.ts';
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

/** What a text asks of a device that a device may do wrongly. */
const DIRECTIVES: readonly [directive: string, feature: keyof GpuFeatures][] = [
  ['enable subgroups;', 'subgroups'],
  ['enable f16;', 'f16'],
];

/** The same device, as if it lacked a feature. */
const withoutFeature = (gpu: Gpu, feature: keyof GpuFeatures): Gpu =>
  // What is behind it, as `lost`, goes on changing.
  Object.create(gpu, { features: { value: { ...gpu.features, [feature]: false } } });

/** What kernels are chosen by. */
type Chosen = Pick<Runner['parts'], 'gpu' | 'tuning'>;

/** What takes a kernel's place: the same without a feature of the device, or another variant. */
type Remedy = { variant: string } & ({ without: keyof GpuFeatures } | { tuning: Partial<Tuning> });

/**
 * What is the next best where a kernel failed; undefined where there is nothing. A feature that its text asks for goes first.
 * @param gone variants that were left out
 */
export function remedyFor(
  { gpu, tuning }: Chosen,
  shader: ShaderSpec,
  gone: ReadonlySet<string>,
): Remedy | undefined {
  const { code } = shaderText(shader);
  for (const [directive, without] of DIRECTIVES)
    if (gpu.features[without] && code.includes(directive)) return { variant: without, without };
  const choice = CHOICE_OF[shader.kernel.name];
  if (!choice) return undefined;
  const variant = variantText(choice, tuning[choice]);
  const variants: readonly unknown[] = FALLBACKS[choice];
  const next = variants.find((value) => {
    const text = variantText(choice, value);
    return text !== variant && !gone.has(text);
  });
  return next === undefined ? undefined : { variant, tuning: { [choice]: next } };
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
    let { gpu, tuning } = at.parts;
    for (const { shader, kernel, why, error } of failures) {
      const remedy = remedyFor(at.parts, shader, gone);
      if (!remedy) throw error;
      at.leftOut.push({ kernel, variant: remedy.variant, why });
      if ('tuning' in remedy) tuning = { ...tuning, ...remedy.tuning };
      else gpu = withoutFeature(gpu, remedy.without);
    }
    await idle();
    at = await rebuilt(at, { gpu, tuning }, options);
  }
}

/** Compiles what a runner needs from the start; the first kernel that does not compile. */
export async function compileFailures(runner: Runner, plan: Plan): Promise<Failure[]> {
  try {
    await runner.warm(plan);
    return [];
  } catch (cause) {
    if (!(cause instanceof PipelineError)) throw cause;
    const { spec, message, details } = cause;
    const { name } = runner.parts.gpu;
    const error = new ShishuError('shader', `The GPU ${name} does not compile a kernel: ${message}`, {
      details: { adapter: name, ...details },
      mend: 'Update the browser and the graphics driver, or use another GPU.',
      cause,
    });
    return [{ shader: spec, kernel: spec.kernel.name, why: 'does not compile', error }];
  }
}

/** The runner with what it needs from the start compiled, and the next best kernels in place of those that do not compile. */
export const warmed = (
  runner: Runner,
  plan: Plan,
  options: RunnerOptions,
  idle?: () => Promise<unknown>,
): Promise<Runner> => rescued(runner, options, (at) => compileFailures(at, plan), idle);

/** What a user is told of kernels that were left out. */
export function leftOutText(gpu: Pick<Gpu, 'name'>, leftOut: readonly LeftOut[]): string {
  const whys = new Map<string, Set<string>>();
  for (const { why, kernel } of leftOut) whys.set(why, (whys.get(why) ?? new Set()).add(kernel));
  const said = [...whys].map(([why, kernels]) => `${why} ${[...kernels].join(', ')}`);
  return `The GPU ${gpu.name} ${said.join(', and ')}: slower kernels are used.`;
}
