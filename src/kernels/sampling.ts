// shaders/sample.wgsl, adjust.wgsl, top_logprobs.wgsl and score.wgsl. Fetched when first used.
import { type Kernel, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { drawn, type SamplerWords } from './kept.ts';
import { bestOf, logSumExp } from './math.ts';
import {
  logitsBinding,
  MAX_TOP,
  maskWords,
  NEXT,
  rowGrid,
  SAMPLER_BYTES,
  type SamplingTarget,
  taken,
  VOCABULARY_SIZES,
  type VocabularyConstant,
  vocabConstants,
} from './sample.ts';
import { type Activations, COUNT } from './tensor.ts';
import { type Tuning, VOCABULARY_THREADS } from './tuning.ts';

/** Of the next step's rows. */
const SAMPLERS = reads('samplers', 'Sampler', ({ step }) => [step.next + step.count, SAMPLER_BYTES / 4]);

/** A sampler as shaders/shared/sampling.wgsl has it. */
function samplerOf(words: Uint32Array): SamplerWords {
  const floats = new Float32Array(words.buffer);
  return {
    sharpness: floats[0]!,
    topP: floats[1]!,
    logMinP: floats[2]!,
    topK: words[3]!,
    repetition: floats[4]!,
    frequency: floats[5]!,
    presence: floats[6]!,
    seed: words[7]!,
  };
}

export const SAMPLE: Kernel<VocabularyConstant> = {
  name: 'sample',
  choices: [VOCABULARY_THREADS],
  sizes: VOCABULARY_SIZES,
  bindings: () => [logitsBinding(), SAMPLERS, ...NEXT],
  grid: rowGrid,
  *cpu({ constants: { STRIDE4, VOCAB, WG }, step, floats, words, pick }) {
    for (const row of pick(step.count)) {
      const to = step.next + row;
      const [, , position = 0, reply = 0] = words('next_rows', 4 * to, 4);
      const sampler = samplerOf(words('samplers', 8 * to, 8));
      const logits = floats('logits', row * 4 * STRIDE4, VOCAB);
      yield* taken(to, drawn(logits, sampler, { threads: WG, position, reply }), position);
    }
  },
};

export const ADJUST: Kernel<VocabularyConstant | 'HAS_BIAS' | 'HAS_MASK' | 'MASK_WORDS'> = {
  name: 'adjust',
  choices: [
    VOCABULARY_THREADS,
    [{ HAS_BIAS: false }, { HAS_BIAS: true }],
    [{ HAS_MASK: false }, { HAS_MASK: true }],
  ],
  sizes: { ...VOCABULARY_SIZES, MASK_WORDS: COUNT },
  bindings: () => [
    logitsBinding(),
    writes('adjusted', 'f32', ({ constants, step }) => [step.count, 4 * constants.STRIDE4]),
    // by sequence: twice the times that a token is in the reply, plus one if it is in the prompt
    writes('counts', 'u32', ({ constants, step }) => [step.next + step.count, constants.VOCAB]),
    // by sequence; not read unless HAS_BIAS
    reads('bias', 'f32', ({ constants, step }) => [step.next + step.count, constants.VOCAB]),
    // by sequence: a bit for each token that may be chosen; not read unless HAS_MASK
    reads('mask', 'u32', ({ constants, step }) => [step.next + step.count, constants.MASK_WORDS]),
    SAMPLERS,
    reads('next_rows', 'Row', ({ step }) => [step.next + step.count, 4]),
    STEP,
  ],
  grid: ({ constants: { VOCAB, WG }, step }) => [Math.min(64, Math.ceil(VOCAB / WG)), step.count, 1],
  *cpu({ constants, step, floats, words, pick }) {
    const { STRIDE4, VOCAB, HAS_BIAS, HAS_MASK, MASK_WORDS } = constants;
    for (const row of pick(step.count)) {
      const sampler = samplerOf(words('samplers', 8 * (step.next + row), 8));
      const [last, sequence = 0] = words('next_rows', 4 * (step.next + row), 4);
      for (const i of pick(VOCAB)) {
        const at = row * 4 * STRIDE4 + i;
        const to = sequence * VOCAB + i;
        let count = words('counts', to, 1)[0]!;
        if (i === last) {
          count += 2;
          yield { binding: 'counts', at: to, value: count, scale: 0 };
        }
        let z = floats('logits', at, 1)[0]!;
        if (count > 0) z = z > 0 ? z / sampler.repetition : z * sampler.repetition;
        const times = count >> 1;
        const penalty = times * sampler.frequency + Math.min(times, 1) * sampler.presence;
        const bias = HAS_BIAS ? floats('bias', to, 1)[0]! : 0;
        const scale = Math.abs(z) + Math.abs(penalty) + Math.abs(bias);
        const allowed = !HAS_MASK || (words('mask', sequence * MASK_WORDS + (i >> 5), 1)[0]! >> (i & 31)) & 1;
        yield { binding: 'adjusted', at, value: allowed ? z - penalty + bias : -3e38, scale };
      }
    }
  },
};

export const TOP_LOGPROBS: Kernel<VocabularyConstant | 'TOP'> = {
  name: 'top_logprobs',
  choices: [VOCABULARY_THREADS],
  sizes: { ...VOCABULARY_SIZES, TOP: [0, MAX_TOP] },
  bindings: () => [
    logitsBinding(),
    reads('sampled', 'u32', ({ step }) => [step.next + step.count]),
    // token and the bits of its log-probability; the last is the chosen token
    writes('top', 'vec2<u32>', ({ constants, step }) => [step.count, constants.TOP + 1, 2]),
    STEP,
  ],
  grid: rowGrid,
  *cpu({ constants: { STRIDE4, VOCAB, TOP }, step, floats, words, pick }) {
    for (const row of pick(step.count)) {
      const logits = floats('logits', row * 4 * STRIDE4, VOCAB);
      const total = logSumExp(logits);
      const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
      const chosen = words('sampled', step.next + row, 1)[0]!;
      for (const [i, token] of [...order.slice(0, TOP), chosen].entries()) {
        const at = 2 * (row * (TOP + 1) + i);
        const scale = Math.abs(logits[token]!) + Math.abs(total);
        yield { binding: 'top', at, value: token, scale: 0 };
        yield { binding: 'top', at: at + 1, value: logits[token]! - total, scale, as: 'f32' };
      }
    }
  },
};

export const SCORE: Kernel<VocabularyConstant> = {
  name: 'score',
  choices: [VOCABULARY_THREADS],
  sizes: VOCABULARY_SIZES,
  bindings: () => [
    logitsBinding(),
    // of each row of the forward
    reads('targets', 'u32', ({ step }) => [step.first + step.count]),
    // the bits of the target's log-probability, and the likeliest token
    writes('scores', 'vec2<u32>', ({ step }) => [step.first + step.count, 2]),
    STEP,
  ],
  grid: rowGrid,
  *cpu({ constants: { STRIDE4, VOCAB }, step, floats, words, pick }) {
    for (const i of pick(step.count)) {
      const row = step.first + i;
      const logits = floats('logits', i * 4 * STRIDE4, VOCAB);
      const total = logSumExp(logits);
      const logit = logits[words('targets', row, 1)[0]!]!;
      const scale = Math.abs(logit) + Math.abs(total);
      yield { binding: 'scores', at: 2 * row, value: logit - total, scale, as: 'f32' };
      yield { binding: 'scores', at: 2 * row + 1, value: bestOf(logits).index, scale: 0 };
    }
  },
};

/** Draws a token of each row by its sequence's sampler. */
export function sample(
  tuning: Tuning,
  recorder: Recorder,
  call: SamplingTarget & { samplers: GPUBuffer },
): void {
  const { logits, next, sampled, samplers, step } = call;
  recorder.add({
    label: 'sample',
    shader: { kernel: SAMPLE, constants: vocabConstants(tuning, logits) },
    bind: { logits: logits.buffer, next_rows: next, sampled, samplers, step },
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
  call: Omit<SamplingTarget, 'sampled'> & Adjustments & { samplers: GPUBuffer; adjusted: Activations },
): void {
  const { logits, next, counts, bias, mask, samplers, step } = call;
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
  });
}
