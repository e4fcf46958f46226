// Launches shaders/matvec.wgsl, shaders/matmul.wgsl and shaders/norm.wgsl.
import type { Gpu } from '../gpu/device.ts';
import type { ShaderConstant } from '../gpu/kernel.ts';
import { combine, type Fixed, type Kernel } from '../gpu/kernel.ts';
import { type Recorder, type StepShape, spread } from '../gpu/recorder.ts';
import { FORMATS } from '../quant/index.ts';
import { KV_WRITES, QKV_SIZES, type QkvPlace, qkvConstants } from './rope.ts';
import { type Activations, COUNT, PLACE, SMALL, stride, type Weight, type WeightDtype } from './tensor.ts';
import { REDUCTIONS, reduceInclude, rowsInclude, type Tuning, type Width } from './tuning.ts';

export const WEIGHTS: readonly Fixed[] = Object.values(FORMATS).map(({ reader, unit }) => ({
  WEIGHT: reader,
  UNIT: unit,
}));

/** Where sums go: q, k and v; gate and up; values that others read; what is added to the hidden states. */
const QKV = combine([{ OUT: 'out_qkv' }], KV_WRITES);
const GATED: Fixed = { OUT: 'out_swiglu', RESIDUAL: false };
const PLAIN: Fixed = { OUT: 'out_plain', RESIDUAL: false };
const ADDED: Fixed = { OUT: 'out_plain', RESIDUAL: true };

const inBlocks = (outputs: readonly Fixed[]): Fixed[] =>
  combine(outputs, [
    { BIAS: false, HEAD: false },
    { BIAS: true, HEAD: false },
  ]);
const LOGITS: Fixed = { ...PLAIN, BIAS: false, HEAD: true };

/** Projections of many rows, whose norm is a launch of its own; and of few, which normalise on the way. */
const OF_MANY = [...inBlocks([...QKV, GATED, PLAIN, ADDED]), LOGITS];
const OF_FEW = [
  ...combine([...inBlocks([...QKV, GATED, PLAIN]), LOGITS], [{ NORM: true }]),
  ...combine(inBlocks([PLAIN, ADDED]), [{ NORM: false }]),
];

const PROJECTION_SIZES = {
  ...QKV_SIZES,
  UNITS: COUNT,
  X_STRIDE4: COUNT,
  N: COUNT,
  ROW0: PLACE,
  BIAS_AT: PLACE,
  OUT_STRIDE: COUNT,
} as const;

/** Weight rows that the threads of a lane shape take: eight only where a thread has rows of its own. */
const shapes = (ways: { alone: Fixed[]; together: Fixed[] }): Fixed[] =>
  REDUCTIONS.flatMap((lanes) =>
    lanes.LANES === 1
      ? combine([lanes], [{ ROWS: 4 }, { ROWS: 8 }], ways.alone)
      : combine([lanes], [{ ROWS: 4 }], ways.together),
  );
const own = (TOKENS: number): Fixed => ({ X: 'x_own', TOKENS });
const told = (TOKENS: number): Fixed => ({ X: 'x_subgroup', TOKENS });

export const MATVEC: Kernel = {
  name: 'matvec',
  choices: [
    WEIGHTS,
    [
      ...combine(shapes({ alone: [own(1), own(4), told(4)], together: [own(1), own(4)] }), OF_FEW),
      ...combine(shapes({ alone: [own(4), told(8)], together: [own(4)] }), OF_MANY, [{ NORM: false }]),
    ],
  ],
  sizes: { ...PROJECTION_SIZES, K: COUNT, EPS: SMALL },
};

export const MATMUL: Kernel = { name: 'matmul', choices: [WEIGHTS, OF_MANY], sizes: PROJECTION_SIZES };

export const NORM: Kernel = {
  name: 'norm',
  choices: [
    REDUCTIONS,
    [
      { HEAD: false, NORM_GAIN: true },
      { HEAD: true, NORM_GAIN: true },
      { HEAD: false, NORM_GAIN: false },
    ],
  ],
  sizes: { K: COUNT, X_STRIDE4: COUNT, EPS: SMALL },
};

/** Where a projection's sums go. */
export type Output =
  /** `(rows, stride(cols))`, added to what is there with `residual`. */
  | { kind: 'plain'; to: Activations; residual: boolean }
  /** `(rows, stride(weight.rows / 2))`: silu of the first half times the second. */
  | { kind: 'swiglu'; to: Activations }
  /** q to its buffer, k and v to the cache, rotated. */
  | ({ kind: 'qkv' } & QkvPlace);

export interface Projection {
  label: string;
  x: Activations;
  weight: Weight;
  out: Output;
  /** RMS-normalise x first, with the weight's gain; `normed` has room for the rows of x. */
  norm?: { eps: number; normed: GPUBuffer } | undefined;
  /** Only the rows whose logits are wanted. */
  head?: boolean;
  /** Rows of x that it is made for. */
  width: Width;
  step: GPUBuffer;
}

/** Weight rows of which a thread that has rows of its own takes eight: of fewer there would be too few threads. */
const MANY_ROWS = 512;

/** The include that reads weights of a dtype. */
export const weightInclude = (dtype: WeightDtype): string => FORMATS[dtype].reader;

