// shaders/rope.wgsl
import type { Gpu } from '../gpu/device.ts';
import {
  type Binding,
  type Fixed,
  type Kernel,
  reads,
  type ShaderConstant,
  STEP,
  type TwinLaunch,
} from '../gpu/kernel.ts';
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

export type NormConstant = 'X_STRIDE' | 'EPS' | 'NORM' | 'NORM_GAIN' | 'WHOLE';

/** What norms of q and k there are. */
export const NORMS: readonly Fixed[] = [
  { NORM: false, NORM_GAIN: false, WHOLE: false },
  { NORM: true, NORM_GAIN: false, WHOLE: false },
  { NORM: true, NORM_GAIN: true, WHOLE: false },
  { NORM: true, NORM_GAIN: true, WHOLE: true },
];

/** q's heads, k's and v's, and gains of q, then of k: of a head, or of all heads. */
export const unplaced = (element: string): Binding<QkvConstant | NormConstant>[] => [
  reads('x', element, ({ constants, step }) => [step.rows, constants.X_STRIDE]),
  reads('vectors', element, ({ constants: { WHOLE, HEADS, KV_HEADS, HEAD_DIM } }) => [
    WHOLE ? HEADS + KV_HEADS : 2,
    HEAD_DIM,
  ]),
];

export const ROPE: Kernel<QkvConstant | NormConstant | 'WG' | 'LANES'> = {
  name: 'rope',
  choices: [REDUCTIONS, KV_WRITES, NORMS],
  sizes: { ...QKV_SIZES, X_STRIDE: COUNT, EPS: SMALL },
  bindings: (asked) => [...unplaced('vec2f'), ...qkvBindings(asked), STEP],
  grid({ constants: { HEADS, KV_HEADS, LANES, WG }, step }) {
    return [Math.ceil((step.rows * (HEADS + 2 * KV_HEADS) * LANES) / WG), 1, 1];
  },
  *cpu(launch) {
    const { HEADS, KV_HEADS, HEAD_DIM } = launch.constants;
    for (const row of launch.pick(launch.step.rows))
      for (const head of pickHeads(launch, 0, HEADS + 2 * KV_HEADS)) {
        const sum = normedHead(launch, row, head);
        for (const j of launch.pick(HEAD_DIM / 2))
          yield* placed(launch, row, head, j, sum(j), sum(j + HEAD_DIM / 2));
      }
  },
};

/** Numbers of one of q's, k's and v's heads, normalised where that is asked for. */
export function normedHead(
  { constants, floats }: TwinLaunch<QkvConstant | NormConstant>,
  row: number,
  head: number,
): (i: number) => Sum {
  const { HEADS, KV_HEADS, HEAD_DIM, X_STRIDE, EPS, NORM, NORM_GAIN, WHOLE } = constants;
  const x = floats('x', row * X_STRIDE + head * HEAD_DIM, HEAD_DIM);
  const normed = NORM && head < HEADS + KV_HEADS;
  const [first, heads] = !WHOLE ? [head, 1] : head < HEADS ? [0, HEADS] : [HEADS, KV_HEADS];
  const together = heads * HEAD_DIM;
  const by = normed ? rmsScale(floats('x', row * X_STRIDE + first * HEAD_DIM, together), together, EPS) : 1;
  const own = WHOLE ? head : head < HEADS ? 0 : 1;
  const gain = normed && NORM_GAIN ? floats('vectors', own * HEAD_DIM, HEAD_DIM) : undefined;
  return (i) => {
    const value = x[i]! * by * (gain ? gain[i]! : 1);
    return { value, scale: Math.abs(value) };
  };
}

/** q, k and v as a projection leaves them. */
export interface Unplaced {
  /** `(rows, stride((heads + 2 kvHeads) * headDim))`. */
  qkv: Activations;
  /** Whether there is a norm at all. */
  norm: boolean;
  /** Gains of q `(headDim)` and k `(headDim)`; undefined: a norm without weights. */
  gains: GPUBuffer | undefined;
  /** The heads of q are normalised as one vector, and those of k; then so are the gains. */
  whole: boolean;
  eps: number;
}

export const normConstants = ({
  qkv,
  norm,
  gains,
  whole,
  eps,
}: Unplaced): Record<NormConstant, ShaderConstant> => ({
  X_STRIDE: stride(qkv.cols),
  EPS: eps,
  NORM: norm,
  NORM_GAIN: gains !== undefined,
  WHOLE: whole,
});

export const unplacedBuffers = ({ qkv, gains }: Unplaced): Record<'x' | 'vectors', GPUBuffer> => ({
  x: qkv.buffer,
  vectors: gains ?? qkv.buffer,
});

/** Norm of q's and k's heads, RoPE, and writing q, k and v. */
export function normAndRope(
  gpu: Gpu,
  tuning: Tuning,
  recorder: Recorder,
  call: { label: string; own: Unplaced; place: QkvPlace; step: GPUBuffer },
): void {
  const { place, own } = call;
  const { workgroup, lanes } = tuning.matvec;
  recorder.add({
    label: call.label,
    shader: {
      kernel: ROPE,
      imports: { REDUCE: reduceInclude(gpu, lanes), KV_WRITE: `kv_write_${place.kvDtype}` },
      constants: {
        WG: workgroup,
        LANES: lanes,
        ...normConstants(own),
        ...qkvConstants(place),
      },
    },
    bind: {
      ...unplacedBuffers(own),
      q: place.q,
      kv: place.kv,
      rope: place.rope,
      rows: place.rows,
      step: call.step,
    },
  });
}
