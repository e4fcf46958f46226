// shaders/gpu/slices.wgsl and argmax_slices.wgsl: rows of logits by many workgroups, as GPUs want it. What follows is in draw.ts and
// tops.ts.
import { type Binding, type Fixed, type Kernel, type Launch, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
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
  type SamplingTarget,
  taken,
  VOCABULARY_SIZES,
  type VocabularyConstant,
  vocabConstants,
} from './logits.ts';
import { bestOf } from './math.ts';
import { type Activations, COUNT } from './tensor.ts';
import type { Tuning } from './tuning.ts';

/** Threads of the kernels of which a workgroup goes over a row. */
export const ROW_THREADS: readonly [Fixed] = [{ WG: 16 }];

const THREADS = 256;

/** Four logits a thread at a time; twice where there were too many slices for the threads of one workgroup. */
export const SLICE_SHAPES: readonly Fixed[] = [
  { WG: THREADS, TRIPS: 1 },
  { WG: THREADS, TRIPS: 2 },
];

/** Bytes of a `Slice` of shaders/shared/gpu/slices.wgsl. */
export const SLICE_WORDS = 3;

export type SliceConstant = VocabularyConstant | 'TRIPS';

/** Tokens of a slice, and slices of a row. */
export function sliceSizes({ WG, TRIPS, VOCAB }: Readonly<Record<'WG' | 'TRIPS' | 'VOCAB', number>>): {
  size: number;
  slices: number;
} {
  const size = 4 * WG * TRIPS;
  return { size, slices: Math.ceil(VOCAB / size) };
}

/** Whether the kernels that take slices serve: not where a thread would have several of the largest. */
export const inSlices = ({ vocabulary }: Tuning, { cols }: Pick<Activations, 'cols'>): boolean =>
  vocabulary === THREADS && cols <= 8 * THREADS ** 2;

export const sliceConstants = (
  logits: Activations,
): Record<'WG' | 'TRIPS' | 'VOCAB' | 'STRIDE4', number> => ({
  WG: THREADS,
  TRIPS: logits.cols > 4 * THREADS ** 2 ? 2 : 1,
  ...vocabConstants(logits),
});

/** Slices of a row of these logits. */
const slicesOf = (logits: Activations): number => sliceSizes(sliceConstants(logits)).slices;

/** By row and slice: the largest logit (f32), its token, and the sum of exponentials (f32). */
const sliceShape = ({ constants, step }: Launch<SliceConstant>): number[] => [
  step.count,
  sliceSizes(constants).slices,
  SLICE_WORDS,
];
export const READ_SLICES: Binding<SliceConstant> = reads('slices', 'Slice', sliceShape);
export const WRITE_SLICES: Binding<SliceConstant> = writes('slices', 'Slice', sliceShape);

export const sliceBuffer = ({ logits, between }: Pick<SamplingTarget, 'logits' | 'between'>): GPUBuffer =>
  between('slices', 4 * SLICE_WORDS * slicesOf(logits));

/** A workgroup a slice. */
export const sliceGrid: Kernel<SliceConstant>['grid'] = ({ constants, step }) => [
  sliceSizes(constants).slices,
  step.count,
  1,
];

/** The tokens of a slice. */
export function sliceTokens(
  constants: Readonly<Record<'WG' | 'TRIPS' | 'VOCAB', number>>,
  slice: number,
): { first: number; count: number } {
  const { size } = sliceSizes(constants);
  return { first: slice * size, count: Math.min(size, constants.VOCAB - slice * size) };
}

/** The largest logits of all slices of a row. */
export function rowSlices(
  { constants, words }: Pick<Parameters<Kernel<SliceConstant>['cpu']>[0], 'constants' | 'words'>,
  row: number,
): { values: Float32Array; tokens: number[]; sums: Float32Array } {
  const { slices } = sliceSizes(constants);
  const bits = words('slices', row * slices * SLICE_WORDS, slices * SLICE_WORDS);
  const floats = new Float32Array(bits.buffer);
  const at = Array.from({ length: slices }, (_, i) => SLICE_WORDS * i);
  return {
    values: Float32Array.from(at, (i) => floats[i]!),
    tokens: at.map((i) => bits[i + 1]!),
    sums: Float32Array.from(at, (i) => floats[i + 2]!),
  };
}

/** Logits that differ by less may change places by rounding. */
const CLOSE = 1e-4;

const OWN: Fixed = { LOGITS: 'gpu/logits_own', HAS_BIAS: false, HAS_MASK: false };

