// shaders/gpu/candidates.wgsl and draw.wgsl: a token is drawn from what slices of the logits leave.
import { type Kernel, type Launch, type Result, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { drawn, type SamplerWords } from './kept.ts';
import {
  logitsBinding,
  NEXT,
  rowGrid,
  SAMPLERS,
  type SamplingTarget,
  samplerAt,
  taken,
  VOCABULARY_SIZES,
} from './logits.ts';
import {
  READ_SLICES,
  rowSlices,
  SLICE_SHAPES,
  type SliceConstant,
  sliceBuffer,
  sliceConstants,
  sliceGrid,
  sliceSizes,
  slices,
  sliceTokens,
} from './slices.ts';
import { stride } from './tensor.ts';

/** By row and slice: how many candidates there are, and what all that may be drawn weighs (f32). */
const segmentShape = ({ constants, step }: Launch<SliceConstant>): number[] => [
  step.count,
  sliceSizes(constants).slices,
  2,
];

/** By row and slice, from where its logits are in theirs: keys of candidates, and the weight up to each. */
const candidateShape = ({ constants, step }: Launch<SliceConstant>): number[] => [
  step.count,
  4 * constants.STRIDE4,
];

/** Order-preserving, as shaders/shared/key.wgsl has it; both zeros are one. */
export function keyOf(value: number): number {
  const bits = value === 0 ? 0 : new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return (bits >>> 31 ? ~bits : bits | 0x80000000) >>> 0;
}

const CLOSE = 1e-4;

/** The least logit that may be a candidate, and the least that has a weight before `top_k` and `top_p`. */
function cutsOf(
  { sharpness, topK, topP, logMinP }: SamplerWords,
  values: Float32Array,
  vocab: number,
): { sorts: boolean; cut: number; from: number } {
  const best = Math.max(...values);
  const lightest = best - 80 / sharpness;
  const byCount = topK > 0 && topK < vocab;
  const sorts = byCount || topP < 1;
  let cut = lightest;
  if (byCount) {
    if (topK <= values.length) cut = Math.max(cut, [...values].sort((a, b) => b - a)[topK - 1]!);
  } else if (topP < 1) {
    const least = values.reduce((sum, value) => sum + Math.exp((value - best) * sharpness), 0);
    cut = Math.max(cut, best + Math.log((0.5 * (1 - topP) * least) / vocab) / sharpness);
  } else if (logMinP > -1e30) cut = Math.max(cut, best + logMinP / sharpness);
  return { sorts, cut, from: sorts ? lightest : cut };
}

export const CANDIDATES: Kernel<SliceConstant> = {
  name: 'candidates',
  folder: 'gpu',
  choices: [SLICE_SHAPES],
  sizes: VOCABULARY_SIZES,
  bindings: () => [
    logitsBinding('vec4f'),
    READ_SLICES,
    SAMPLERS,
    writes('segments', 'Segment', segmentShape),
    writes('candidate_keys', 'u32', candidateShape),
    writes('candidate_masses', 'f32', candidateShape),
    STEP,
  ],
  grid: sliceGrid,
  *cpu(launch) {
    const { constants, step, floats, pick } = launch;
    const { STRIDE4, VOCAB } = constants;
    const { slices } = sliceSizes(constants);
    for (const row of pick(step.count)) {
      const sampler = samplerAt(launch, step.next + row);
      const { values } = rowSlices(launch, row);
      const best = Math.max(...values);
      const { sorts, cut, from } = cutsOf(sampler, values, VOCAB);
      const weight = (logit: number): number => Math.exp((logit - best) * sampler.sharpness);
      for (const slice of pick(slices)) {
        const { first, count } = sliceTokens(constants, slice);
        const logits = floats('logits', row * 4 * STRIDE4 + first, count);
        if (sampler.sharpness === 0) continue;
        // The cut of top_k is one of the logits, as it is.
        const near = (limit: number): boolean =>
          logits.some((logit) => logit !== limit && Math.abs(logit - limit) < CLOSE);
        const sure = !near(cut) && !near(from);
        const any = (value: number): number => (sure ? value : Number.NaN);
        const kept = sorts ? logits.filter((logit) => logit >= cut).sort((a, b) => keyOf(b) - keyOf(a)) : [];
        const mass = logits.reduce((sum, logit) => sum + (logit >= from ? weight(logit) : 0), 0);
        const segment = 2 * (row * slices + slice);
        yield { binding: 'segments', at: segment, value: any(kept.length), scale: 0 };
        yield { binding: 'segments', at: segment + 1, value: any(mass), scale: mass, as: 'f32' };
        let sum = 0;
        // Where rounding decides, there may be any.
        for (let i = 0; i < (sure || !sorts ? kept.length : count); i++) {
          const at = row * 4 * STRIDE4 + first + i;
          const logit = kept[i] ?? Number.NaN;
          sum += weight(logit);
          yield { binding: 'candidate_keys', at, value: any(keyOf(logit)), scale: 0 };
          yield { binding: 'candidate_masses', at, value: any(sum), scale: sum };
        }
      }
    }
  },
};

export const DRAW: Kernel<SliceConstant> = {
  name: 'draw',
  folder: 'gpu',
  choices: [SLICE_SHAPES],
  sizes: VOCABULARY_SIZES,
  bindings: () => [
    logitsBinding('vec4f'),
    READ_SLICES,
    SAMPLERS,
    reads('segments', 'Segment', segmentShape),
    reads('candidate_keys', 'u32', candidateShape),
    reads('candidate_masses', 'f32', candidateShape),
    ...NEXT,
  ],
  grid: rowGrid,
  *cpu(launch): Iterable<Result> {
    const { constants, step, floats, words, pick } = launch;
    const { STRIDE4, VOCAB } = constants;
    const { size, slices } = sliceSizes(constants);
    for (const row of pick(step.count)) {
      const to = step.next + row;
      const [, , position = 0, reply = 0] = words('next_rows', 4 * to, 4);
      const sampler = samplerAt(launch, to);
      const logits = floats('logits', row * 4 * STRIDE4, VOCAB);
      // All that it finds there is told by the logits.
      rowSlices(launch, row);
      for (let slice = 0; slice < slices && sampler.sharpness > 0; slice++) {
        const [count = 0] = words('segments', 2 * (row * slices + slice), 2);
        words('candidate_keys', row * 4 * STRIDE4 + slice * size, count);
        words('candidate_masses', row * 4 * STRIDE4 + slice * size, count);
      }
      yield* taken(to, drawn(logits, sampler, { threads: 1, position, reply }), position);
    }
  },
};

/** Draws a token of each row by its sequence's sampler. */
export function drawOfSlices(recorder: Recorder, call: SamplingTarget & { samplers: GPUBuffer }): void {
  const { logits, next, sampled, samplers, step, between } = call;
  if (!call.adjusted) slices(recorder, call);
  const constants = sliceConstants(logits);
  const each = 4 * stride(logits.cols);
  const bind = {
    logits: logits.buffer,
    slices: sliceBuffer(call),
    samplers,
    segments: between('segments', 8 * sliceSizes(constants).slices),
    candidate_keys: between('candidateKeys', each),
    candidate_masses: between('candidateMasses', each),
    step,
  };
  recorder.add({ label: 'candidates', shader: { kernel: CANDIDATES, constants }, bind });
  recorder.add({
    label: 'draw',
    shader: { kernel: DRAW, constants },
    bind: { ...bind, next_rows: next, sampled },
  });
}
