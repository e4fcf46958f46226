import type { GenerateOptions } from '../../src/engine/types.ts';
import { argmax, logSumExp } from './kernels.ts';

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

/** What a token is drawn from: ids upwards, and their probabilities, which sum to 1. */
export interface Kept {
  ids: number[];
  probabilities: number[];
}

const normalized = (ids: number[], logits: ArrayLike<number>): Kept => {
  const kept = ids.map((id) => logits[id]!);
  const total = logSumExp(kept);
  return { ids, probabilities: kept.map((logit) => Math.exp(logit - total)) };
};

/**
 * The tokens that may be drawn, by penalized logits `(vocab)`: temperature, then top-k, then top-p over what top-k left,
 * then min-p against the likeliest. Each cut is a least logit or probability, and every token that equals it is kept.
 * Temperature 0 keeps the greatest logit alone, the lowest id of equals.
 */
export function keep(logits: ArrayLike<number>, options: SamplingOptions): Kept {
  const { temperature = 0, topK = 0, topP = 1, minP = 0 } = options;
  if (temperature === 0) return { ids: [argmax(logits)], probabilities: [1] };
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const everything = normalized(Array.from(scaled.keys()), scaled);

  let least = -Infinity;
  if (topK > 0 && topK < scaled.length) least = scaled.toSorted((a, b) => b - a)[topK - 1]!;
  const afterTopK = normalized(
    everything.ids.filter((id) => scaled[id]! >= least),
    scaled,
  );

  let mass = 0;
  let leastProbability = 0;
  for (const probability of afterTopK.probabilities.toSorted((a, b) => b - a)) {
    mass += probability;
    leastProbability = probability;
    if (topP < 1 && mass >= topP) break;
  }
  const afterTopP = normalized(
    afterTopK.ids.filter((_, i) => afterTopK.probabilities[i]! >= leastProbability),
    scaled,
  );

  const floor = minP * Math.max(...afterTopP.probabilities);
  return normalized(
    afterTopP.ids.filter((_, i) => afterTopP.probabilities[i]! >= floor),
    scaled,
  );
}

/** The distribution of the next token: penalties, then the kept set. */
export function distribution(
  logits: ArrayLike<number>,
  prompt: readonly number[],
  reply: readonly number[],
  options: SamplingOptions,
): Kept {
  return keep(penalize(logits, prompt, reply, options), options);
}
