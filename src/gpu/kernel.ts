import { ShishuError } from '../errors.ts';

/** Files of shaders/ that come with a folder: what one device, format or feature needs and another does not. */
export type ShaderFolder = 'gpu' | 'plain' | 'blocks' | 'features';

/** What one choice fixes: what upper-case imports stand for, and constants that choose code. */
export type Fixed = Readonly<Record<string, string | number | boolean>>;

/** The least and the most that a constant can be, and whether it is f32; others are u32. */
export type Range = readonly [least: number, most: number, type?: 'f32'];

/** What a dispatch's size may depend on; the CPU's copy of the shaders' `Step`, and the longest context among the rows. */
export interface StepShape {
  /** Rows of this forward. */
  rows: number;
  /** First row whose logits are wanted, and how many. */
  first: number;
  count: number;
  /** Row of the next step that the first sampled token goes to. */
  next: number;
  /** Tokens that the longest row attends to. */
  context: number;
}

export type Grid = readonly [x: number, y: number, z: number];

export type ShaderConstant = number | boolean;

/** The permutation of a kernel that a launch runs; C names the constants. */
export interface Asked<C extends string = string> {
  /** Booleans are 0 and 1. */
  readonly constants: Readonly<Record<C, number>>;
  readonly imports: Readonly<Record<string, string>>;
}

/** One launch of a kernel. */
export interface Launch<C extends string = string> extends Asked<C> {
  readonly step: StepShape;
  /** Items of a launch whose number neither constants nor the step tell; else 0. */
  readonly items: number;
}

/** What the numbers of a binding are: a struct or a vector is several. */
export type NumberType = 'f32' | 'f16' | 'u32' | 'u8';

/** A variable of a shader that is bound to a buffer. */
export interface Binding<C extends string = string> {
  readonly name: string;
  /** As WGSL writes it. */
  readonly type: string;
  readonly access: 'read' | 'read_write' | 'uniform';
  readonly numbers: NumberType;
  /** How many numbers it has, outermost dimension first. */
  shape(launch: Launch<C>): readonly number[];
}

/** A launch as its CPU twin sees it: what the bindings held before it ran. */
export interface TwinLaunch<C extends string = string> extends Launch<C> {
  /** Numbers `at ..` of a binding; f16 becomes f32. */
  floats(binding: string, at: number, count: number): Float32Array<ArrayBuffer>;
  /** Words of 32 bits of a binding, as they are. */
  words(binding: string, at: number, count: number): Uint32Array<ArrayBuffer>;
  bytes(binding: string, at: number, count: number): ArrayBuffer;
  /** Which of `count` results are wanted: every one, or for a spot check some at both ends, `most` (default 8) in all. */
  pick(count: number, most?: number): readonly number[];
}

/** One number that a launch leaves. */
export interface Result {
  binding: string;
  /** Place among the binding's numbers. */
  at: number;
  value: number;
  /** To what its rounding errors are relative: the root of summed squares, say. 0 for what is exact. */
  scale: number;
  /** What it is, where that is not what the binding has. */
  as?: NumberType;
  /** Place of a second number: `value` is the sum of the two. */
  low?: number;
}

/** A compute shader: one entry of the registry in src/kernels/all.ts. C names its constants. */
export interface Kernel<C extends string = string> {
  /** The file in shaders/ or its folder, without `.wgsl`. */
  readonly name: string;
  /** Texts by their names that come with the kernel, beside the engine's; what is of one name is the kernel's. */
  readonly texts?: ReadonlyMap<string, string>;
  /** The folder of what not every device needs, which is fetched when the kernel is. */
  readonly folder?: ShaderFolder;
  /** Choices that do not depend on one another, by their alternatives; one of each makes a permutation. */
  readonly choices: readonly (readonly Fixed[])[];
  /** Constants that are sizes of a model, a batch or a cache. */
  readonly sizes: Readonly<Record<string, Range>>;
  /** The variables of group 0; a binding's number is its place in the list. */
  bindings(asked: Asked<C>): readonly Binding<C>[];
  /**
   * Workgroups of a launch; undefined when the step does not need it.
   * @param most workgroups in one dimension
   */
  grid(launch: Launch<C>, most: number): Grid | undefined;
  /** The CPU twin: what the launch leaves in its bindings, computed in f64. All other numbers stay. */
  cpu(launch: TwinLaunch<C>): Iterable<Result>;
}

/** Which shader, and what makes this permutation of it. */
export interface ShaderSpec {
  kernel: Kernel;
  /** What an upper-case `#import KEY` stands for: a file in the folder shared/, without `.wgsl`. */
  imports?: Readonly<Record<string, string>>;
  /** `const` declarations before the text. */
  constants: Readonly<Record<string, ShaderConstant>>;
}

/** A storage array that a kernel reads. */
export const reads = <C extends string>(
  name: string,
  element: string,
  shape: Binding<C>['shape'],
  numbers: NumberType = /^vec\df|^f32/.test(element) ? 'f32' : 'u32',
): Binding<C> => ({ name, type: `array<${element}>`, access: 'read', numbers, shape });

/** A storage array that a kernel writes, and may read. */
export const writes = <C extends string>(...parameters: Parameters<typeof reads<C>>): Binding<C> => ({
  ...reads<C>(...parameters),
  access: 'read_write',
});

/** The step, of kernels that import step.wgsl. */
export const STEP: Binding<never> = {
  name: 'step',
  type: 'Step',
  access: 'uniform',
  numbers: 'u32',
  shape: () => [4],
};

/** What a kernel's functions get to see of a shader. */
export const askedOf = ({ imports = {}, constants }: ShaderSpec): Asked => ({
  imports,
  constants: Object.fromEntries(Object.entries(constants).map(([name, value]) => [name, Number(value)])),
});

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
