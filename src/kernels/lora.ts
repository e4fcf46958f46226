// shaders/features/lora_add.wgsl and lora_gate.wgsl: what LoRA adapters add to a projection.
import {
  type Asked,
  type Binding,
  type Kernel,
  reads,
  STEP,
  type TwinLaunch,
  writes,
} from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { gated } from './matmul.ts';
import type { Activation } from './project.ts';
import type { Sum } from './qkv.ts';
import { type Activations, COUNT, stride } from './tensor.ts';

/** Most adapters that a model holds at once. */
export const MOST_ADAPTERS = 32;

const WG = 64;

type LoraConstant = 'SEQUENCES' | 'MATRICES' | 'T_STRIDE4' | 'OUT_STRIDE' | 'WG';

const SIZES = { SEQUENCES: [1, 256], MATRICES: [1, 3], T_STRIDE4: COUNT, OUT_STRIDE: COUNT } as const;

const bindings = <C extends string>(): Binding<C | LoraConstant>[] => [
  reads('t', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.T_STRIDE4]),
  reads('b', 'vec4f', ({ items }) => [items, 4]),
  reads('table', 'vec4<u32>', ({ constants }) => [1 + MOST_ADAPTERS, constants.MATRICES, 4]),
  reads('chosen', 'u32', ({ constants }) => [constants.SEQUENCES]),
  reads('rows', 'Row', ({ step }) => [step.rows, 4]),
];

/** What `lora` of shared/lora.wgsl is. */
function added(launch: TwinLaunch<LoraConstant>, row: number, matrix: number, output: number): Sum {
  const { MATRICES, T_STRIDE4 } = launch.constants;
  const [, sequence] = launch.words('rows', 4 * row, 4);
  const [id] = launch.words('chosen', sequence!, 1);
  const [at, rank, first] = launch.words('table', 4 * (id! * MATRICES + matrix), 4);
  const t = launch.floats('t', 4 * (row * T_STRIDE4 + at!), 4 * rank!);
  const b = launch.floats('b', 4 * (first! + output * rank!), 4 * rank!);
  const terms = Array.from(b, (value, i) => value * t[i]!);
  return {
    value: terms.reduce((sum, term) => sum + term, 0),
    scale: Math.sqrt(terms.reduce((sum, term) => sum + term * term, 0)),
  };
}

const outShape = ({ constants, step }: Asked<LoraConstant> & { step: { rows: number } }): number[] => [
  step.rows,
  constants.OUT_STRIDE,
];

export const LORA_ADD: Kernel<LoraConstant | 'N' | 'SECOND' | 'THIRD'> = {
  name: 'lora_add',
  folder: 'features',
  choices: [[{ WG }]],
  sizes: { ...SIZES, N: COUNT, SECOND: COUNT, THIRD: COUNT },
  bindings: () => [...bindings<'N' | 'SECOND' | 'THIRD'>(), writes('out', 'f32', outShape), STEP],
  grid: ({ constants, step }) => [Math.ceil(constants.N / WG), step.rows, 1],
  *cpu(launch) {
    const { N, SECOND, THIRD, OUT_STRIDE } = launch.constants;
    for (const row of launch.pick(launch.step.rows))
      for (const column of launch.pick(N, 64)) {
        const [matrix, first] = column >= THIRD ? [2, THIRD] : column >= SECOND ? [1, SECOND] : [0, 0];
        const at = row * OUT_STRIDE + column;
        const [before] = launch.floats('out', at, 1);
        const { value, scale } = added(launch, row, matrix, column - first);
        yield { binding: 'out', at, value: before! + value, scale: scale + Math.abs(before!) };
      }
  },
};

