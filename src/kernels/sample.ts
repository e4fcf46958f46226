// Launches shaders/argmax.wgsl; what greedy decoding does without is in sampling.ts.
import type { Kernel } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type Activations, COUNT, stride, VOCABULARY } from './tensor.ts';
import { type Tuning, VOCABULARY_THREADS } from './tuning.ts';

export const VOCABULARY_SIZES = { VOCAB: VOCABULARY, STRIDE4: COUNT } as const;

export const ARGMAX: Kernel = { name: 'argmax', choices: [VOCABULARY_THREADS], sizes: VOCABULARY_SIZES };

/** Rows of logits `(rows, stride(vocab))`, and where a choice among them goes. */
export interface Choice {
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
export function argmax(tuning: Tuning, recorder: Recorder, { logits, next, sampled, step }: Choice): void {
  recorder.add({
    label: 'argmax',
    shader: { kernel: ARGMAX, constants: vocabConstants(tuning, logits) },
    bind: { logits: logits.buffer, next_rows: next, sampled, step },
    grid: ({ count }) => [count, 1, 1],
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
