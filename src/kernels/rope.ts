// Launches shaders/rope.wgsl; its placing of q, k and v is shared with the projections.
import type { Gpu } from '../gpu/device.ts';
import type { Kernel, Range, ShaderConstant } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type Activations, COUNT, HEAD, SMALL, stride } from './tensor.ts';
import { REDUCTIONS, reduceInclude, type Tuning } from './tuning.ts';

/** Constants of `qkvConstants`. */
export const QKV_SIZES = {
  HEADS: COUNT,
  KV_HEADS: COUNT,
  HEAD_DIM: HEAD,
  SEQUENCES: [1, 256],
  CONTEXT: COUNT,
  Q_STRIDE: COUNT,
} as const satisfies Record<string, Range>;

export const KV_WRITES = [{ KV_WRITE: 'kv_write_f32' }, { KV_WRITE: 'kv_write_f16' }] as const;

export const ROPE: Kernel = {
  name: 'rope',
  choices: [REDUCTIONS, KV_WRITES, [{ NORM_GAIN: false }, { NORM_GAIN: true }]],
  sizes: { ...QKV_SIZES, X_STRIDE: COUNT, EPS: SMALL },
};

export interface HeadShape {
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** Where q, k and v of each row go. */
export interface QkvPlace {
  shape: HeadShape;
  /** `(rows, stride(heads * headDim))` f32. */
  q: GPUBuffer;
  /** A block's cache, in the layout of shaders/shared/kv_layout.wgsl. */
  kv: GPUBuffer;
  kvDtype: 'f32' | 'f16';
  sequences: number;
  /** Positions of the cache. */
  context: number;
  /** `(context, headDim / 2)`: cos and sin. */
  rope: GPUBuffer;
  rows: GPUBuffer;
}

export function qkvConstants(
  shape: HeadShape,
  sequences: number,
  context: number,
): Record<string, ShaderConstant> {
  return {
    HEADS: shape.heads,
    KV_HEADS: shape.kvHeads,
    HEAD_DIM: shape.headDim,
    SEQUENCES: sequences,
    CONTEXT: context,
    Q_STRIDE: stride(shape.heads * shape.headDim),
  };
}

/** Norm of q's and k's heads, RoPE, and writing q, k and v: `qkv (rows, stride(heads + 2 kvHeads) * headDim)`. */
export function normAndRope(
  gpu: Gpu,
  tuning: Tuning,
  recorder: Recorder,
  call: {
    label: string;
    qkv: Activations;
    /** Gains of q `(headDim)` and k `(headDim)`; undefined: a norm without weights. */
    gains: GPUBuffer | undefined;
    eps: number;
    place: QkvPlace;
    step: GPUBuffer;
  },
): void {
  const { place, qkv } = call;
  const { workgroup, lanes } = tuning.matvec;
  recorder.add({
    label: call.label,
    shader: {
      kernel: ROPE,
      imports: { REDUCE: reduceInclude(gpu, lanes), KV_WRITE: `kv_write_${place.kvDtype}` },
      constants: {
        WG: workgroup,
        LANES: lanes,
        X_STRIDE: stride(qkv.cols),
        EPS: call.eps,
        NORM_GAIN: call.gains !== undefined,
        ...qkvConstants(place.shape, place.sequences, place.context),
      },
    },
    bind: {
      x: qkv.buffer,
      vectors: call.gains ?? qkv.buffer,
      q: place.q,
      kv: place.kv,
      rope: place.rope,
      rows: place.rows,
      step: call.step,
    },
    grid: (step) => {
      const items = step.rows * (place.shape.heads + 2 * place.shape.kvHeads);
      return [Math.ceil((items * lanes) / workgroup), 1, 1];
    },
  });
}
