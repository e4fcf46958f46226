// shaders/argmax.wgsl; what greedy decoding does without is in sampling.ts.
import { type Binding, type Kernel, type Result, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { bestOf } from './math.ts';
import { type Activations, COUNT, stride, VOCABULARY } from './tensor.ts';
import { type Tuning, VOCABULARY_THREADS } from './tuning.ts';

export const VOCABULARY_SIZES = { VOCAB: VOCABULARY, STRIDE4: COUNT } as const;

/** Constants of a kernel that goes over rows of logits. */
export type VocabularyConstant = 'WG' | keyof typeof VOCABULARY_SIZES;

export const logitsBinding = (element = 'f32'): Binding<VocabularyConstant> =>
  reads('logits', element, ({ constants, step }) => [step.count, 4 * constants.STRIDE4]);

/** Bindings of shaders/shared/next.wgsl. */
export const NEXT: readonly Binding<never>[] = [
  writes('next_rows', 'Row', ({ step }) => [step.next + step.count, 4]),
  writes('sampled', 'u32', ({ step }) => [step.next + step.count]),
  STEP,
];

/** A workgroup a row. */
export const rowGrid: Kernel['grid'] = ({ step }) => [step.count, 1, 1];

/** What next.wgsl leaves of a choice; NaN is any. */
export function* taken(row: number, token: number, position: number): Iterable<Result> {
  yield { binding: 'next_rows', at: 4 * row, value: token, scale: 0 };
  yield { binding: 'next_rows', at: 4 * row + 2, value: position + 1, scale: 0 };
  yield { binding: 'sampled', at: row, value: token, scale: 0 };
}

export const ARGMAX: Kernel<VocabularyConstant> = {
  name: 'argmax',
  choices: [VOCABULARY_THREADS],
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

/** Rows of logits `(rows, stride(vocab))`, and where a choice among them goes. */
export interface SamplingTarget {
  logits: Activations;
  /** The next step's rows: token and position are written. */
  next: GPUBuffer;
  /** `(rows)` u32: the chosen tokens. */
  sampled: GPUBuffer;
  step: GPUBuffer;
}

/** Most tokens whose log-probabilities are told beside that of the chosen one, as in OpenAI's API. */
export const MAX_TOP = 20;

export const vocabConstants = (tuning: Tuning, logits: Activations): Record<string, number> => ({
  WG: tuning.vocabulary,
  VOCAB: logits.cols,
  STRIDE4: stride(logits.cols) / 4,
});

/** The likeliest token of each row, the lowest id among equals. */
export function argmax(
  tuning: Tuning,
  recorder: Recorder,
  { logits, next, sampled, step }: SamplingTarget,
): void {
  recorder.add({
    label: 'argmax',
    shader: { kernel: ARGMAX, constants: vocabConstants(tuning, logits) },
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

export const SAMPLER_BYTES = 32;

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

/** Words of a mask: a bit a token. */
export const maskWords = (vocab: number): number => Math.ceil(vocab / 32);