export const SLICES: Kernel<SliceConstant | AdjustConstant | 'SUM'> = {
  name: 'slices',
  folder: 'gpu',
  choices: [
    SLICE_SHAPES,
    [
      { ...OWN, SUM: false },
      { ...OWN, SUM: true },
      ...[false, true].flatMap((HAS_BIAS) =>
        [false, true].map((HAS_MASK) => ({
          LOGITS: 'features/logits_adjusted',
          HAS_BIAS,
          HAS_MASK,
          SUM: false,
        })),
      ),
    ],
  ],
  sizes: { ...VOCABULARY_SIZES, MASK_WORDS: COUNT },
  bindings: ({ imports }) => [
    logitsBinding('vec4f'),
    ...(imports.LOGITS === 'features/logits_adjusted' ? adjustedBindings('vec4f') : []),
    WRITE_SLICES,
    STEP,
  ],
  grid: sliceGrid,
  *cpu(launch) {
    const { constants, imports, step, floats, pick } = launch;
    const { STRIDE4, SUM, VOCAB } = constants;
    const { slices } = sliceSizes(constants);
    for (const row of pick(step.count))
      for (const slice of pick(slices)) {
        const { first, count } = sliceTokens(constants, slice);
        let logits = floats('logits', row * 4 * STRIDE4 + first, count);
        let scale = 0;
        if (imports.LOGITS === 'features/logits_adjusted') {
          const found: number[] = [];
          const tokens = Array.from({ length: count }, (_, i) => first + i);
          for (const result of adjustedTokens(launch, row, tokens)) {
            yield result;
            if (result.binding !== 'adjusted') continue;
            found.push(result.value);
            scale = Math.max(scale, result.scale);
          }
          // Fours are written whole.
          for (let i = VOCAB; i < 4 * Math.ceil(VOCAB / 4) && slice === slices - 1; i++)
            yield { binding: 'adjusted', at: row * 4 * STRIDE4 + i, value: Number.NaN, scale: 0 };
          logits = Float32Array.from(found);
        }
        const { value, index } = bestOf(logits);
        const unsure = scale > 0 && logits.some((one) => one !== value && one > value - CLOSE);
        const sum = logits.reduce((all, logit) => all + Math.exp(logit - value), 0);
        const at = SLICE_WORDS * (row * slices + slice);
        yield { binding: 'slices', at, value, scale, as: 'f32' };
        yield { binding: 'slices', at: at + 1, value: unsure ? Number.NaN : first + index, scale: 0 };
        yield { binding: 'slices', at: at + 2, value: SUM ? sum : 0, scale: SUM ? sum : 0, as: 'f32' };
      }
  },
};

export const ARGMAX_SLICES: Kernel<SliceConstant> = {
  name: 'argmax_slices',
  folder: 'gpu',
  choices: [SLICE_SHAPES],
  sizes: VOCABULARY_SIZES,
  bindings: () => [READ_SLICES, ...NEXT],
  grid: rowGrid,
  *cpu(launch) {
    const { step, words, pick } = launch;
    for (const row of pick(step.count)) {
      const { values, tokens } = rowSlices(launch, row);
      const to = step.next + row;
      const token = values.every(Number.isFinite) ? tokens[bestOf(values).index]! : Number.NaN;
      yield* taken(to, token, words('next_rows', 4 * to, 4)[2]!);
    }
  },
};

/** The largest of each slice, of the model's logits or of adjusted ones, which are written. */
export function slices(
  recorder: Recorder,
  call: Pick<SamplingTarget, 'logits' | 'step' | 'between'>,
  {
    sum = false,
    adjust,
  }: {
    sum?: boolean;
    adjust?: Adjustments & { samplers: GPUBuffer; next: GPUBuffer; adjusted: Activations };
  } = {},
): void {
  const { logits, step } = call;
  const own = { HAS_BIAS: false, HAS_MASK: false, MASK_WORDS: 1 };
  recorder.add({
    label: adjust ? 'adjusted slices' : 'slices',
    shader: {
      kernel: SLICES,
      imports: { LOGITS: adjust ? 'features/logits_adjusted' : 'gpu/logits_own' },
      constants: {
        ...sliceConstants(logits),
        ...(adjust ? adjustConstants(adjust, logits) : own),
        SUM: sum,
      },
    },
    bind: {
      logits: logits.buffer,
      ...(adjust && adjustedBind(adjust, adjust.samplers, adjust.next, adjust.adjusted)),
      slices: sliceBuffer(call),
      step,
    },
  });
}

/** The likeliest token of each row. */
export function argmaxOfSlices(recorder: Recorder, call: SamplingTarget): void {
  if (!call.adjusted) slices(recorder, call);
  const { logits, next, sampled, step } = call;
  recorder.add({
    label: 'argmax',
    shader: { kernel: ARGMAX_SLICES, constants: sliceConstants(logits) },
    bind: { slices: sliceBuffer(call), next_rows: next, sampled, step },
  });
}
