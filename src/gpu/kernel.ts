import { ShishuError } from '../errors.ts';

/** What one choice fixes: what upper-case imports stand for, and constants that choose code. */
export type Fixed = Readonly<Record<string, string | number | boolean>>;

/** The least and the most that a constant can be. */
export type Range = readonly [least: number, most: number];

/** A file in shaders/ and all that may be asked of it: no other pipeline can be made. */
export interface Kernel {
  /** The file, without `.wgsl`. */
  readonly name: string;
  /** Choices that do not depend on one another, by their alternatives; one of each makes a permutation. */
  readonly choices: readonly (readonly Fixed[])[];
  /** Constants that are sizes of a model, a batch or a cache. */
  readonly sizes: Readonly<Record<string, Range>>;
}

export type ShaderConstant = number | boolean;

/** Which shader, and what makes this permutation of it. */
export interface ShaderSpec {
  kernel: Kernel;
  /** What an upper-case `#import KEY` stands for: a file in the folder shared/, without `.wgsl`. */
  imports?: Readonly<Record<string, string>>;
  /** `const` declarations before the text. Whole numbers are u32; `f` marks names that are f32. */
  constants: Readonly<Record<string, ShaderConstant>>;
}

/** One alternative of each list, in every way. */
export const combine = (...lists: readonly (readonly Fixed[])[]): Fixed[] =>
  lists.reduce<Fixed[]>(
    (all, list) => all.flatMap((one) => list.map((other) => ({ ...one, ...other }))),
    [{}],
  );

/** Every permutation of a kernel, but for sizes. */
export function permutations({ choices }: Kernel): Fixed[] {
  const all = combine(...choices).map((one) => [JSON.stringify(Object.entries(one).sort()), one] as const);
  return [...new Map(all).values()];
}

function holds(one: Fixed, asked: Fixed): boolean {
  for (const key in one) if (asked[key] !== one[key]) return false;
  return true;
}

/** @throws ShishuError `shader` for what the kernel does not declare */
export function checkDeclared({ kernel, imports, constants }: ShaderSpec): void {
  const refuse = (what: string): never => {
    throw new ShishuError('shader', `Shader ${kernel?.name ?? ''} is not made ${what}.`, {
      details: { shader: kernel?.name ?? null, ...imports, ...constants },
    });
  };
  if (!kernel) refuse('without its declaration');
  const asked: Fixed = { ...imports, ...constants };
  const chosen = new Set<string>();
  for (const choice of kernel.choices) {
    const taken = choice.find((one) => holds(one, asked));
    if (!taken) {
      const keys = [...new Set(choice.flatMap((one) => Object.keys(one)))];
      refuse(`with ${keys.map((key) => `${key} ${asked[key]}`).join(', ')}`);
    }
    for (const key of Object.keys(taken!)) chosen.add(key);
  }
  for (const [key, value] of Object.entries(asked)) {
    if (chosen.has(key)) continue;
    const [least, most] = kernel.sizes[key] ?? refuse(`with ${key}`);
    if (!(typeof value === 'number' && value >= least && value <= most))
      refuse(`with ${key} ${value}: it is from ${least} to ${most}`);
  }
}
