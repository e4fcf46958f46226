import { ShishuError } from '../errors.ts';

/** Text cut into windows of tokens, each run from position 0. No token is in two of the three sets. */
export interface Windows {
  /** Maps are fitted to these, */
  calibration: number[][];
  /** regularisation and blocks are chosen by these, */
  choosing: number[][];
  /** and all that is reported is measured on these. */
  test: number[][];
}

/** Of ten windows in a row, how many of each set. */
const SHARES = { calibration: 7, choosing: 1 } as const;
const GROUP = 10;

/** Fewest tokens for maps in d dimensions: more calibration tokens than a map has inputs. */
export const tokensNeeded = (d: number): number => Math.ceil((2 * d * GROUP) / SHARES.calibration);

/**
 * Cuts a text up: of every ten windows seven calibrate, one chooses, two test.
 * @param length most tokens of a window; shorter ones are made when the text is short
 * @param begin token put before each window but not counted, when the model expects one
 * @throws ShishuError `bad-argument` when the text is too short, naming how much is needed
 */
export function windowsOf(
  ids: readonly number[],
  { length, hiddenSize, begin }: { length: number; hiddenSize: number; begin: number | undefined },
): Windows {
  const needed = tokensNeeded(hiddenSize);
  if (ids.length < needed)
    throw new ShishuError(
      'bad-argument',
      `The calibration text has ${ids.length} tokens, a model of hidden size ${hiddenSize} needs ${needed}.`,
      { details: { tokens: ids.length, needed }, mend: 'Give a longer text with --text.' },
    );
  const each = Math.max(1, Math.min(length - (begin === undefined ? 0 : 1), Math.floor(ids.length / GROUP)));
  const windows: Windows = { calibration: [], choosing: [], test: [] };
  for (let at = 0, i = 0; at + each <= ids.length; at += each, i++) {
    const part = ids.slice(at, at + each);
    const place = i % GROUP;
    const set =
      place < SHARES.calibration
        ? windows.calibration
        : place < SHARES.calibration + SHARES.choosing
          ? windows.choosing
          : windows.test;
    set.push(begin === undefined ? part : [begin, ...part]);
  }
  return windows;
}
