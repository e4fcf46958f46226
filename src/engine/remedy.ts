import type { Gpu, GpuFeatures } from '../gpu/device.ts';
import type { ShaderSpec } from '../gpu/kernel.ts';
import { shaderText } from '../gpu/shader.ts';
import { CHOICE_OF, FALLBACKS, variantText } from '../kernels/fallbacks.ts';
import type { Tuning } from '../kernels/tuning.ts';
import type { ForwardParts } from '../model/forward.ts';
import type { LeftOut } from './types.ts';

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
export type Chosen = Pick<ForwardParts, 'gpu' | 'tuning'>;

/** What takes a kernel's place: the same without a feature of the device, or another variant. */
export type Remedy = { variant: string } & ({ without: keyof GpuFeatures } | { tuning: Partial<Tuning> });

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

/** The choice with a remedy. */
export const remedied = ({ gpu, tuning }: Chosen, remedy: Remedy): Chosen =>
  'tuning' in remedy
    ? { gpu, tuning: { ...tuning, ...remedy.tuning } }
    : { gpu: withoutFeature(gpu, remedy.without), tuning };

/** Has the next best take the place of a kernel that does not compile, in what is recorded from here on; undefined where there is none. */
export function replaceFailed(
  parts: ForwardParts,
  shader: ShaderSpec,
  leftOut: LeftOut[],
): LeftOut | undefined {
  const remedy = remedyFor(parts, shader, new Set(leftOut.map(({ variant }) => variant)));
  if (!remedy) return undefined;
  const left: LeftOut = { kernel: shader.kernel.name, variant: remedy.variant, why: 'does not compile' };
  leftOut.push(left);
  Object.assign(parts, remedied(parts, remedy));
  return left;
}
