import type { Term, Terms } from './term.ts';

/** Digits in a number: as many as a double holds exactly. */
const DIGITS = 15;
/** Digits after the point of a number with bounds. */
const FRACTION = 6;

/** Bounds of a number; a bound that is `undefined` is none. */
export interface Bounds {
  low: number | undefined;
  high: number | undefined;
  /** Whether the bound itself is out. */
  lowOut: boolean;
  highOut: boolean;
}

const isBounded = ({ low, high }: Bounds): boolean => low !== undefined || high !== undefined;

/** JSON's whole numbers of at most 15 digits within bounds, with no point and no exponent; undefined where there is none. */
export function integers(terms: Terms, bounds: Bounds): Term | undefined {
  return scaled(terms, bounds, 0);
}

/**
 * JSON's numbers: at most 15 digits before the point and 15 after, an exponent of at most two digits. Within bounds: no
 * exponent, at most 6 digits after the point, and 15 in all. Undefined where there is none.
 */
export function numbers(terms: Terms, bounds: Bounds): Term | undefined {
  if (!isBounded(bounds)) {
    const digit = terms.set(0x30, 0x39);
    const whole = terms.alt(
      terms.text('0'),
      terms.seq(terms.set(0x31, 0x39), terms.repeat(digit, 0, DIGITS - 1)),
    );
    const sign = terms.maybe(terms.alt(terms.text('+'), terms.text('-')));
    const exponent = terms.seq(terms.alt(terms.text('e'), terms.text('E')), sign, terms.repeat(digit, 1, 2));
    return terms.seq(
      terms.maybe(terms.text('-')),
      whole,
      terms.maybe(terms.seq(terms.text('.'), terms.repeat(digit, 1, DIGITS))),
      terms.maybe(exponent),
    );
  }
  const alternatives = Array.from({ length: FRACTION + 1 }, (_, places) =>
    scaled(terms, bounds, places),
  ).filter((each) => each !== undefined);
  return alternatives.length > 0 ? terms.alt(...alternatives) : undefined;
}

/** Numbers `m / 10^places` within bounds, m whole: written with just that many places. */
function scaled(terms: Terms, bounds: Bounds, places: number): Term | undefined {
  const most = 10 ** DIGITS - 1;
  const scale = 10 ** places;
  // Quotients of these sizes are rounded as the parser of a decimal rounds: what is compared is what will be read.
  const tooLow = (m: number): boolean =>
    bounds.low !== undefined && (bounds.lowOut ? m / scale <= bounds.low : m / scale < bounds.low);
  const tooHigh = (m: number): boolean =>
    bounds.high !== undefined && (bounds.highOut ? m / scale >= bounds.high : m / scale > bounds.high);
  const clamp = (m: number): number => Math.max(-most, Math.min(most, m));
  let low = clamp(Math.floor((bounds.low ?? -most) * scale) - 1);
  let high = clamp(Math.ceil((bounds.high ?? most) * scale) + 1);
  while (low <= high && tooLow(low)) low++;
  while (low <= high && tooHigh(high)) high--;
  if (low > high || tooLow(high) || tooHigh(low)) return undefined;
  const alternatives = [];
  if (high >= 0) alternatives.push(magnitudes(terms, Math.max(0, low), high, places));
  // There is no -0.
  if (low < 0)
    alternatives.push(terms.seq(terms.text('-'), magnitudes(terms, Math.max(1, -high), -low, places)));
  return terms.alt(...alternatives);
}

/** Whole numbers `low` to `high`, neither negative, with a point before the last `places` digits. */
function magnitudes(terms: Terms, low: number, high: number, places: number): Term {
  const alternatives: Term[] = [];
  // The shortest keep a zero before the point; longer ones begin with another digit.
  for (let width = places + 1; width <= String(high).length || width === places + 1; width++) {
    const from = Math.max(low, width === places + 1 ? 0 : 10 ** (width - 1));
    const to = Math.min(high, 10 ** width - 1);
    if (from > to) continue;
    const digits = (value: number): number[] => Array.from(String(value).padStart(width, '0'), Number);
    alternatives.push(between(terms, digits(from), digits(to), width - places));
  }
  return terms.alt(...alternatives);
}

/** Strings of digits from `low` to `high`, equally long, with a point before the digit at `point`. */
function between(terms: Terms, low: readonly number[], high: readonly number[], point: number, at = 0): Term {
  if (at === low.length) return terms.empty;
  const digit = (from: number, to: number): Term => {
    const set = terms.set(0x30 + from, 0x30 + to);
    return at === point ? terms.seq(terms.text('.'), set) : set;
  };
  const [a, b] = [low[at]!, high[at]!];
  const rest = (from: readonly number[], to: readonly number[]): Term =>
    between(terms, from, to, point, at + 1);
  if (a === b) return terms.seq(digit(a, a), rest(low, high));
  const zeros = low.map(() => 0);
  const nines = low.map(() => 9);
  const free = low.slice(at + 1).every((d) => d === 0) && high.slice(at + 1).every((d) => d === 9);
  if (free) return terms.seq(digit(a, b), rest(zeros, nines));
  const alternatives = [terms.seq(digit(a, a), rest(low, nines)), terms.seq(digit(b, b), rest(zeros, high))];
  if (b - a > 1) alternatives.push(terms.seq(digit(a + 1, b - 1), rest(zeros, nines)));
  return terms.alt(...alternatives);
}