/** What a kernel needs to read weights `(rows, cols)` of a dtype: values of one load along K, and loads of a row. */
export function unitConstants(dtype: WeightDtype, cols: number): { UNIT: number; UNITS: number } {
  const { unit } = FORMATS[dtype];
  return { UNIT: unit, UNITS: stride(cols) / unit };
}

const rowsOf = (step: StepShape, head: boolean): number => (head ? step.count : step.rows);

/** RMSNorm of the rows of x: `out (rows, stride(cols))`. */
export function norm(
  gpu: Gpu,
  tuning: Tuning,
  recorder: Recorder,
  call: {
    label: string;
    x: Activations;
    /** The gain; without it the norm has none. */
    vectors?: GPUBuffer;
    out: GPUBuffer;
    eps: number;
    head: boolean;
    step: GPUBuffer;
  },
): void {
  const { x, head } = call;
  const { workgroup, lanes } = tuning.matvec;
  recorder.add({
    label: call.label,
    shader: {
      kernel: NORM,
      imports: { REDUCE: reduceInclude(gpu, lanes) },
      constants: {
        WG: workgroup,
        LANES: lanes,
        K: x.cols,
        X_STRIDE4: stride(x.cols) / 4,
        EPS: call.eps,
        HEAD: head,
        NORM_GAIN: call.vectors !== undefined,
      },
    },
    bind: { x: x.buffer, vectors: call.vectors ?? x.buffer, out: call.out, step: call.step },
    grid: (step) => [Math.ceil((rowsOf(step, head) * lanes) / workgroup), 1, 1],
  });
}

function outputConstants(out: Output): Record<string, ShaderConstant> {
  if (out.kind === 'qkv') return qkvConstants(out.shape, out.sequences, out.context);
  return {
    OUT_STRIDE: stride(out.to.cols),
    RESIDUAL: out.kind === 'plain' && out.residual,
  };
}

const outputBindings = (out: Output): Record<string, GPUBuffer> =>
  out.kind === 'qkv' ? { q: out.q, kv: out.kv, rope: out.rope, rows: out.rows } : { out: out.to.buffer };

/** `out = x W^T + b` in one launch a part of the weight, the norm before and what follows fused. */
export function project(gpu: Gpu, tuning: Tuning, recorder: Recorder, call: Projection): void {
  const { weight, out, width, head = false } = call;
  const tiled = width === 'many' && tuning.wide === 'tiled';
  let { x, norm: fused } = call;
  // Few rows are bound by their weights, and normalise on the way; of many rows, each four weight rows would do so anew.
  if (fused && width === 'many') {
    const { eps, normed } = fused;
    norm(gpu, tuning, recorder, {
      label: `${call.label} norm`,
      x,
      vectors: weight.parts[0]!.vectors!,
      out: normed,
      eps,
      head,
      step: call.step,
    });
    x = { buffer: normed, cols: x.cols };
    fused = undefined;
  }
  const padded = stride(weight.cols);
  const { workgroup, lanes } = tuning.matvec;
  const rows = rowsInclude(gpu, lanes, width);
  const tokens = tiled ? 64 : width === 'one' ? 1 : width === 'many' && rows === 'x_subgroup' ? 8 : 4;
  for (const part of weight.parts) {
    const shared = lanes === 1 && part.rows >= MANY_ROWS ? 8 : 4;
    const virtual = out.kind === 'swiglu' ? 4 * Math.ceil(part.rows / 4) : part.rows;
    recorder.add({
      label: call.label,
      shader: {
        kernel: tiled ? MATMUL : MATVEC,
        imports: {
          WEIGHT: weightInclude(weight.dtype),
          OUT: `out_${out.kind}`,
          ...(!tiled && { REDUCE: reduceInclude(gpu, lanes), X: rows }),
          ...(out.kind === 'qkv' && { KV_WRITE: `kv_write_${out.kvDtype}` }),
        },
        constants: {
          ...(!tiled && {
            WG: workgroup,
            LANES: lanes,
            TOKENS: tokens,
            ROWS: shared,
            NORM: fused !== undefined,
            EPS: fused?.eps ?? 0,
            K: weight.cols,
          }),
          ...unitConstants(weight.dtype, weight.cols),
          X_STRIDE4: padded / 4,
          N: part.rows,
          // The halves of a swiglu part are output rows of their own.
          ROW0: out.kind === 'swiglu' ? part.row0 / 2 : part.row0,
          BIAS: weight.hasBias,
          BIAS_AT: weight.hasGain ? padded : 0,
          HEAD: head,
          ...outputConstants(out),
        },
      },
      bind: {
        x: x.buffer,
        weight: part.codes,
        scales: part.scales,
        vectors: part.vectors ?? part.codes,
        step: call.step,
        ...outputBindings(out),
      },
      grid: (step) => {
        const across = tiled
          ? Math.ceil(virtual / 64)
          : Math.ceil((Math.ceil(virtual / shared) * lanes) / workgroup);
        // Rows of x first: workgroups that run at the same time share weights, which are the larger of the two.
        return [Math.ceil(rowsOf(step, head) / tokens), ...spread(across, gpu.limits.workgroups)];
      },
    });
  }
}
