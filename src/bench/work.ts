// What a launch has to do: counted from its kernel and its sizes, never timed.
import {
  type Asked,
  askedOf,
  type Binding,
  type Launch,
  type ShaderSpec,
  type StepShape,
} from '../gpu/kernel.ts';
import type { Dispatch } from '../gpu/recorder.ts';
import { shaderText } from '../gpu/shader.ts';

/** The work of one launch. */
export interface Work {
  /** The row of kernels that it belongs to, in tables of what compilers count. */
  row: string;
  /** Bytes that it reads and writes at least, each once. */
  bytes: number;
  /** Multiplications with an addition, of projections and attention. */
  multiplyAdds: number;
  workgroups: number;
  /** Threads of a workgroup. */
  threads: number;
}

/** What compilers count of a row of kernels, see counts.ts. */
export interface Counts {
  /** Vector instructions a multiply-add. */
  instructions: number;
  /** Bytes that a thread has under way at a time. */
  bytesInFlight: number;
}

/** Rows of a table: kernels by the format that they read and by the rows of x that share a weight. */
export function kernelRow({ kernel, imports = {}, constants }: ShaderSpec): string {
  const { WEIGHT } = imports;
  const { TOKENS } = constants;
  const words = [kernel.name];
  if (WEIGHT) words.push(WEIGHT.replace(/^([a-z]+\/)?[a-z]+_/, ''));
  if (typeof TOKENS === 'number' && TOKENS > 1) words.push(`${TOKENS} rows`);
  return words.join(' ');
}

/** Threads of a workgroup. */
export function threadsOf(shader: ShaderSpec): number {
  const { code } = shaderText(shader);
  const [, sizes = ''] = /@workgroup_size\(([^)]*)\)/.exec(code) ?? [];
  const countOf = (size: string): string =>
    new RegExp(`\\bconst ${size}(?:: u32)? = (\\d+)u?;`).exec(code)?.[1] ?? size;
  return product(
    sizes
      .split(',')
      .filter(Boolean)
      .map((size) => Number.parseInt(countOf(size.trim()), 10)),
  );
}

const product = (counts: readonly number[]): number => counts.reduce((all, count) => all * count, 1);

/** WebGPU's limit of workgroups in one dimension. */
const MOST_WORKGROUPS = 65_535;

const NUMBER_BYTES = { f32: 4, u32: 4, f16: 2, u8: 1 } as const;

/** Sequences among the rows of a step: each row of a decode step has one of its own, the rows of a prompt share one. */
const sequencesOf = ({ rows, count }: StepShape): number => (count === rows ? rows : 1);

type Constants = Asked['constants'];

/** Positions that a row sees whose context is so long. */
const seenOf = ({ WINDOW = Number.POSITIVE_INFINITY }: Constants, context: number): number =>
  Math.min(context, WINDOW);

/** Positions that the rows see, all together. */
function seenByRows(constants: Constants, { rows, count, context }: StepShape): number {
  if (count === rows) return rows * seenOf(constants, context);
  let sum = 0;
  for (let row = 0; row < rows; row++) sum += seenOf(constants, context - row);
  return sum;
}

/** Splits of the sequence that a row leaves parts of. */
function partsOf(constants: Constants, context: number): number {
  const { SPLIT = context, UNSPLIT = 0, PARTS } = constants;
  // Kernels that go over the whole sequence leave none.
  if (PARTS === undefined) return 1;
  const chunks = Math.ceil(seenOf(constants, context) / SPLIT);
  // Where there are many, a part has several; of few, one has all.
  return chunks * SPLIT <= UNSPLIT ? 1 : Math.ceil(chunks / Math.ceil(chunks / PARTS));
}

