// shaders/rope.wgsl
import type { Gpu } from '../gpu/device.ts';
import { type Kernel, reads, STEP } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { rmsScale } from './norm.ts';
import {
  KV_WRITES,
  pickHeads,
  placed,
  QKV_SIZES,
  type QkvConstant,
  type QkvPlace,
  qkvBindings,
  qkvConstants,
  type Sum,
} from './qkv.ts';
import { type Activations, COUNT, SMALL, stride } from './tensor.ts';
import { REDUCTIONS, reduceInclude, type Tuning } from './tuning.ts';

export type { HeadShape, QkvPlace } from './qkv.ts';

export const ROPE: Kernel<
  QkvConstant | 'WG' | 'LANES' | 'X_STRIDE' | 'EPS' | 'NORM' | 'NORM_GAIN' | 'WHOLE'
> = {
  name: 'rope',
  choices: [
    REDUCTIONS,
    KV_WRITES,
    [
      { NORM: false, NORM_GAIN: false, WHOLE: false },
      { NORM: true, NORM_GAIN: false, WHOLE: false },
      { NORM: true, NORM_GAIN: true, WHOLE: false },
      { NORM: true, NORM_GAIN: true, WHOLE: true },
    ],
  ],
  sizes: { ...QKV_SIZES, X_STRIDE: COUNT, EPS: SMALL },
  bindings: (asked) => [
    // q's heads, k's, v's
    reads('x', 'vec2f', ({ constants, step }) => [step.rows, constants.X_STRIDE]),
    // gains of q, then of k: of a head, or of all heads
    reads('vectors', 'vec2f', ({ constants: { WHOLE, HEADS, KV_HEADS, HEAD_DIM } }) => [
      WHOLE ? HEADS + KV_HEADS : 2,
      HEAD_DIM,
    ]),
    ...qkvBindings(asked),
    STEP,
  ],
  grid({ constants: { HEADS, KV_HEADS, LANES, WG }, step }) {
    return [Math.ceil((step.rows * (HEADS + 2 * KV_HEADS) * LANES) / WG), 1, 1];
  },
  *cpu(launch) {
    const { HEADS, KV_HEADS, HEAD_DIM, X_STRIDE, EPS, NORM, NORM_GAIN, WHOLE } = launch.constants;
    for (const row of launch.pick(launch.step.rows))
      for (const head of pickHeads(launch, 0, HEADS + 2 * KV_HEADS)) {
        const x = launch.floats('x', row * X_STRIDE + head * HEAD_DIM, HEAD_DIM);
        const normed = NORM && head < HEADS + KV_HEADS;
        const [first, heads] = !WHOLE ? [head, 1] : head < HEADS ? [0, HEADS] : [HEADS, KV_HEADS];
        const together = heads * HEAD_DIM;
        const by = normed
          ? rmsScale(launch.floats('x', row * X_STRIDE + first * HEAD_DIM, together), together, EPS)
          : 1;
        const own = WHOLE ? head : head < HEADS ? 0 : 1;
        const gain = normed && NORM_GAIN ? launch.floats('vectors', own * HEAD_DIM, HEAD_DIM) : undefined;
        const sum = (i: number): Sum => {
          const value = x[i]! * by * (gain ? gain[i]! : 1);
          return { value, scale: Math.abs(value) };
        };
        for (const j of launch.pick(HEAD_DIM / 2))
          yield* placed(launch, row, head, j, sum(j), sum(j + HEAD_DIM / 2));
      }
  },
};

/** Norm of q's and k's heads, RoPE, and writing q, k and v: `qkv (rows, stride(heads + 2 kvHeads) * headDim)`. */
export function normAndRope(
  gpu: Gpu,
  tuning: Tuning,
  recorder: Recorder,
  call: {
    label: string;
    qkv: Activations;
    /** Whether there is a norm at all. */
    norm: boolean;
    /** Gains of q `(headDim)` and k `(headDim)`; undefined: a norm without weights. */
    gains: GPUBuffer | undefined;
    /** The heads of q are normalised as one vector, and those of k; then so are the gains. */
    whole: boolean;
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
        NORM: call.norm,
        NORM_GAIN: call.gains !== undefined,
        WHOLE: call.whole,
        ...qkvConstants(place),
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
  });
}
