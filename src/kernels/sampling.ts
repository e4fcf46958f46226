// shaders/plain/sample.wgsl and adjust.wgsl, of which a workgroup goes over a row; and the choice between them and the kernels that
// take slices.
import { type Kernel, STEP } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { drawOfSlices } from './draw.ts';
import { drawn } from './kept.ts';
import {
  type AdjustConstant,
  type Adjustments,
  adjustConstants,
  adjustedBind,
  adjustedBindings,
  adjustedTokens,
  logitsBinding,
  NEXT,
  rowGrid,
  SAMPLERS,
  type SamplingTarget,
  samplerAt,
  taken,
  VOCABULARY_SIZES,
  type VocabularyConstant,
  vocabConstants,
} from './logits.ts';
import { inSlices, ROW_THREADS, slices } from './slices.ts';
import { type Activations, COUNT } from './tensor.ts';
import type { Tuning } from './tuning.ts';

export const SAMPLE: Kernel<VocabularyConstant> = {
  name: 'sample',
  folder: 'plain',
  choices: [ROW_THREADS],
  sizes: VOCABULARY_SIZES,
  bindings: () => [logitsBinding(), SAMPLERS, ...NEXT],
  grid: rowGrid,
  *cpu({ constants: { STRIDE4, VOCAB, WG }, step, floats, words, pick }) {
    for (const row of pick(step.count)) {
      const to = step.next + row;
      const [, , position = 0, reply = 0] = words('next_rows', 4 * to, 4);
      const sampler = samplerAt({ words }, to);
      const logits = floats('logits', row * 4 * STRIDE4, VOCAB);
      yield* taken(to, drawn(logits, sampler, { threads: WG, position, reply }), position);
    }
  },
};

export const ADJUST: Kernel<VocabularyConstant | AdjustConstant> = {
  name: 'adjust',
  folder: 'plain',
  choices: [
    ROW_THREADS,
    [{ HAS_BIAS: false }, { HAS_BIAS: true }],
    [{ HAS_MASK: false }, { HAS_MASK: true }],
  ],
  sizes: { ...VOCABULARY_SIZES, MASK_WORDS: COUNT },
  bindings: () => [logitsBinding(), ...adjustedBindings(), STEP],
  grid: ({ constants: { VOCAB, WG }, step }) => [Math.min(64, Math.ceil(VOCAB / WG)), step.count, 1],
  *cpu(launch) {
    const { constants, step, pick } = launch;
    for (const row of pick(step.count)) yield* adjustedTokens(launch, row, pick(constants.VOCAB));
  },
};

/** Draws a token of each row by its sequence's sampler. */
export function sample(
  tuning: Tuning,
  recorder: Recorder,
  call: SamplingTarget & { samplers: GPUBuffer },
): void {
  const { logits, next, sampled, samplers, step } = call;
  if (inSlices(tuning, logits)) {
    drawOfSlices(recorder, call);
    return;
  }
  recorder.add({
    label: 'sample',
    shader: { kernel: SAMPLE, constants: { ...ROW_THREADS[0], ...vocabConstants(logits) } },
    bind: { logits: logits.buffer, next_rows: next, sampled, samplers, step },
  });
}

/** Penalties, bias and mask: `adjusted (rows, stride(vocab))` from the model's own logits, which stay. */
export function adjust(
  tuning: Tuning,
  recorder: Recorder,
  call: Omit<SamplingTarget, 'sampled' | 'adjusted'> &
    Adjustments & { samplers: GPUBuffer; adjusted: Activations },
): void {
  const { logits, next, samplers, adjusted, step } = call;
  if (inSlices(tuning, logits)) {
    slices(recorder, call, { adjust: call });
    return;
  }
  recorder.add({
    label: 'adjust',
    shader: {
      kernel: ADJUST,
      constants: { ...ROW_THREADS[0], ...vocabConstants(logits), ...adjustConstants(call, logits) },
    },
    bind: { logits: logits.buffer, ...adjustedBind(call, samplers, next, adjusted), step },
  });
}
