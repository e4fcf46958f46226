// shaders/plain/argmax.wgsl; what greedy decoding does without is in sampling.ts.
import type { Kernel } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import {
  logitsBinding,
  NEXT,
  rowGrid,
  SAMPLER_BYTES,
  type SamplingTarget,
  taken,
  VOCABULARY_SIZES,
  type VocabularyConstant,
  vocabConstants,
} from './logits.ts';
import { bestOf } from './math.ts';
import { argmaxOfSlices, inSlices, ROW_THREADS } from './slices.ts';
import type { Tuning } from './tuning.ts';

export const ARGMAX: Kernel<VocabularyConstant> = {
  name: 'argmax',
  folder: 'plain',
  choices: [ROW_THREADS],
  sizes: VOCABULARY_SIZES,
  bindings: () => [logitsBinding('vec4f'), ...NEXT],
  grid: rowGrid,
  *cpu({ constants: { STRIDE4, VOCAB }, step, floats, words, pick }) {
    for (const row of pick(step.count)) {
      const logits = floats('logits', row * 4 * STRIDE4, VOCAB);
      const to = step.next + row;
      const token = logits.every(Number.isFinite) ? bestOf(logits).index : Number.NaN;
      yield* taken(to, token, words('next_rows', 4 * to, 4)[2]!);
    }
  },
};

/** The likeliest token of each row, the lowest id among equals. */
export function argmax(tuning: Tuning, recorder: Recorder, call: SamplingTarget): void {
  const { logits, next, sampled, step } = call;
  if (inSlices(tuning, logits)) {
    argmaxOfSlices(recorder, call);
    return;
  }
  recorder.add({
    label: 'argmax',
    shader: { kernel: ARGMAX, constants: { ...ROW_THREADS[0], ...vocabConstants(logits) } },
    bind: { logits: logits.buffer, next_rows: next, sampled, step },
  });
}

/** How a sequence samples: the host's copy of shaders/shared/sampling.wgsl. */
export interface Sampler {
  temperature: number;
  topP: number;
  minP: number;
  topK: number;
  repetitionPenalty: number;
  frequencyPenalty: number;
  presencePenalty: number;
  seed: number;
}

/** Bytes of a `Sampler` as the shaders read it. */
export function packSampler(sampler: Sampler): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(SAMPLER_BYTES));
  view.setFloat32(0, sampler.temperature === 0 ? 0 : 1 / sampler.temperature, true);
  view.setFloat32(4, sampler.topP, true);
  view.setFloat32(8, sampler.minP === 0 ? -3e38 : Math.log(sampler.minP), true);
  view.setUint32(12, sampler.topK, true);
  view.setFloat32(16, sampler.repetitionPenalty, true);
  view.setFloat32(20, sampler.frequencyPenalty, true);
  view.setFloat32(24, sampler.presencePenalty, true);
  view.setUint32(28, sampler.seed >>> 0, true);
  return view.buffer;
}
