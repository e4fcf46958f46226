// shaders/features/top_logprobs.wgsl and score.wgsl, of which a workgroup goes over a row; and the choice between them and the
// kernels that take slices. Fetched with the first call that asks for log-probabilities.
import { type Kernel, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import {
  logitsBinding,
  MAX_TOP,
  rowGrid,
  type SamplingTarget,
  VOCABULARY_SIZES,
  type VocabularyConstant,
  vocabConstants,
} from './logits.ts';
import { bestOf, logSumExp } from './math.ts';
import { inSlices, ROW_THREADS } from './slices.ts';
import { scoreOfSlices, topOfSlices } from './tops.ts';
import type { Tuning } from './tuning.ts';

export const TOP_LOGPROBS: Kernel<VocabularyConstant | 'TOP'> = {
  name: 'top_logprobs',
  folder: 'features',
  choices: [ROW_THREADS],
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
  folder: 'features',
  choices: [ROW_THREADS],
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

/** Log-probabilities of the `top` likeliest tokens: `out (rows, top + 1)` pairs of u32; the last is the chosen one. */
export function topLogprobs(
  tuning: Tuning,
  recorder: Recorder,
  call: Pick<SamplingTarget, 'logits' | 'sampled' | 'step' | 'between'> & { top: number; out: GPUBuffer },
): void {
  if (inSlices(tuning, call.logits)) {
    topOfSlices(recorder, call);
    return;
  }
  recorder.add({
    label: 'top logprobs',
    shader: {
      kernel: TOP_LOGPROBS,
      constants: { ...ROW_THREADS[0], ...vocabConstants(call.logits), TOP: call.top },
    },
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
  call: Pick<SamplingTarget, 'logits' | 'step' | 'between'> & { targets: GPUBuffer; scores: GPUBuffer },
): void {
  if (inSlices(tuning, call.logits)) {
    scoreOfSlices(recorder, call);
    return;
  }
  recorder.add({
    label: 'score',
    shader: { kernel: SCORE, constants: { ...ROW_THREADS[0], ...vocabConstants(call.logits) } },
    bind: { logits: call.logits.buffer, targets: call.targets, scores: call.scores, step: call.step },
  });
}
