// Launches shaders/attention.wgsl, attention_decode.wgsl and attention_reduce.wgsl.
import type { Recorder, StepShape } from '../gpu/recorder.ts';
import { type QkvPlace, qkvConstants } from './rope.ts';
import { type Activations, stride } from './tensor.ts';
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

/** Splits of a full context; attention of many rows does not split. */
export const splitsOf = (tuning: Tuning, context: number, wide: boolean): number =>
  wide ? 1 : Math.ceil(context / tuning.split);

/** Bytes of the parts that `rows` rows leave. */
export function attentionPartsBytes(
  tuning: Tuning,
  shape: { heads: number; headDim: number },
  context: number,
  rows: number,
): number {
  return rows * shape.heads * splitsOf(tuning, context, false) * (shape.headDim + 4) * 4;
}

/** Causal grouped-query attention of the rows over their sequences' caches, and the adding up of splits where there are any. */
export function attention(tuning: Tuning, recorder: Recorder, call: Attention): void {
  const { place } = call;
  const wide = call.width === 'many';
  const { heads, kvHeads } = place.shape;
  const quads = kvHeads * Math.ceil(heads / kvHeads / 4);
  const splits = splitsOf(tuning, place.context, wide);
  const cooperative = !wide && tuning.attention === 'cooperative';
  const split = wide ? place.context : tuning.split;
  const workgroup = cooperative ? 64 : wide ? 1 : 4;
  const constants = {
    ...qkvConstants(place.shape, place.sequences, place.context),
    Q_STRIDE4: stride(heads * place.shape.headDim) / 4,
    OUT_STRIDE4: stride(call.out.cols) / 4,
    SPLIT: split,
    SPLITS: splits,
  };
  const used = (step: StepShape): number => Math.ceil(step.context / split);
  recorder.add({
    label: call.label,
    shader: {
      name: cooperative ? 'attention_decode' : 'attention',
      imports: { KV_READ: `kv_read_${place.kvDtype}` },
      constants: { ...constants, WG: workgroup },
    },
    bind: {
      q: place.q,
      kv: place.kv,
      rows: place.rows,
      out: call.out.buffer,
      parts: call.parts,
      step: call.step,
    },
    grid: (step) => [cooperative ? used(step) : Math.ceil(used(step) / workgroup), quads, step.rows],
  });
  if (splits === 1) return;
  recorder.add({
    label: `${call.label} reduce`,
    shader: { name: 'attention_reduce', constants: { ...constants, WG: 64 } },
    bind: { rows: place.rows, out: call.out.buffer, parts: call.parts, step: call.step },
    grid: (step) =>
      used(step) > 1 ? [Math.ceil((heads * place.shape.headDim) / 4 / 64), step.rows, 1] : undefined,
  });
}
