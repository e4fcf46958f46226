import type { Term, Terms } from './term.ts';

/** Least and most of one repetition. */
export type Bounds = readonly [number, number];

/** Factors of a sequence whose repetitions are loosened: about as many as one token reaches. */
const MAX_FACTORS = 256;
/** Most repetitions of one term that are loosened. */
const MAX_SLOTS = 8;

/** Terms whose next repetitions are counters without bounds, and the bounds that belong to them, by slot. */
export interface Loosened {
  terms: Term[];
  bounds: Bounds[];
}

/**
 * Replaces the repetitions that come next by counters without bounds, so that states that differ only in counts become one:
 * which tokens may follow is then computed once for all counts.
 */
export function loosened(terms: Terms, all: readonly Term[]): Loosened {
  const each = all.map((term) => ({ term, ...loosen(terms, term, 0) }));
  // Terms of one form in the order of their bounds, so that the same forms get the same slots.
  each.sort((a, b) => a.loose.id - b.loose.id || compare(a.bounds, b.bounds));
  const out: Loosened = { terms: [], bounds: [] };
  for (const { term, loose, bounds } of each) {
    const base = out.bounds.length;
    out.terms.push(base === 0 ? loose : loosen(terms, term, base).loose);
    out.bounds.push(...bounds);
  }
  return out;
}

function compare(a: readonly Bounds[], b: readonly Bounds[]): number {
  const [left, right] = [a.flat(), b.flat()];
  const at = left.findIndex((value, i) => value !== right[i]);
  return at < 0 ? 0 : left[at]! - right[at]!;
}

function loosen(terms: Terms, term: Term, base: number): { loose: Term; bounds: Bounds[] } {
  const bounds: Bounds[] = [];
  const one = (factor: Term): Term => {
    if (
      factor.kind !== 'repeat' ||
      (factor.min < 2 && (factor.max < 2 || factor.max === Number.POSITIVE_INFINITY))
    )
      return factor;
    bounds.push([factor.min, factor.max]);
    return terms.counter(factor.body, base + bounds.length - 1, 0);
  };
  const factors: Term[] = [];
  let rest = term;
  for (; rest.kind === 'seq' && factors.length < MAX_FACTORS && bounds.length < MAX_SLOTS; rest = rest.tail)
    factors.push(one(rest.head));
  factors.push(bounds.length < MAX_SLOTS ? one(rest) : rest);
  return { loose: bounds.length > 0 ? terms.chain(factors) : term, bounds };
}

/** What one way to read a token requires of a slot's bounds: that `begun` rounds are allowed and, if `over`, enough. */
interface Ask {
  slot: number;
  begun: number;
  over: boolean;
}

/** The requirements of each way to read a token, one of which must be met. Undefined where a way requires nothing. */
export type Asked = readonly (readonly Ask[])[] | undefined;

/** What the bounds must allow for a loosened state to be one of the grammar. */
export function askedBy(terms: readonly Term[]): Asked {
  const ways: Ask[][] = [];
  for (const term of terms) {
    const asks: Ask[] = [];
    for (let rest: Term | undefined = term; rest; rest = rest.kind === 'seq' ? rest.tail : undefined) {
      const factor = rest.kind === 'seq' ? rest.head : rest;
      if (factor.kind === 'left') asks.push({ slot: factor.slot, begun: factor.begun, over: true });
      else if (factor.kind === 'counter' && factor.begun > 0)
        asks.push({ slot: factor.slot, begun: factor.begun, over: false });
    }
    if (asks.length === 0) return undefined;
    ways.push(asks);
  }
  return ways;
}

export const isMet = (asked: Asked, bounds: readonly Bounds[]): boolean =>
  asked === undefined ||
  asked.some((asks) =>
    asks.every(({ slot, begun, over }) => begun <= bounds[slot]![1] && (!over || begun >= bounds[slot]![0])),
  );
