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
  /** Text of another kind, which nothing is fitted to, chosen by or trained on: it is measured on too. */
  other?: number[][];
  /** Healing trains on these: the calibration windows, and what more text there is. */
  healing: Mixture;
}

/** The sets' shares of the text, */
export const SHARES = { calibration: 0.7, choosing: 0.1, test: 0.2 } as const;
/** Fewest tokens of a window that is what a longer text leaves. */
const STUB = 8;
type WindowSet = keyof typeof SHARES;
/** and the sets of ten windows in a row. */
const SETS: readonly WindowSet[] = [
  ...Array<WindowSet>(7).fill('calibration'),
  'choosing',
  ...Array<WindowSet>(2).fill('test'),
];

/** Fewest tokens for maps in d dimensions: seven tenths of them are twice as many as a map has inputs. */
export const tokensNeeded = (d: number): number => Math.ceil((2 * d * 10) / 7);

/** Token ids of a text, piece by piece: of one text that goes on, or whole ones that stay so where they can. */
export interface TokenPieces {
  pieces: Iterable<readonly number[]>;
  whole: boolean;
}

/**
 * Cuts a text up: of every ten windows of its first `tokens` tokens seven calibrate, one chooses, two test. What is behind them is for
 * healing alone.
 * @param length most tokens of a window; shorter ones are made when the text is short
 * @param begin token put before each window but not counted, when the model expects one
 * @param more tokens for healing alone, at most
 */
export function windowsOf(
  { pieces, whole }: TokenPieces,
  {
    length,
    begin,
    tokens,
    more = 0,
  }: { length: number; begin?: number | undefined; tokens: number; more?: number },
): Record<WindowSet | 'rest', number[][]> {
  const [ids, rest]: [number[][], number[][]] = [[], []];
  let count = 0;
  for (const piece of pieces) {
    const here = whole ? piece.length : Math.max(0, Math.min(piece.length, tokens - count));
    if (count < tokens) ids.push(piece.slice(0, here));
    if (count >= tokens || here < piece.length) rest.push(piece.slice(count < tokens ? here : 0));
    count += piece.length;
    if (count >= tokens + more) break;
  }
  const most = length - (begin === undefined ? 0 : 1);
  const available = ids.reduce((sum, { length }) => sum + length, 0);
  const each = Math.max(1, Math.min(most, Math.floor(available / SETS.length)));
  const cut = (texts: readonly number[][]): number[][] =>
    (whole ? packed(texts, each) : cutUp(texts.flat(), each)).map((window) =>
      begin === undefined ? window : [begin, ...window],
    );
  const windows: Record<WindowSet, number[][]> = { calibration: [], choosing: [], test: [] };
  for (const [i, window] of cut(ids).entries()) windows[SETS[i % SETS.length]!].push(window);
  return { ...windows, rest: more > 0 ? cut(rest) : [] };
}

const cutUp = (ids: readonly number[], each: number): number[][] =>
  Array.from({ length: Math.floor(ids.length / each) }, (_, i) => ids.slice(i * each, (i + 1) * each));

/** Texts in windows, as many in one as it has room for; longer ones in pieces, of which a stub is left out. */
function packed(texts: readonly number[][], each: number): number[][] {
  const windows: number[][] = [];
  for (const text of texts)
    for (let at = 0; at < text.length; at += each) {
      const piece = text.slice(at, at + each);
      const last = windows.at(-1);
      if (last && last.length + piece.length <= each) last.push(...piece);
      else if (at === 0 || piece.length >= STUB) windows.push(piece);
    }
  return windows;
}

/**
 * @param inputs positions that each map sees
 * @throws ShishuError `bad-argument` when maps of a model of this hidden size need more tokens
 */
export function checkEnough(tokens: number, hiddenSize: number, inputs = 1): void {
  const needed = tokensNeeded(inputs * hiddenSize);
  if (tokens >= needed) return;
  const what = inputs === 1 ? 'a model' : `a map of ${inputs} positions, of a model`;
  throw new ShishuError(
    'bad-argument',
    `The calibration text has ${tokens} tokens, ${what} of hidden size ${hiddenSize} needs ${needed}.`,
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
