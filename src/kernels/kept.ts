// Which tokens may be drawn, and which is: the CPU twin of shaders/plain/sample.wgsl, in f64.
import { bestOf, hash } from './math.ts';

/** `Sampler` of shaders/shared/sampling.wgsl. */
export interface SamplerWords {
  sharpness: number;
  topP: number;
  logMinP: number;
  topK: number;
  repetition: number;
  frequency: number;
  presence: number;
  seed: number;
}

/**
 * What a token is drawn from, by logits `(vocab)`: the `topK` largest; of those the fewest largest whose probability reaches
 * `topP`; of those the ones at least `minP` times the likeliest. Every token that equals the least kept one is kept.
 */
export interface Kept {
  /** Ids upwards, and their probabilities, which sum to 1. */
  ids: number[];
  probabilities: number[];
  /** Whether rounding in f32 might keep others. */
  close: boolean;
}

const CLOSE = 1e-4;

/** @see Kept */
export function keep(
  logits: ArrayLike<number>,
  { sharpness, topP, logMinP, topK }: Pick<SamplerWords, 'sharpness' | 'topP' | 'logMinP' | 'topK'>,
): Kept {
  if (sharpness === 0) return { ids: [bestOf(logits).index], probabilities: [1], close: false };
  const best = bestOf(logits).value;
  const weight = (id: number): number => Math.exp((logits[id]! - best) * sharpness);
  let order = Array.from({ length: logits.length }, (_, id) => id).sort((a, b) => logits[b]! - logits[a]!);
  let close = false;
  const cut = (least: number): void => {
    order = order.filter((id) => logits[id]! >= least);
  };
  if (topK > 0 && topK < order.length) cut(logits[order[topK - 1]!]!);
  if (topP < 1) {
    const goal = topP * order.reduce((sum, id) => sum + weight(id), 0);
    let mass = 0;
    for (const [i, id] of order.entries()) {
      mass += weight(id);
      close ||= Math.abs(mass - goal) < CLOSE * goal;
      if (mass < goal && i < order.length - 1) continue;
      cut(logits[id]!);
      break;
    }
  }
  if (logMinP > -1e30) {
    const least = best + logMinP / sharpness;
    close ||= order.some((id) => Math.abs(logits[id]! - least) < CLOSE);
    cut(least);
  }
  const ids = order.sort((a, b) => a - b);
  const total = ids.reduce((sum, id) => sum + weight(id), 0);
  return { ids, probabilities: ids.map((id) => weight(id) / total), close };
}

/** The token that sample.wgsl draws; NaN where rounding decides. */
export function drawn(
  logits: ArrayLike<number>,
  sampler: SamplerWords,
  { threads, position, reply }: { threads: number; position: number; reply: number },
): number {
  const { ids, probabilities, close } = keep(logits, sampler);
  if (ids.length === 1 && !close) return ids[0]!;
  const draw = hash((hash((hash(sampler.seed) + position) >>> 0) ^ reply) >>> 0);
  // A thread has every `threads`-th token; the first thread's come first.
  const order = Array.from(ids.keys()).sort(
    (a, b) => (ids[a]! % threads) - (ids[b]! % threads) || ids[a]! - ids[b]!,
  );
  let left = Math.floor(draw / 256) / 16777216;
  for (const i of order) {
    if (close || Math.abs(left - probabilities[i]!) < CLOSE) return Number.NaN;
    if (left < probabilities[i]!) return ids[i]!;
    left -= probabilities[i]!;
  }
  return Number.NaN;
}
