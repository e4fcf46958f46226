import { ShishuError } from '../errors.ts';
import { forms } from './merge.ts';
import type { Term, Terms } from './term.ts';

/** Sets of terms that are looked at; counts that run together show early. */
const MAX_SETS = 400;
/** Terms of a set that is looked beyond. */
const MAX_TERMS = 100;

/**
 * Refuses a grammar that can read a text in more than `limit` ways at once, as `(a{0,100}){0,100}`: nested repetitions whose
 * counts do not follow from the text.
 * @throws ShishuError `unsupported`
 */
export function refuseAmbiguous(terms: Terms, start: Term, limit: number): void {
  // Of counts that follow one another, one term is made: at most every other count is one.
  const counts = (bodies?: ReadonlySet<Term>): number => Math.ceil(waysOf(terms, start, bodies) / 2);
  if (counts() <= limit) return;
  const ways = counts(ambiguous(terms, start));
  if (ways > limit)
    throw new ShishuError('unsupported', 'The constraint can be read in too many ways at once.', {
      details: { option: 'constraint', ways, limit },
      mend: 'Make its alternatives and repetitions less alike, or their counts smaller.',
    });
}

/** The product of the counts of repetitions within each other, where it is largest; of some bodies alone, where given. */
function waysOf(terms: Terms, start: Term, bodies?: ReadonlySet<Term>): number {
  const ways = new Map<Term, number>();
  const of = (term: Term): number => {
    const done = ways.get(term);
    if (done !== undefined) return done;
    // A rule within itself counts once.
    ways.set(term, 1);
    let most = 1;
    if (term.kind === 'alt') for (const each of term.terms) most = Math.max(most, of(each));
    else if (term.kind === 'rule') most = of(terms.body(term.name));
    else if (term.kind === 'seq') {
      let rest: Term = term;
      for (; rest.kind === 'seq'; rest = rest.tail) most = Math.max(most, of(rest.head));
      most = Math.max(most, of(rest));
    } else if (term.kind === 'repeat') {
      const { body, min, max } = term;
      const counted = !bodies || bodies.has(body);
      most = of(body) * (counted ? Math.max(1, Number.isFinite(max) ? max : min) : 1);
    }
    ways.set(term, most);
    return most;
  };
  return of(start);
}

/** Bodies of repetitions that one text was counted in two ways in. */
function ambiguous(terms: Terms, start: Term): Set<Term> {
  const bytes = terms.bytes();
  const found = new Set<Term>();
  const seen = new Set<string>();
  let sets: Set<Term>[] = [new Set([start])];
  for (let next: Set<Term>[] = []; sets.length > 0; sets = next, next = [])
    for (const set of sets)
      for (const byte of bytes) {
        const after = new Set<Term>();
        for (const term of set) terms.after(term, byte, after);
        const key = [...after].map(({ id }) => id).join();
        if (after.size === 0 || seen.has(key)) continue;
        if (seen.size >= MAX_SETS) return found;
        seen.add(key);
        if (after.size <= MAX_TERMS) next.push(after);
        for (const [first, ...others] of forms([...after]).values())
          for (const { bounds } of others)
            bounds.forEach(([min, max], i) => {
              const [low, high] = first!.bounds[i]!;
              if (min !== low || max !== high) found.add(first!.bodies[i]!);
            });
      }
  return found;
}
