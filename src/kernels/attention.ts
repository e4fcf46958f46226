// Launches shaders/attention_decode.wgsl, attention_reduce.wgsl, attention.wgsl and attention_tiled.wgsl.
import type { Kernel, ShaderConstant } from '../gpu/kernel.ts';
import type { Grid, Recorder, StepShape } from '../gpu/recorder.ts';
import { QKV_SIZES, type QkvPlace, qkvConstants } from './rope.ts';
import { type Activations, COUNT, stride } from './tensor.ts';
import type { Tuning, Width } from './tuning.ts';

export interface Attention {
  label: string;
  place: QkvPlace;
  /** `(rows, stride(heads * headDim))` f32. */
  out: Activations;
  /** Room for the parts of a split sequence: see `attentionPartsBytes`. */
  parts: GPUBuffer;
  width: Width;
  step: GPUBuffer;
}

/** Queries of a tile, and the largest head whose sums its threads hold in registers. */
const TILE = 32;
const TILED_HEAD = 128;

const KV_READS = [{ KV_READ: 'kv_read_f32' }, { KV_READ: 'kv_read_f16' }] as const;
const SIZES = {
  ...QKV_SIZES,
  Q_STRIDE4: COUNT,
  OUT_STRIDE4: COUNT,
  // A workgroup holds the scores of a split.
  SPLIT: [1, 256],
  SPLITS: COUNT,
} as const;

export const ATTENTION: Kernel = {
  name: 'attention',
  choices: [KV_READS, [{ WG: 4 }]],
  sizes: { ...SIZES, WIDE_FROM: COUNT },
};

export const ATTENTION_DECODE: Kernel = {
  name: 'attention_decode',
  choices: [KV_READS, [{ WG: 64 }]],
  sizes: SIZES,
};

export const ATTENTION_TILED: Kernel = {
  name: 'attention_tiled',
  choices: [KV_READS],
  sizes: { ...SIZES, HEAD_DIM: [4, TILED_HEAD] },
};

export const ATTENTION_REDUCE: Kernel = { name: 'attention_reduce', choices: [[{ WG: 64 }]], sizes: SIZES };

/** Splits of a full context, where attention splits it. */
const splitsOf = (tuning: Tuning, context: number): number => Math.ceil(context / tuning.split);

/** Bytes of the parts that `rows` rows leave. */
export function attentionPartsBytes(
  tuning: Tuning,
  shape: { heads: number; headDim: number },
  context: number,
  rows: number,
): number {
  return rows * shape.heads * splitsOf(tuning, context) * (shape.headDim + 4) * 4;
}

/** Causal grouped-query attention of the rows over their sequences' caches, and the adding up of splits where there are any. */
export function attention(tuning: Tuning, recorder: Recorder, call: Attention): void {
  const { place } = call;
  const { heads, kvHeads, headDim } = place.shape;
  const group = heads / kvHeads;
  const quads = kvHeads * Math.ceil(group / 4);
  const many = call.width === 'many';
  const tiled = many && tuning.wideAttention === 'tiled' && headDim <= TILED_HEAD;
  const cooperative = !many && tuning.attention === 'cooperative';
  const constants = {
    ...qkvConstants(place.shape, place.sequences, place.context),
    Q_STRIDE4: stride(heads * headDim) / 4,
    OUT_STRIDE4: stride(call.out.cols) / 4,
    SPLIT: tuning.split,
    SPLITS: splitsOf(tuning, place.context),
  };
  // Without barriers, a thread takes the whole sequence where there are rows enough.
  const whole = (step: StepShape): boolean => !cooperative && step.rows >= tuning.wideFrom;
  const used = (step: StepShape): number => (whole(step) ? 1 : Math.ceil(step.context / tuning.split));
  const launched = ((): {
    kernel: Kernel;
    constants?: Record<string, ShaderConstant>;
    grid: (step: StepShape) => Grid;
  } => {
    if (tiled)
      return { kernel: ATTENTION_TILED, grid: ({ rows }) => [Math.ceil((rows * group) / TILE), kvHeads, 1] };
    if (cooperative)
      return {
        kernel: ATTENTION_DECODE,
        constants: { WG: 64 },
        grid: (step) => [used(step), quads, step.rows],
      };
    const WG = 4;
    return {
      kernel: ATTENTION,
      constants: { WG, WIDE_FROM: tuning.wideFrom },
      grid: (step) =>
        whole(step) ? [Math.ceil(step.rows / WG), quads, 1] : [Math.ceil(used(step) / WG), quads, step.rows],
    };
  })();
  recorder.add({
    label: call.label,
    shader: {
      kernel: launched.kernel,
      imports: { KV_READ: `kv_read_${place.kvDtype}` },
      constants: { ...constants, ...launched.constants },
    },
    bind: {
      q: place.q,
      kv: place.kv,
      rows: place.rows,
      out: call.out.buffer,
      parts: call.parts,
      step: call.step,
    },
    grid: launched.grid,
  });
  if (many || constants.SPLITS === 1) return;
  recorder.add({
    label: `${call.label} reduce`,
    shader: { kernel: ATTENTION_REDUCE, constants: { ...constants, WG: 64 } },
    bind: { rows: place.rows, out: call.out.buffer, parts: call.parts, step: call.step },
    grid: (step) => (used(step) > 1 ? [Math.ceil((heads * headDim) / 4 / 64), step.rows, 1] : undefined),
  });
}
