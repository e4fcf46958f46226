// shaders/features/top_slices.wgsl, top_merge.wgsl and score_slices.wgsl: log-probabilities from slices of the logits.
import { type Kernel, type Launch, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { logitsBinding, MAX_TOP, rowGrid, type SamplingTarget, VOCABULARY_SIZES } from './logits.ts';
import { bestOf } from './math.ts';
import {
  READ_SLICES,
  rowSlices,
  SLICE_SHAPES,
  SLICE_WORDS,
  type SliceConstant,
  sliceBuffer,
  sliceConstants,
  sliceGrid,
  sliceSizes,
  slices,
  sliceTokens,
  WRITE_SLICES,
} from './slices.ts';

const TOP_SIZES = { ...VOCABULARY_SIZES, TOP: [0, MAX_TOP] } as const;

type TopConstant = SliceConstant | 'TOP';

/** By row and slice: its likeliest tokens, and their logits (f32). */
const topShape = ({ constants, step }: Launch<TopConstant>): number[] => [
  step.count,
  sliceSizes(constants).slices,
  Math.max(constants.TOP, 1),
  2,
];

/** Places of a row, the likeliest first, the lowest among equals. */
const order = (logits: Float32Array): number[] =>
  Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);

export const TOP_SLICES: Kernel<TopConstant> = {
  name: 'top_slices',
  folder: 'features',
  choices: [SLICE_SHAPES],
  sizes: TOP_SIZES,
  bindings: () => [logitsBinding('vec4f'), WRITE_SLICES, writes('tops', 'Top', topShape), STEP],
  grid: sliceGrid,
  *cpu(launch) {
    const { constants, step, floats, pick } = launch;
    const { STRIDE4, TOP } = constants;
    const all = sliceSizes(constants).slices;
    for (const row of pick(step.count))
      for (const slice of pick(all)) {
        const { first, count } = sliceTokens(constants, slice);
        const logits = floats('logits', row * 4 * STRIDE4 + first, count);
        const { value, index } = bestOf(logits);
        const sum = logits.reduce((all, logit) => all + Math.exp(logit - value), 0);
        const at = SLICE_WORDS * (row * all + slice);
        yield { binding: 'slices', at, value, scale: 0, as: 'f32' };
        yield { binding: 'slices', at: at + 1, value: first + index, scale: 0 };
        yield { binding: 'slices', at: at + 2, value: sum, scale: sum, as: 'f32' };
        const likeliest = order(logits);
        for (let i = 0; i < TOP; i++) {
          const to = 2 * ((row * all + slice) * TOP + i);
          const token = likeliest[i];
          // A slice of few tokens has something behind them that is none.
          yield {
            binding: 'tops',
            at: to,
            value: token === undefined ? Number.NaN : first + token,
            scale: 0,
          };
          yield {
            binding: 'tops',
            at: to + 1,
            value: logits[token ?? -1] ?? Number.NaN,
            scale: 0,
            as: 'f32',
          };
        }
      }
  },
};

