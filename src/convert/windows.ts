import { ShishuError } from '../errors.ts';

/** Windows of tokens, each run from position 0. */
export type TokenWindows = readonly (readonly number[])[];

/** One text of those that healing trains on. */
export interface MixturePart {
  name: string;
  /** Its share of the tokens, against the other parts'. */
  weight: number;
  windows: TokenWindows;
}

export type Mixture = readonly MixturePart[];

/** A text alone. */
export const mixtureOf = (windows: TokenWindows, name = 'the text'): Mixture => [
  { name, weight: 1, windows },
];

/** Text cut into windows of tokens. No token is in two of the first three sets. */
export interface Windows {
  /** Maps are fitted to these, */
  calibration: number[][];
  /** regularisation and blocks are chosen by these, */
  choosing: number[][];
  /** and all that is reported is measured on these. */
  test: number[][];
  /** Healing trains on these: the calibration windows, and what more text there is. */
  healing: Mixture;
}

/** The sets' shares of the text, */
export const SHARES = { calibration: 0.7, choosing: 0.1, test: 0.2 } as const;
type WindowSet = keyof typeof SHARES;
/** and the sets of ten windows in a row. */
const SETS: readonly WindowSet[] = [
  ...Array<WindowSet>(7).fill('calibration'),
  'choosing',
  ...Array<WindowSet>(2).fill('test'),
];

/** Fewest tokens for maps in d dimensions: seven tenths of them are twice as many as a map has inputs. */
export const tokensNeeded = (d: number): number => Math.ceil((2 * d * 10) / 7);

/**
 * Cuts a text up: of every ten windows seven calibrate, one chooses, two test.
 * @param length most tokens of a window; shorter ones are made when the text is short
 * @param begin token put before each window but not counted, when the model expects one
 * @param rest more of the text, for healing alone
 * @throws ShishuError `bad-argument` when the text is too short, naming how much is needed
 */
export function windowsOf(
  ids: readonly number[],
  options: {
    length: number;
    hiddenSize: number;
    begin: number | undefined;
    rest?: readonly number[] | undefined;
  },
): Windows {
  const { length, hiddenSize, begin, rest = [] } = options;
  checkEnough(ids.length, hiddenSize);
  const each = Math.max(
    1,
    Math.min(length - (begin === undefined ? 0 : 1), Math.floor(ids.length / SETS.length)),
  );
  const cut = (text: readonly number[]): number[][] =>
    Array.from({ length: Math.floor(text.length / each) }, (_, i) => {
      const window = text.slice(i * each, (i + 1) * each);
      return begin === undefined ? window : [begin, ...window];
    });
  const windows: Record<WindowSet, number[][]> = { calibration: [], choosing: [], test: [] };
  for (const [i, window] of cut(ids).entries()) windows[SETS[i % SETS.length]!].push(window);
  return { ...windows, healing: mixtureOf([...windows.calibration, ...cut(rest)]) };
}

/** @throws ShishuError `bad-argument` when maps of a model of this hidden size need more tokens */
export function checkEnough(tokens: number, hiddenSize: number): void {
  const needed = tokensNeeded(hiddenSize);
  if (tokens >= needed) return;
  throw new ShishuError(
    'bad-argument',
    `The calibration text has ${tokens} tokens, a model of hidden size ${hiddenSize} needs ${needed}.`,
    { details: { tokens, needed }, mend: 'Give a longer text.' },
  );
}

export const countTokens = (windows: TokenWindows): number =>
  windows.reduce((sum, window) => sum + window.length, 0);

/** Tokens that maps are fitted to, that choices are made by, and that all is measured on. */
export interface TokenCounts {
  calibration: number;
  choosing: number;
  test: number;
}

export const tokenCounts = ({ calibration, choosing, test }: Windows): TokenCounts => ({
  calibration: countTokens(calibration),
  choosing: countTokens(choosing),
  test: countTokens(test),
});
