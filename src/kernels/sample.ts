// Launches shaders/argmax.wgsl, sample.wgsl, adjust.wgsl, top_logprobs.wgsl and score.wgsl.
import type { Recorder } from '../gpu/recorder.ts';
import { type Activations, stride } from './tensor.ts';
import type { Tuning } from './tuning.ts';

/** Rows of logits `(rows, stride(vocab))`, and where a choice among them goes. */
export interface Choice {
  logits: Activations;
  /** The next step's rows: token and position are written. */
  next: GPUBuffer;
  /** `(rows)` u32: the chosen tokens. */
  sampled: GPUBuffer;
  step: GPUBuffer;
}

const vocabConstants = (tuning: Tuning, logits: Activations): Record<string, number> => ({
  WG: tuning.vocabulary,
  VOCAB: logits.cols,
  STRIDE4: stride(logits.cols) / 4,
});

/** The likeliest token of each row, the lowest id among equals. */
export function argmax(tuning: Tuning, recorder: Recorder, { logits, next, sampled, step }: Choice): void {
  recorder.add({
    label: 'argmax',
    shader: { name: 'argmax', constants: vocabConstants(tuning, logits) },
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

/** Draws a token of each row by its sequence's sampler. */
export function sample(tuning: Tuning, recorder: Recorder, call: Choice & { samplers: GPUBuffer }): void {
  const { logits, next, sampled, samplers, step } = call;
  recorder.add({
    label: 'sample',
    shader: { name: 'sample', constants: vocabConstants(tuning, logits) },
    bind: { logits: logits.buffer, next_rows: next, sampled, samplers, step },
    grid: ({ count }) => [count, 1, 1],
  });
}

/** What penalties, bias and mask are read from; each `(sequences, ...)`. */
export interface Adjustments {
  /** `(sequences, vocab)` u32: twice the times a token is in the reply, plus one if it is in the prompt. */
  counts: GPUBuffer;
  /** `(sequences, vocab)` f32. */
  bias: GPUBuffer | undefined;
  /** `(sequences, maskWords(vocab))` u32: a bit a token that may be chosen. */
  mask: GPUBuffer | undefined;
}

export const maskWords = (vocab: number): number => Math.ceil(vocab / 32);

/** Penalties, bias and mask: `adjusted (rows, stride(vocab))` from the model's own logits, which stay. */
export function adjust(
  tuning: Tuning,
  recorder: Recorder,
  call: Omit<Choice, 'sampled'> & Adjustments & { samplers: GPUBuffer; adjusted: Activations },
): void {
  const { logits, next, counts, bias, mask, samplers, step } = call;
  const workgroups = Math.min(64, Math.ceil(logits.cols / tuning.vocabulary));
  recorder.add({
    label: 'adjust',
    shader: {
      name: 'adjust',
      imports: {},
      constants: {
        ...vocabConstants(tuning, logits),
        HAS_BIAS: bias !== undefined,
        HAS_MASK: mask !== undefined,
        MASK_WORDS: maskWords(logits.cols),
      },
    },
    bind: {
      logits: logits.buffer,
      adjusted: call.adjusted.buffer,
      counts,
      bias: bias ?? samplers,
      mask: mask ?? samplers,
      samplers,
      next_rows: next,
      step,
    },
    grid: ({ count }) => [workgroups, count, 1],
  });
}

/** Log-probabilities of the `top` likeliest tokens: `out (rows, top + 1)` pairs of u32; the last is the chosen one. */
export function topLogprobs(
  tuning: Tuning,
  recorder: Recorder,
  call: { logits: Activations; top: number; sampled: GPUBuffer; out: GPUBuffer; step: GPUBuffer },
): void {
  recorder.add({
    label: 'top logprobs',
    shader: { name: 'top_logprobs', constants: { ...vocabConstants(tuning, call.logits), TOP: call.top } },
    bind: { logits: call.logits.buffer, sampled: call.sampled, top: call.out, step: call.step },
    grid: ({ count }) => [count, 1, 1],
  });
}

/** Log-probability of each row's target and its likeliest token: `scores (rows)` pairs of u32. */
export function score(
  tuning: Tuning,
  recorder: Recorder,
  call: { logits: Activations; targets: GPUBuffer; scores: GPUBuffer; step: GPUBuffer },
): void {
  recorder.add({
    label: 'score',
    shader: { name: 'score', constants: vocabConstants(tuning, call.logits) },
    bind: { logits: call.logits.buffer, targets: call.targets, scores: call.scores, step: call.step },
    grid: ({ count }) => [count, 1, 1],
  });
}
