// What kernels must be on GPUs. Each gate is a figure with a limit, counted from what compilers made of a kernel, or from the
// launches that a model records.
import { threadsOf, timesRead } from '../../src/bench/work.ts';
import { askedOf, type ShaderSpec } from '../../src/gpu/kernel.ts';
import type { Dispatch, StepShape } from '../../src/gpu/recorder.ts';
import { FORMATS, type WeightDtype } from '../../src/quant/index.ts';
import type { Compiled } from './driver.ts';
import type { ModelLaunches } from './launches.ts';

/** The GPUs whose kernels must pass. */
export const GATED = ['navi31', 'navi21', 'gfx1103', 'tgl', 'lnl', 'dg2', 'adreno740'];

export interface Gate {
  limit: number;
  /** The limit is the least that passes; otherwise the most. */
  least?: boolean;
  /** The only GPU that it is counted on. */
  only?: string;
}

export const GATES = {
  'registers spilled': { limit: 0 },
  'bytes of scratch': { limit: 0 },
  'decode attention: loads in flight': { limit: 8, least: true },
  'decode attention: workgroups at position 1,000, SmolLM2-135M': { limit: 128, least: true },
  'decode attention: barriers': { limit: 3 },
  'q4 matvec: vector instructions a multiply-add': { limit: 3.5, only: 'navi31' },
  'q8 matvec: vector instructions a multiply-add': { limit: 2.5, only: 'navi31' },
  'q4 and q8 matvec: % of bytes by loads of 16': { limit: 75, least: true },
  'q4 and q8 matvec: threads': { limit: 16_384, least: true },
  'q4 and q8 matvec: barriers': { limit: 1 },
  'prompts: multiply-adds a read of workgroup memory': { limit: 16, least: true },
  'prompts: workgroups for 128 tokens, SmolLM2-135M': { limit: 128, least: true },
  "prompts: loops with the WGSL compiler's guard": { limit: 0 },
  'training: multiply-adds a read of workgroup memory': { limit: 10, least: true },
  "training: loops with the WGSL compiler's guard": { limit: 0 },
  '2 to 16 rows: times that a weight is read': { limit: 1 },
  'choice of a token: launches behind the head': { limit: 3 },
  'choice of a token: launches that go over the logits in one workgroup': { limit: 0 },
} as const satisfies Record<string, Gate>;
export type GateName = keyof typeof GATES;

/** A figure of a gate, and the kernel and GPU that it is of. */
export interface Figure {
  gate: GateName;
  kernel: string;
  gpu: string;
  value: number;
}

export const gateOf = (name: string): Gate => (GATES as Record<string, Gate>)[name]!;

export function passes({ gate, value }: Pick<Figure, 'gate' | 'value'>): boolean {
  const { limit, least } = gateOf(gate);
  return least ? value >= limit : value <= limit;
}

/** Of two values of a gate, the worse. */
export const worseOf = (gate: string, a: number, b: number): number =>
  gateOf(gate).least ? Math.min(a, b) : Math.max(a, b);

const product = (grid: readonly number[] | undefined): number =>
  (grid ?? [0]).reduce((all, count) => all * count, 1);

/** Workgroups of a launch. */
export const workgroupsOf = ({ grid }: Pick<Dispatch, 'grid'>, step: StepShape): number =>
  product(grid(step));

/** The figures of a kernel that are counted from its code alone, whatever launches it. */
export function figuresOfCode(kernel: string, compiled: Compiled): [GateName, number][] {
  const { spills, scratch, guards, perSharedRead } = compiled;
  const figures: [GateName, number][] = [
    ['registers spilled', spills],
    ['bytes of scratch', scratch],
  ];
  if (!kernel.startsWith('train/')) return figures;
  if (guards !== undefined) figures.push(["training: loops with the WGSL compiler's guard", guards]);
  if (kernel.startsWith('train/matmul') && perSharedRead !== undefined)
    figures.push(['training: multiply-adds a read of workgroup memory', perSharedRead]);
  return figures;
}

/** What a compiler made of a shader. */
export interface Built {
  code: string;
  /** Undefined where it does not compile. */
  compiled: Compiled | undefined;
}

/** A figure of a launch. */
export interface LaunchFigure extends Omit<Figure, 'gpu' | 'kernel'> {
  shader: ShaderSpec;
  code: string;
}

