// What kernels that go over rows of logits have in common.
import {
  type Binding,
  type Kernel,
  type Result,
  reads,
  STEP,
  type TwinLaunch,
  writes,
} from '../gpu/kernel.ts';
import type { SamplerWords } from './kept.ts';
import { type Activations, COUNT, stride, VOCABULARY } from './tensor.ts';

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

/** Rows of logits `(rows, stride(vocab))`, and where a choice among them goes. */
export interface SamplingTarget {
  logits: Activations;
  /** The next step's rows: token and position are written. */
  next: GPUBuffer;
  /** `(rows)` u32: the chosen tokens. */
  sampled: GPUBuffer;
  step: GPUBuffer;
  /** The logits are what `adjust` left. */
  adjusted?: boolean;
  between: Between;
}

/** Buffers that kernels leave something in for the next, by name: of as many bytes a row, and made when first asked for. */
export type Between = (
  name: 'slices' | 'segments' | 'candidateKeys' | 'candidateMasses' | 'tops',
  bytes: number,
) => GPUBuffer;

/** Each made once. */
export function betweenOf(make: (label: string, bytes: number) => GPUBuffer): Between {
  const made: Partial<Record<string, GPUBuffer>> = {};
  return (name, bytes) => {
    made[name] ??= make(name, bytes);
    return made[name];
  };
}

export const vocabConstants = ({ cols }: Activations): Record<'VOCAB' | 'STRIDE4', number> => ({
  VOCAB: cols,
  STRIDE4: stride(cols) / 4,
});

/** Most tokens whose log-probabilities are told beside that of the chosen one, as in OpenAI's API. */
export const MAX_TOP = 20;

export const SAMPLER_BYTES = 32;

/** Of the next step's rows. */
export const SAMPLERS = reads('samplers', 'Sampler', ({ step }) => [
  step.next + step.count,
  SAMPLER_BYTES / 4,
]);

/** A sampler as shaders/shared/sampling.wgsl has it, from the next step's row that it is of. */
export function samplerAt({ words }: Pick<TwinLaunch, 'words'>, row: number): SamplerWords {
  const bits = words('samplers', 8 * row, 8);
  const floats = new Float32Array(bits.buffer);
  return {
    sharpness: floats[0]!,
    topP: floats[1]!,
    logMinP: floats[2]!,
    topK: bits[3]!,
    repetition: floats[4]!,
    frequency: floats[5]!,
    presence: floats[6]!,
    seed: bits[7]!,
  };
}

/** Words of a mask: a bit a token. */
export const maskWords = (vocab: number): number => Math.ceil(vocab / 32);

/** What penalties, bias and mask are read from; each `(sequences, ...)`. */
export interface Adjustments {
  /** `(sequences, vocab)` u32: twice the times a token is in the reply, plus one if it is in the prompt. */
  counts: GPUBuffer;
  /** `(sequences, vocab)` f32. */
  bias: GPUBuffer | undefined;
  /** `(sequences, maskWords(vocab))` u32: a bit a token that may be chosen. */
  mask: GPUBuffer | undefined;
}

export type AdjustConstant = 'HAS_BIAS' | 'HAS_MASK' | 'MASK_WORDS';

/** Bindings of shaders/shared/features/logits_adjusted.wgsl, behind the logits. */
export const adjustedBindings = (element = 'f32'): Binding<VocabularyConstant | AdjustConstant>[] => [
  writes('adjusted', element, ({ constants, step }) => [step.count, 4 * constants.STRIDE4]),
  // by sequence: twice the times that a token is in the reply, plus one if it is in the prompt
  writes('counts', 'u32', ({ constants, step }) => [step.next + step.count, constants.VOCAB]),
  // by sequence; not read unless HAS_BIAS
  reads('bias', 'f32', ({ constants, step }) => [step.next + step.count, constants.VOCAB]),
  // by sequence: a bit for each token that may be chosen; not read unless HAS_MASK
  reads('mask', 'u32', ({ constants, step }) => [step.next + step.count, constants.MASK_WORDS]),
  SAMPLERS,
  reads('next_rows', 'Row', ({ step }) => [step.next + step.count, 4]),
];

/** What those bindings are bound to. */
export const adjustedBind = (
  { counts, bias, mask }: Adjustments,
  samplers: GPUBuffer,
  next: GPUBuffer,
  adjusted: Activations,
): Record<string, GPUBuffer> => ({
  adjusted: adjusted.buffer,
  counts,
  bias: bias ?? samplers,
  mask: mask ?? samplers,
  samplers,
  next_rows: next,
});

export const adjustConstants = (
  { bias, mask }: Adjustments,
  { cols }: Activations,
): Record<AdjustConstant, number | boolean> => ({
  HAS_BIAS: bias !== undefined,
  HAS_MASK: mask !== undefined,
  MASK_WORDS: maskWords(cols),
});

/** What adjust.wgsl and logits_adjusted.wgsl leave of some tokens of a row: the adjusted logit, and a count where the token was chosen last. */
export function* adjustedTokens(
  { constants, step, floats, words }: TwinLaunch<VocabularyConstant | AdjustConstant>,
  row: number,
  tokens: Iterable<number>,
): Iterable<Result & { binding: 'adjusted' | 'counts' }> {
  const { STRIDE4, VOCAB, HAS_BIAS, HAS_MASK, MASK_WORDS } = constants;
  const sampler = samplerAt({ words }, step.next + row);
  const [last, sequence = 0] = words('next_rows', 4 * (step.next + row), 4);
  for (const i of tokens) {
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