export const TOP_MERGE: Kernel<TopConstant> = {
  name: 'top_merge',
  folder: 'features',
  choices: [SLICE_SHAPES],
  sizes: TOP_SIZES,
  bindings: () => [
    logitsBinding('vec4f'),
    READ_SLICES,
    reads('tops', 'Top', topShape),
    reads('sampled', 'u32', ({ step }) => [step.next + step.count]),
    // token and the bits of its log-probability; the last is the chosen token
    writes('top', 'vec2<u32>', ({ constants, step }) => [step.count, constants.TOP + 1, 2]),
    STEP,
  ],
  grid: rowGrid,
  *cpu(launch) {
    const { constants, step, floats, words, pick } = launch;
    const { STRIDE4, TOP } = constants;
    const all = sliceSizes(constants).slices;
    for (const row of pick(step.count)) {
      const { values, sums } = rowSlices(launch, row);
      const { value } = bestOf(values);
      const total =
        value + Math.log(values.reduce((sum, one, i) => sum + sums[i]! * Math.exp(one - value), 0));
      const bits = words('tops', 2 * row * all * TOP, 2 * all * TOP);
      const logits = new Float32Array(bits.buffer);
      const tops = Array.from({ length: all * TOP }, (_, i) => ({
        token: bits[2 * i]!,
        logit: logits[2 * i + 1]!,
      })).sort((a, b) => b.logit - a.logit || a.token - b.token);
      const token = words('sampled', step.next + row, 1)[0]!;
      const chosen = { token, logit: floats('logits', row * 4 * STRIDE4 + token, 1)[0]! };
      for (const [i, one] of [...tops.slice(0, TOP), chosen].entries()) {
        const at = 2 * (row * (TOP + 1) + i);
        const scale = Math.abs(one.logit) + Math.abs(total);
        yield { binding: 'top', at, value: one.token, scale: 0 };
        yield { binding: 'top', at: at + 1, value: one.logit - total, scale, as: 'f32' };
      }
    }
  },
};

export const SCORE_SLICES: Kernel<SliceConstant> = {
  name: 'score_slices',
  folder: 'features',
  choices: [SLICE_SHAPES],
  sizes: VOCABULARY_SIZES,
  bindings: () => [
    logitsBinding(),
    READ_SLICES,
    // of each row of the forward
    reads('targets', 'u32', ({ step }) => [step.first + step.count]),
    // the bits of the target's log-probability, and the likeliest token
    writes('scores', 'vec2<u32>', ({ step }) => [step.first + step.count, 2]),
    STEP,
  ],
  grid: rowGrid,
  *cpu(launch) {
    const { constants, step, floats, words, pick } = launch;
    for (const i of pick(step.count)) {
      const row = step.first + i;
      const { values, tokens, sums } = rowSlices(launch, i);
      const { value, index } = bestOf(values);
      const total =
        value + Math.log(values.reduce((sum, one, at) => sum + sums[at]! * Math.exp(one - value), 0));
      const logit = floats('logits', i * 4 * constants.STRIDE4 + words('targets', row, 1)[0]!, 1)[0]!;
      const scale = Math.abs(logit) + Math.abs(total);
      yield { binding: 'scores', at: 2 * row, value: logit - total, scale, as: 'f32' };
      yield { binding: 'scores', at: 2 * row + 1, value: tokens[index]!, scale: 0 };
    }
  },
};

/** Log-probabilities of the `top` likeliest tokens, then of the chosen one. */
export function topOfSlices(
  recorder: Recorder,
  call: Pick<SamplingTarget, 'logits' | 'sampled' | 'step' | 'between'> & { top: number; out: GPUBuffer },
): void {
  const { logits, sampled, step, between, top, out } = call;
  const constants = { ...sliceConstants(logits), TOP: top };
  const bind = {
    logits: logits.buffer,
    slices: sliceBuffer(call),
    tops: between('tops', 8 * sliceSizes(constants).slices * MAX_TOP),
    step,
  };
  recorder.add({ label: 'top of slices', shader: { kernel: TOP_SLICES, constants }, bind });
  recorder.add({
    label: 'top logprobs',
    shader: { kernel: TOP_MERGE, constants },
    bind: { ...bind, sampled, top: out },
  });
}

/** Log-probability of each row's target and its likeliest token. */
export function scoreOfSlices(
  recorder: Recorder,
  call: Pick<SamplingTarget, 'logits' | 'step' | 'between'> & { targets: GPUBuffer; scores: GPUBuffer },
): void {
  const { logits, targets, scores, step } = call;
  slices(recorder, call, { sum: true });
  recorder.add({
    label: 'score',
    shader: { kernel: SCORE_SLICES, constants: sliceConstants(logits) },
    bind: { logits: logits.buffer, slices: sliceBuffer(call), targets, scores, step },
  });
}
