// Launches shaders/plain/matvec.wgsl or matmul.wgsl, and the norm before them.
import type { Gpu } from '../gpu/device.ts';
import type { Kernel, ShaderConstant } from '../gpu/kernel.ts';
import type { Recorder, StepShape } from '../gpu/recorder.ts';
import { MATMUL, MATVEC } from './matmul.ts';
import { MATVEC_LANES, matvecTiles } from './matvec-lanes.ts';
import { norm, rowsOf } from './norm.ts';
import { type QkvPlace, qkvConstants } from './qkv.ts';
import { type Activations, gainSize, stride, type Weight, type WeightPart } from './tensor.ts';
import { tileAsked, tilesFor, tileTypes } from './tiles.ts';
import { isTiled, rowsInclude, type Tuning, type Width } from './tuning.ts';
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
  /** Rows of x that it is made for, and how many at most. */
  width: Width;
  most: number;
  /** x is known to be within what f16 holds. */
  half?: boolean;
  step: GPUBuffer;
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

/** A way to make a part: the kernel, what it is told, and for which steps. */
interface Way {
  kernel: Kernel;
  imports: Record<string, string>;
  constants: Record<string, ShaderConstant>;
  when?: (step: StepShape) => boolean;
}

const inUnits = (
  part: WeightPart,
  { weight: { cols } }: Projection,
  { imports, constants }: Pick<Way, 'imports' | 'constants'>,
): Pick<Way, 'imports' | 'constants'> => ({
  imports: { WEIGHT: weightInclude(part.dtype), ...imports },
  constants: { ...partConstants(part, cols), ...constants },
});

/** The tiles of a part, of which each step has one. Of a batch, 16 rows are a tile. */
function tiled(gpu: Gpu, part: WeightPart, call: Projection): Way[] {
  const { width, most, norm, half = false, head = false, weight } = call;
  // What was normed with a gain of which the largest is known is within f16; logits are as exact as they can be.
  const normed = norm !== undefined && weight.hasGain;
  const x = head ? 'any' : normed ? 'ranged' : half ? 'half' : 'any';
  const types = tileTypes(weightInclude(part.dtype), gpu.features.f16, x);
  const least = width === 'batch' ? 16 : 32;
  return tilesFor(gpu, types, { outputs: part.rows, most, least }).map(({ shape, takes }) => ({
    kernel: MATMUL,
    ...inUnits(part, call, tileAsked(shape, types)),
    when: (step) => takes(rowsOf(step, head ? 1 : 0)),
  }));
}

/** Few rows on a GPU, whose threads share weight rows. */
function byLanes(gpu: Gpu, part: WeightPart, { width, head = false, weight }: Projection): Way[] {
  const spans = spanConstants(part, weight.cols);
  return matvecTiles(gpu, part.rows, width).map(({ imports, constants, takes }) => ({
    kernel: MATVEC_LANES,
    imports: { ...spans.imports, ...imports },
    constants: { ...spans.constants, ...constants },
    when: (step) => takes(rowsOf(step, head ? 1 : 0)),
  }));
}

/** Few rows on a CPU that plays GPU, whose threads have weight rows of their own. */
function byThreads(gpu: Gpu, tuning: Tuning, part: WeightPart, call: Projection): Way[] {
  const { width } = call;
  const X = rowsInclude(gpu, width);
  const TOKENS = width === 'one' ? 1 : width === 'many' && X === 'plain/x_subgroup' ? 8 : 4;
  const constants = { WG: tuning.matvec.workgroup, TOKENS, ROWS: part.rows >= MANY_ROWS ? 8 : 4 };
  return [{ kernel: MATVEC, ...inUnits(part, call, { imports: { X }, constants }) }];
}

/** `out = x W^T + b` in one launch a part of the weight, the norm before and what follows fused. */
export function project(gpu: Gpu, tuning: Tuning, recorder: Recorder, call: Projection): void {
  const { weight, out, width, head = false } = call;
  const inTiles = isTiled(width, tuning);
  let { x, norm: fused } = call;
  // Few rows are bound by their weights, and normalise on the way; of many rows, each four weight rows would do so anew.
  if (fused && (inTiles || width === 'many')) {
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
  const ways = (part: WeightPart): Way[] =>
    inTiles
      ? tiled(gpu, part, call)
      : tuning.matvec.lanes > 1
        ? byLanes(gpu, part, call)
        : byThreads(gpu, tuning, part, call);
  for (const part of weight.parts)
    for (const { kernel, imports, constants, when } of ways(part))
      recorder.add({
        label: call.label,
        shader: {
          kernel,
          imports: {
            OUT: `out_${out.kind}`,
            ...imports,
            ...(out.kind === 'qkv' && { KV_WRITE: `kv_write_${out.kvDtype}` }),
          },
          constants: {
            ...constants,
            ...(!inTiles && { NORM: fused !== undefined, EPS: fused?.eps ?? 0, K: weight.cols }),
            X_STRIDE4: padded / 4,
            // The halves of a swiglu part are output rows of their own.
            ROW0: out.kind === 'swiglu' ? part.row0 / 2 : part.row0,
            BIAS: weight.hasBias,
            BIAS_AT: weight.hasGain ? gainSize(weight.cols) : 0,
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
        when,
      });
}