export const LORA_GATE: Kernel<LoraConstant | 'WIDTH' | 'PART' | 'X_STRIDE' | 'GELU'> = {
  name: 'lora_gate',
  folder: 'features',
  choices: [[{ WG }], [{ GELU: false }, { GELU: true }]],
  sizes: { ...SIZES, WIDTH: COUNT, PART: COUNT, X_STRIDE: COUNT },
  bindings: () => [
    reads('x', 'f32', ({ constants, step }) => [step.rows, constants.X_STRIDE]),
    ...bindings<'WIDTH' | 'PART' | 'X_STRIDE' | 'GELU'>(),
    writes('out', 'f32', outShape),
    STEP,
  ],
  grid: ({ constants: { WIDTH }, step }) => [Math.ceil((2 * Math.ceil(WIDTH / 2)) / WG), step.rows, 1],
  *cpu(launch) {
    const { WIDTH, PART, X_STRIDE, OUT_STRIDE, GELU } = launch.constants;
    const sum = (row: number, column: number, matrix: number, output: number): Sum => {
      const [before] = launch.floats('x', row * X_STRIDE + column, 1);
      const { value, scale } = added(launch, row, matrix, output);
      return { value: before! + value, scale: scale + Math.abs(before!) };
    };
    for (const row of launch.pick(launch.step.rows)) {
      for (const i of launch.pick(WIDTH, 64)) {
        const first = Math.floor((2 * i) / PART) * PART;
        const share = Math.min(PART, 2 * WIDTH - first) / 2;
        const at = first / 2 + i;
        const product = gated(sum(row, at, 0, i), sum(row, at + share, 1, i), GELU !== 0);
        yield { binding: 'out', at: row * OUT_STRIDE + i, ...product };
      }
      if (WIDTH % 2) yield { binding: 'out', at: row * OUT_STRIDE + WIDTH, value: 0, scale: 0 };
    }
  },
};

/** A's of all adapters of a projection's input as one matrix, and what is needed to add their B's. */
export interface LoraSite {
  /** Columns of each of its matrices. */
  matrices: readonly number[];
  /** Columns of A x. */
  rank: number;
  /** Vectors of four in `b`. */
  items: number;
  b: GPUBuffer;
  table: GPUBuffer;
}

/** What a launch of either kernel reads. */
export interface LoraCall {
  label: string;
  site: LoraSite;
  /** `(rows, stride(site.rank))` */
  t: GPUBuffer;
  /** The adapter of each sequence; 0 is none. */
  chosen: GPUBuffer;
  sequences: number;
  rows: GPUBuffer;
  step: GPUBuffer;
}

const common = ({ site, t, chosen, sequences, rows, step }: LoraCall, to: Activations) => ({
  constants: {
    WG,
    SEQUENCES: sequences,
    MATRICES: site.matrices.length,
    T_STRIDE4: stride(site.rank) / 4,
    OUT_STRIDE: stride(to.cols),
  },
  bind: { t, b: site.b, table: site.table, chosen, rows, out: to.buffer, step },
});

/** Adds B (A x) of each row's adapter to what a projection left. */
export function loraAdd(recorder: Recorder, call: LoraCall & { to: Activations }): void {
  const { constants, bind } = common(call, call.to);
  const [first = 0, second = 0] = call.site.matrices;
  const N = call.site.matrices.reduce((sum, columns) => sum + columns, 0);
  recorder.add({
    label: call.label,
    shader: { kernel: LORA_ADD, constants: { ...constants, N, SECOND: first, THIRD: first + (second || 1) } },
    bind,
    items: call.site.items,
  });
}

/** The same to sums of gate and up, and the product of both. */
export function loraGate(
  recorder: Recorder,
  call: LoraCall & {
    /** `(rows, stride(2 width))` */
    sums: Activations;
    /** Columns of a part of the weight; the last one may have fewer. */
    part: number;
    activation: Activation;
    to: Activations;
  },
): void {
  const { constants, bind } = common(call, call.to);
  recorder.add({
    label: call.label,
    shader: {
      kernel: LORA_GATE,
      constants: {
        ...constants,
        WIDTH: call.to.cols,
        PART: call.part,
        X_STRIDE: stride(call.sums.cols),
        GELU: call.activation === 'gelu',
      },
    },
    bind: { ...bind, x: call.sums.buffer },
    items: call.site.items,
  });
}
