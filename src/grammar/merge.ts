import type { Term, Terms } from './term.ts';

type Bounds = readonly [number, number];

/** A term split into its form and the bounds of its first repetitions: terms of one form differ in these bounds only. */
interface Split {
  key: string;
  factors: readonly Term[];
  /** Of repetitions: their places in `factors`, what they repeat, how often. */
  places: readonly number[];
  bodies: readonly Term[];
  bounds: readonly Bounds[];
}

/** Factors of a term that are searched for repetitions. Later ones have rarely begun. */
const MAX_FACTORS = 24;
const MAX_REPEATS = 4;

function split(term: Term): Split {
  const factors: Term[] = [];
  const places: number[] = [];
  const bodies: Term[] = [];
  const bounds: Bounds[] = [];
  const take = (factor: Term): number | string => {
    factors.push(factor);
    if (factor.kind !== 'repeat' || places.length >= MAX_REPEATS) return factor.id;
    places.push(factors.length - 1);
    bodies.push(factor.body);
    bounds.push([factor.min, factor.max]);
    return `r${factor.body.id}`;
  };
  const key: (number | string)[] = [];
  let rest: Term = term;
  for (; rest.kind === 'seq' && factors.length < MAX_FACTORS && places.length < MAX_REPEATS; rest = rest.tail)
    key.push(take(rest.head));
  key.push(take(rest));
  return { key: key.join(), factors, places, bodies, bounds };
}

/** Terms by form: those of one differ in counts alone. Terms without repetitions are each a form of their own. */
export function forms(all: readonly Term[]): Map<string, Split[]> {
  const found = new Map<string, Split[]>();
  for (const term of all) {
    const each = split(term);
    const alike = found.get(each.key);
    if (alike) alike.push(each);
    else found.set(each.key, [each]);
  }
  return found;
}

const within = (inner: readonly Bounds[], outer: readonly Bounds[]): boolean =>
  inner.every(([min, max], i) => min >= outer[i]![0] && max <= outer[i]![1]);

/** Bounds that allow exactly what one of the two allows, where there are such. */
function joined(a: readonly Bounds[], b: readonly Bounds[]): readonly Bounds[] | undefined {
  if (within(a, b)) return b;
  if (within(b, a)) return a;
  const [at, ...more] = a.flatMap(([min, max], i) => (min === b[i]![0] && max === b[i]![1] ? [] : [i]));
  if (at === undefined || more.length > 0) return undefined;
  const [[low, high], [from, to]] = [a[at]!, b[at]!];
  if (Math.max(low, from) > Math.min(high, to) + 1) return undefined;
  return a.map((each, i) => (i === at ? [Math.min(low, from), Math.max(high, to)] : each));
}

/** Joins bounds until none can be joined more. */
function joinedAll(all: readonly (readonly Bounds[])[]): (readonly Bounds[])[] {
  // Sorted by their minimum, bounds of a single repetition can only be joined with the last.
  const sorted = [...all].sort((a, b) => a[0]![0] - b[0]![0]);
  const kept: (readonly Bounds[])[] = [];
  for (let added of sorted) {
    for (let i = kept.length - 1; i >= 0; ) {
      const both = joined(kept[i]!, added);
      if (both) {
        added = both;
        kept.splice(i, 1);
        // What was joined may join more.
        i = kept.length - 1;
      } else i = added.length === 1 ? -1 : i - 1;
    }
    kept.push(added);
  }
  return kept;
}

/**
 * The same texts in fewer terms. Of terms that differ only in the bounds of repetitions, those that another contains are
 * dropped, and those with adjacent counts are joined. So a text that can be counted in many ways does not lead to as many terms.
 */
export function merged(terms: Terms, all: readonly Term[]): Term[] {
  if (all.length < 2) return [...all];
  const alike = forms(all);
  if (alike.size === all.length) return [...all];
  const out: Term[] = [];
  for (const found of alike.values())
    for (const bounds of joinedAll(found.map((each) => each.bounds))) {
      const { factors, places, bodies } = found[0]!;
      const joint = [...factors];
      places.forEach((at, i) => {
        joint[at] = terms.repeat(bodies[i]!, ...bounds[i]!);
      });
      out.push(terms.chain(joint));
    }
  return out;
}