/** Whether a shader's text has a loop that ends where a row of logits does. */
export const goesOverLogits = (code: string): boolean =>
  /\b(for|while) \(.*[<>]=? *(STRIDE4|VOCAB)\b/.test(code) && /\blogits\b/.test(code);

/** Barriers of a kernel itself: one more is of the WGSL compiler, which zeroes workgroup memory. */
const barriersOf = ({ code, compiled }: Built): number | undefined =>
  compiled && compiled.barriers - Number(code.includes('var<workgroup>'));

/**
 * Vector instructions of the loop that multiplies most for each weight whose codes it loads, and each row of x: what makes weights
 * of codes is multiply-adds too, and none that are asked for. Undefined where the compiler does not tell.
 */
export function perWeight(
  { shader }: Pick<Dispatch, 'shader'>,
  compiled: Compiled | undefined,
): number | undefined {
  const binding = shader.kernel.bindings(askedOf(shader)).findIndex(({ name }) => name === 'weight');
  const bytes = compiled?.loop?.loaded[binding];
  if (!bytes) return undefined;
  const format = FORMATS[/_(\w+)$/.exec(shader.imports!.WEIGHT!)![1] as WeightDtype];
  const { TOKENS = 1 } = shader.constants;
  return compiled!.loop!.vector / (((8 * bytes) / format.bits) * Number(TOKENS));
}

const isProjection = ({ bind }: Dispatch): boolean => 'weight' in bind && 'x' in bind;
const isAttention = ({ label }: Dispatch): boolean => label === 'attention';

/** The figures of a model's launches. */
export function figuresOfLaunches(
  { model, dtype, decode, prompt, rows, greedy, sampled }: ModelLaunches,
  built: (shader: ShaderSpec) => Built,
): LaunchFigure[] {
  const found: LaunchFigure[] = [];
  const add = (gate: GateName, { shader }: Dispatch, value: number | undefined): void => {
    if (value !== undefined) found.push({ gate, shader, code: built(shader).code, value });
  };
  const smol = model === 'SmolLM2-135M';
  /** Some launches are for steps of other sizes. */
  const launched = (launches: readonly Dispatch[], step: StepShape): Dispatch[] =>
    launches.filter(({ grid }) => grid(step) !== undefined);

  for (const launch of launched([...decode.blocks, ...decode.head], decode.step)) {
    const { compiled } = built(launch.shader);
    const groups = workgroupsOf(launch, decode.step);
    if (isAttention(launch)) {
      add('decode attention: loads in flight', launch, compiled?.flight);
      add('decode attention: barriers', launch, barriersOf(built(launch.shader)));
      if (smol) add('decode attention: workgroups at position 1,000, SmolLM2-135M', launch, groups);
    }
    if (!isProjection(launch) || (dtype !== 'q4' && dtype !== 'q8')) continue;
    // A head may be kept in another dtype.
    const own = /_(q4|q8)$/.exec(launch.shader.imports!.WEIGHT!)?.[1] as 'q4' | 'q8' | undefined;
    if (own) add(`${own} matvec: vector instructions a multiply-add`, launch, perWeight(launch, compiled));
    const wide = compiled?.wide;
    add('q4 and q8 matvec: % of bytes by loads of 16', launch, wide && Math.floor(100 * wide));
    add('q4 and q8 matvec: threads', launch, groups * threadsOf(launch.shader));
    add('q4 and q8 matvec: barriers', launch, barriersOf(built(launch.shader)));
  }

  for (const launch of launched(prompt.blocks, prompt.step)) {
    if (!isProjection(launch) && !isAttention(launch)) continue;
    const { compiled } = built(launch.shader);
    add('prompts: multiply-adds a read of workgroup memory', launch, compiled?.perSharedRead);
    add("prompts: loops with the WGSL compiler's guard", launch, compiled?.guards);
    if (smol)
      add('prompts: workgroups for 128 tokens, SmolLM2-135M', launch, workgroupsOf(launch, prompt.step));
  }

  for (const { step, blocks, head } of rows)
    for (const launch of launched([...blocks, ...head], step).filter(isProjection))
      add('2 to 16 rows: times that a weight is read', launch, timesRead(launch, step));

  for (const { step, choice } of [greedy, sampled]) {
    const all = launched(choice, step);
    const alone = all.filter(
      (launch) => workgroupsOf(launch, step) === 1 && goesOverLogits(built(launch.shader).code),
    );
    const last = all.at(-1)!;
    add('choice of a token: launches behind the head', last, all.length);
    add('choice of a token: launches that go over the logits in one workgroup', last, alone.length);
  }
  return found;
}
