import { ShishuError } from '../errors.ts';
import type { SampleSource } from '../train/batches.ts';
import { hashOf, shuffled } from '../train/random.ts';
import { countTokens, type Mixture, type MixturePart } from './windows.ts';

/** Times that a run may pass over a text; with more the child would overfit to it. */
const MOST_PASSES = 10;

const shareOf = (mixture: Mixture, { weight }: MixturePart): number =>
  weight / mixture.reduce((sum, part) => sum + part.weight, 0);

/** The largest number of passes over a part that so many tokens are. */
export const passesOver = (mixture: Mixture, tokens: number): number =>
  Math.max(...mixture.map((part) => (tokens * shareOf(mixture, part)) / countTokens(part.windows)));

/** @throws ShishuError `bad-argument` when a part has too few tokens for its share, naming what it has and needs */
export function checkMixture(mixture: Mixture, tokens: number): void {
  for (const part of mixture) {
    const available = countTokens(part.windows);
    const share = tokens * shareOf(mixture, part);
    if (share <= MOST_PASSES * available) continue;
    const needed = Math.ceil(share / MOST_PASSES);
    throw new ShishuError(
      'bad-argument',
      `Healing with ${Math.round(share)} tokens of ${part.name} would pass ${Math.ceil(share / available)} times over the ${available} there are; at most ${MOST_PASSES}, which takes ${needed}.`,
      {
        details: { tokens, available, needed, most: Math.floor((tokens / share) * MOST_PASSES * available) },
        mend: 'Give a longer text, or fewer tokens.',
      },
    );
  }
}

/** Share of what is asked for that fresh text must have, or all of the text is gone over again. */
const ENOUGH = 0.9;

/**
 * The text without its first `used` tokens, each part by its share: what an earlier healing was trained on. A part that has too
 * little behind them for so many tokens stays whole.
 */
export const freshOf = (mixture: Mixture, used: number, tokens: number): Mixture =>
  mixture.map((part) => {
    const share = shareOf(mixture, part);
    let count = 0;
    const fresh = part.windows.filter((window) => {
      const before = count;
      count += window.length;
      return before >= share * used;
    });
    return countTokens(fresh) >= ENOUGH * share * tokens ? { ...part, windows: fresh } : part;
  });

/** Windows of all parts as samples, by their shares of tokens; each part in a new order each pass. Every token counts in the loss. */
export function mixed(mixture: Mixture, seed: number): SampleSource {
  // Windows are drawn: of a part with long ones as many fewer.
  const odds = mixture.map((part) => part.weight / (countTokens(part.windows) / part.windows.length));
  const total = odds.reduce((a, b) => a + b, 0);
  const drawn = mixture.map(() => 0);
  /** By sample: its part, and how many samples of that part there are before. */
  const draws: { part: number; nth: number }[] = [];
  const drawOf = (index: number): { part: number; nth: number } => {
    while (draws.length <= index) {
      let rest = (hashOf(`${seed}/part/${draws.length}`) / 2 ** 32) * total;
      let part = 0;
      while (part + 1 < odds.length && rest >= odds[part]!) rest -= odds[part++]!;
      draws.push({ part, nth: drawn[part]!++ });
    }
    return draws[index]!;
  };
  const orders = new Map<string, number[]>();
  const orderOf = (part: number, pass: number): number[] => {
    const key = `${part}/${pass}`;
    const known = orders.get(key);
    if (known) return known;
    const order = shuffled(
      mixture[part]!.windows.map((_, i) => i),
      hashOf(`${seed}/${key}`),
    );
    orders.set(key, order);
    return order;
  };
  return (index) => {
    const { part, nth } = drawOf(index);
    const { windows } = mixture[part]!;
    const order = orderOf(part, Math.floor(nth / windows.length));
    const ids = [...windows[order[nth % windows.length]!]!];
    return { ids, weights: ids.map(() => 1) };
  };
}
