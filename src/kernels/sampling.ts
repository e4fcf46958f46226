// Launches shaders/sample.wgsl, adjust.wgsl, top_logprobs.wgsl and score.wgsl. Fetched when first used.
import type { Kernel } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type Choice, MAX_TOP, maskWords, VOCABULARY_SIZES, vocabConstants } from './sample.ts';
import { type Activations, COUNT } from './tensor.ts';
import { type Tuning, VOCABULARY_THREADS } from './tuning.ts';

export const SAMPLE: Kernel = { name: 'sample', choices: [VOCABULARY_THREADS], sizes: VOCABULARY_SIZES };

export const ADJUST: Kernel = {
  name: 'adjust',
  choices: [
    VOCABULARY_THREADS,
    [{ HAS_BIAS: false }, { HAS_BIAS: true }],
    [{ HAS_MASK: false }, { HAS_MASK: true }],
  ],
  sizes: { ...VOCABULARY_SIZES, MASK_WORDS: COUNT },
};

export const TOP_LOGPROBS: Kernel = {
  name: 'top_logprobs',
  choices: [VOCABULARY_THREADS],
  sizes: { ...VOCABULARY_SIZES, TOP: [0, MAX_TOP] },
};

export const SCORE: Kernel = { name: 'score', choices: [VOCABULARY_THREADS], sizes: VOCABULARY_SIZES };

/** Draws a token of each row by its sequence's sampler. */
export function sample(tuning: Tuning, recorder: Recorder, call: Choice & { samplers: GPUBuffer }): void {
  const { logits, next, sampled, samplers, step } = call;
  recorder.add({
    label: 'sample',
    shader: { kernel: SAMPLE, constants: vocabConstants(tuning, logits) },
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
      kernel: ADJUST,
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
    shader: { kernel: TOP_LOGPROBS, constants: { ...vocabConstants(tuning, call.logits), TOP: call.top } },
    bind: { logits: call.logits.buffer, sampled: call.sampled, top: call.out, step: call.step },
    grid: ({ count }) => [count, 1, 1],
  });
}

/** By sequence: tokens with their log-probabilities (nats). */
export type Logprobs = { tokenId: number; logprob: number }[][];

/** What `topLogprobs` wrote for `count` rows of sequences from `next` on, `each` pairs a row, from byte `at`. */
export function readTop(
  bytes: ArrayBuffer,
  at: number,
  { each, count, next }: { each: number; count: number; next: number },
): Logprobs {
  const pairs = new Uint32Array(bytes, at);
  const values = new Float32Array(bytes, at);
  const out: Logprobs = [];
  for (let row = 0; row < count; row++)
    out[next + row] = Array.from({ length: each }, (_, i) => {
      const pair = 2 * (row * each + i);
      return { tokenId: pairs[pair]!, logprob: values[pair + 1]! };
    });
  return out;
}

/** Log-probability of each row's target and its likeliest token: `scores (rows)` pairs of u32. */
export function score(
  tuning: Tuning,
  recorder: Recorder,
  call: { logits: Activations; targets: GPUBuffer; scores: GPUBuffer; step: GPUBuffer },
): void {
  recorder.add({
    label: 'score',
    shader: { kernel: SCORE, constants: vocabConstants(tuning, call.logits) },
    bind: { logits: call.logits.buffer, targets: call.targets, scores: call.scores, step: call.step },
    grid: ({ count }) => [count, 1, 1],
  });
}