/** Numbers of a binding that a launch touches, where that is not all that it has. */
const TOUCHED: Record<string, (c: Constants, step: StepShape, attends: boolean) => number> = {
  kv(c, step, attends) {
    const each = 2 * c.KV_HEADS! * c.HEAD_DIM!;
    if (!attends) return each * step.rows;
    // Rows of one sequence share what they see.
    const sequences = sequencesOf(step);
    const more = sequences === step.rows ? 0 : step.rows;
    return each * sequences * Math.min(step.context, seenOf(c, step.context) + more);
  },
  parts: (c, { rows, context }) => {
    const parts = partsOf(c, context);
    return parts > 1 ? rows * c.HEADS! * parts * (c.HEAD_DIM! + 4) : 0;
  },
  rope: (c, { rows }) => rows * c.HEAD_DIM!,
  seen: (c, { rows }) => rows * c.TAPS! * c.SEEN_STRIDE!,
};

const isAttention = ({ kernel }: ShaderSpec): boolean => kernel.name.startsWith('attention');

function bytesOf(shader: ShaderSpec, launch: Launch): number {
  const { constants, step } = launch;
  const bindings: readonly Binding[] = shader.kernel.bindings(launch);
  // One row of the table for each token.
  const ofTable = shader.kernel.name === 'embed' ? step.rows / constants.N! : 1;
  return bindings.reduce((sum, { name, numbers, access, shape }) => {
    const touched = TOUCHED[name]?.(constants, step, isAttention(shader)) ?? product(shape(launch));
    const share = name === 'weight' || name === 'scales' ? ofTable : 1;
    const times = access === 'read_write' && constants.RESIDUAL ? 2 : 1;
    return sum + touched * share * times * NUMBER_BYTES[numbers];
  }, 0);
}

function multiplyAddsOf(
  shader: ShaderSpec,
  { constants: c, step }: Launch,
  bound: readonly string[],
): number {
  if (bound.includes('weight') && bound.includes('x'))
    return (c.HEAD ? step.count : step.rows) * c.N! * 4 * c.X_STRIDE4!;
  if (bound.includes('kv') && isAttention(shader)) return 2 * c.HEADS! * c.HEAD_DIM! * seenByRows(c, step);
  return 0;
}

/** The work of a launch; undefined where the step does not need it. */
export function workOf(
  { shader, grid, bind, items }: Pick<Dispatch, 'shader' | 'grid' | 'bind' | 'items'>,
  step: StepShape,
): Work | undefined {
  const size = grid(step);
  if (!size) return undefined;
  const launch: Launch = { ...askedOf(shader), step, items };
  return {
    row: kernelRow(shader),
    bytes: bytesOf(shader, launch),
    multiplyAdds: multiplyAddsOf(shader, launch, Object.keys(bind)),
    workgroups: product(size),
    threads: threadsOf(shader),
  };
}

/** Times that a projection over the rows of a step reads each weight: over one row its kernel reads each once. */
export function timesRead(
  { shader, grid, items }: Pick<Dispatch, 'shader' | 'grid' | 'items'>,
  step: StepShape,
): number {
  const alone: Launch = { ...askedOf(shader), step: { ...step, rows: 1, first: 0, count: 1 }, items };
  return product(grid(step) ?? [0]) / product(shader.kernel.grid(alone, MOST_WORKGROUPS) ?? [1]);
}

/** Bytes of weights that projections of a step read, with those that they read several times. */
export function weightBytesOf(launches: readonly Dispatch[], step: StepShape): number {
  const projections = launches.filter(({ bind }) => 'weight' in bind && 'x' in bind);
  return projections.reduce((sum, launch) => {
    const asked = { ...askedOf(launch.shader), step, items: launch.items };
    const codes = launch.shader.kernel
      .bindings(asked)
      .filter(({ name }) => name === 'weight' || name === 'scales')
      .map(({ shape, numbers }) => product(shape(asked)) * NUMBER_BYTES[numbers]);
    return sum + timesRead(launch, step) * codes.reduce((all, bytes) => all + bytes, 0);
  }, 0);
}
