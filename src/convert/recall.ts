// Recall: random words, then the same again. Whoever can look words up knows the second time what follows.
import type { Scores } from '../engine/scoring.ts';
import { randomFrom } from '../train/random.ts';
import type { OnGpu } from './on-gpu.ts';
import type { Windows } from './windows.ts';

/** Words of a list that comes twice. */
const WORDS = 28;
/** Fewer tell little. */
const FEWEST_WORDS = 4;
/** Lists, so that one word more or less matters little. */
export const RECALL_LISTS = 4;

const POOL = (
  'apple river stone window garden paper silver winter doctor bottle candle market forest engine yellow ' +
  'bridge planet castle finger summer orange pencil rabbit ticket island mirror violin kitchen shadow ' +
  'button carpet desert eagle fabric guitar hammer jacket ladder magnet needle oyster pocket quartz ribbon ' +
  'saddle temple umbrella valley walnut anchor basket copper dragon elbow feather glove harbor insect ' +
  'jungle kettle lemon marble napkin orchid pepper radio salmon tunnel velvet wagon zebra autumn barrel ' +
  'circle dinner escape flower ginger helmet iron judge knight lantern meadow noble ocean pillow queen ' +
  'rocket spider tiger uncle violet whale yarn acid beach cloud dance earth flame ghost honey ice juice'
).split(' ');

/** A list of words that comes twice, as a window of tokens. */
export interface RecallList {
  ids: number[];
  /** The first token of the second time, of which the list's first word says nothing yet. */
  second: number;
}

/**
 * Lists of words, no two alike; none for a vocabulary that has not even their letters.
 * @param begin token put before each, when the model expects one
 * @param most tokens of a window
 */
export function recallLists(
  encode: (text: string) => readonly number[],
  {
    begin,
    most,
    lists = RECALL_LISTS,
    seed = 1,
  }: {
    begin: number | undefined;
    most: number;
    lists?: number | undefined;
    seed?: number | undefined;
  },
): RecallList[] {
  const random = randomFrom(seed);
  return Array.from({ length: lists }, (): RecallList[] => {
    const pool = [...POOL];
    const words = Array.from({ length: WORDS }, () => pool.splice(Math.floor(random() * pool.length), 1)[0]!);
    for (let count = WORDS; count >= FEWEST_WORDS; count--) {
      const of = (some: readonly string[]): number[] =>
        encode(some.map((word) => ` ${word}`).join('')).filter((id, i) => i > 0 || id !== begin);
      const once = of(words.slice(0, count));
      // A vocabulary without these letters.
      if (once.length < count) return [];
      // A new line tells that something begins: without it, even a model that can look words up hardly does.
      const between = encode('\n').filter((id) => id !== begin);
      const ids = [...(begin === undefined ? [] : [begin]), ...once, ...between, ...once];
      if (ids.length <= most)
        return [{ ids, second: ids.length - once.length + of(words.slice(0, 1)).length }];
    }
    return [];
  }).flat();
}

/** Lists for a model on the GPU, which begin as its windows of text do. */
export function recallListsOf(
  { runner, tokenizer }: Pick<OnGpu, 'runner' | 'tokenizer'>,
  { choosing: [first = []] }: Pick<Windows, 'choosing'>,
  lists = RECALL_LISTS,
): RecallList[] {
  const { spec, kv } = runner.parts;
  const begin = first[0] === spec.bosTokenId ? spec.bosTokenId : undefined;
  return recallLists((text) => tokenizer.encode(text), { begin, most: kv.context, lists });
}

/** How well the second times are known: mean nats of their tokens, and the share that is the likeliest. */
export interface Recall {
  nats: number;
  accuracy: number;
  tokens: number;
}

/** @param scores of each list, by row: row i tells of token i + 1 */
export function recallOf(lists: readonly RecallList[], scores: readonly Scores[]): Recall {
  let [nats, right, tokens] = [0, 0, 0];
  for (const [i, { ids, second }] of lists.entries())
    for (let at = second; at < ids.length; at++) {
      nats -= scores[i]!.logprobs[at - 1]!;
      if (scores[i]!.top1[at - 1] === ids[at]) right++;
      tokens++;
    }
  return { nats: nats / tokens, accuracy: right / tokens, tokens };
}
