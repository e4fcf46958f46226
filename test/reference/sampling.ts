import type { GenerateOptions } from '../../src/engine/types.ts';
import { type Kept, keep as keepBy } from '../../src/kernels/kept.ts';

/** The options that change the distribution; an absent one is off. */
export type SamplingOptions = Pick<
  GenerateOptions,
  | 'temperature'
  | 'topK'
  | 'topP'
  | 'minP'
  | 'repetitionPenalty'
  | 'frequencyPenalty'
  | 'presencePenalty'
  | 'logitBias'
>;

/**
 * Logits `(vocab)` after the penalties, f64, in this order: repetition (tokens of prompt or reply; a positive logit is
 * divided, another multiplied), frequency and presence (tokens of the reply), bias.
 */
export function penalize(
  logits: ArrayLike<number>,
  prompt: readonly number[],
  reply: readonly number[],
  options: SamplingOptions,
): Float64Array {
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, logitBias = {} } = options;
  const out = Float64Array.from(logits);
  for (const id of new Set([...prompt, ...reply]))
    out[id] = out[id]! > 0 ? out[id]! / repetitionPenalty : out[id]! * repetitionPenalty;
  for (const id of reply) out[id] = out[id]! - frequencyPenalty;
  for (const id of new Set(reply)) out[id] = out[id]! - presencePenalty;
  for (const [id, bias] of Object.entries(logitBias)) out[Number(id)] = out[Number(id)]! + bias;
  return out;
}

/** The tokens that may be drawn, by penalized logits `(vocab)`, and their probabilities. Temperature 0 is greedy. */
export function keep(
  logits: ArrayLike<number>,
  options: SamplingOptions,
): Pick<Kept, 'ids' | 'probabilities'> {
  const { temperature = 0, topK = 0, topP = 1, minP = 0 } = options;
  const sharpness = temperature === 0 ? 0 : 1 / temperature;
  const { ids, probabilities } = keepBy(logits, {
    sharpness,
    topK,
    topP,
    logMinP: minP ? Math.log(minP) : -3e38,
  });
  return { ids, probabilities };
}

/** The distribution of the next token: penalties, then the kept set. */
export function distribution(
  logits: ArrayLike<number>,
  prompt: readonly number[],
  reply: readonly number[],
  options: SamplingOptions,
): Pick<Kept, 'ids' | 'probabilities'> {
  return keep(penalize(logits, prompt, reply, options), options);
}
