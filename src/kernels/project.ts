// Launches shaders/matvec.wgsl or matmul.wgsl, and the norm before them.
import type { Gpu } from '../gpu/device.ts';
import type { ShaderConstant } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { MATMUL, MATVEC } from './matmul.ts';
import { MATVEC_LANES, matvecLaunches } from './matvec-lanes.ts';
import { norm } from './norm.ts';
import { type QkvPlace, qkvConstants } from './qkv.ts';
import { type Activations, COUNT, stride, type Weight, type WeightPart } from './tensor.ts';
import { rowsInclude, type Tuning, type Width } from './tuning.ts';
import { partConstants, spanConstants, weightInclude } from './weight-rows.ts';

/** What a gate goes through: silu, or gelu as computed with tanh. */
export type Activation = 'silu' | 'gelu';

/** Where a projection's sums go. */
export type Output =
  /** `(rows, stride(cols))`, added to what is there with `residual`. */
  | { kind: 'plain'; to: Activations; residual: boolean }
  /** `(rows, stride(weight.rows / 2))`: the first half, activated, times the second. */
  | { kind: 'swiglu'; to: Activations; activation: Activation }
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

const unitsOf = (part: WeightPart, cols: number) => ({
  imports: { WEIGHT: weightInclude(part.dtype) },
  constants: partConstants(part, cols),
});

/** Kernels for few rows: of GPUs, whose threads share rows; or of CPUs, whose threads have rows of their own. */
function fewRows(gpu: Gpu, tuning: Tuning, width: Width, part: WeightPart, cols: number) {
  const { workgroup, lanes } = tuning.matvec;
  if (lanes > 1) {
    const spans = spanConstants(part, cols);
    const most = width === 'few' ? tuning.wideFrom - 1 : COUNT[1];
    const [first, last] = { one: [1, 1], few: [2, most], many: [most, most] }[width] as [number, number];
    return matvecLaunches(gpu, part.rows, first, last).map(({ imports, constants }) => ({
      kernel: MATVEC_LANES,
      imports: { ...spans.imports, ...imports },
      constants: { ...spans.constants, ...constants },
    }));
  }
  const X = rowsInclude(gpu, lanes, width);
  const TOKENS = width === 'one' ? 1 : width === 'many' && X === 'x_subgroup' ? 8 : 4;
  const { imports, constants } = unitsOf(part, cols);
  return [
    {
      kernel: MATVEC,
      imports: { ...imports, X },
      constants: {
        ...constants,
        WG: workgroup,
        TOKENS,
        ROWS: part.rows >= MANY_ROWS ? 8 : 4,
      },
    },
  ];
}

/** Weight rows of which a thread that has rows of its own takes eight: of fewer there would be too few threads. */
const MANY_ROWS = 512;

function outputConstants(out: Output): Record<string, ShaderConstant> {
  if (out.kind === 'qkv') return qkvConstants(out);
  return {
    OUT_STRIDE: stride(out.to.cols),
    RESIDUAL: out.kind === 'plain' && out.residual,
    ...(out.kind === 'swiglu' && { GELU: out.activation === 'gelu' }),
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
  for (const part of weight.parts) {
    const launches = tiled
      ? [{ kernel: MATMUL, ...unitsOf(part, weight.cols) }]
      : fewRows(gpu, tuning, width, part, weight.cols);
    for (const { kernel, imports, constants } of launches)
      recorder.add({
        label: call.label,
        shader: {
          kernel,
          imports: {
            ...imports,
            OUT: `out_${out.kind}`,
            ...(out.kind === 'qkv' && { KV_WRITE: `kv_write_${out.kvDtype}` }),
          },
          constants: {
            ...constants,
            ...(!tiled && { NORM: fused !== undefined, EPS: fused?.eps ?? 0, K: weight.cols }),
            X_STRIDE4: padded / 4,
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
      });
  }
}
