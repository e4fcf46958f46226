import type { Term, Terms } from './term.ts';

/** Code points, as sorted ranges that do not touch: `[low, high]`, both within. */
export type Characters = readonly (readonly [number, number])[];

export const LAST = 0x10ffff;
export const ANY: Characters = [[0, LAST]];

/** Sorts and joins ranges. */
export function union(...sets: Characters[]): Characters {
  const joined: [number, number][] = [];
  for (const [low, high] of sets.flat().sort((a, b) => a[0] - b[0])) {
    const last = joined[joined.length - 1];
    if (last && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else joined.push([low, high]);
  }
  return joined;
}

export function complement(set: Characters): Characters {
  const gaps: [number, number][] = [];
  let from = 0;
  for (const [low, high] of union(set)) {
    if (low > from) gaps.push([from, low - 1]);
    from = high + 1;
  }
  if (from <= LAST) gaps.push([from, LAST]);
  return gaps;
}

export function without(set: Characters, taken: Characters): Characters {
  return complement(union(complement(set), taken));
}

export const has = (set: Characters, code: number): boolean =>
  set.some(([low, high]) => code >= low && code <= high);

/** Last code points of 1, 2, 3 and 4 bytes. */
const ENDS = [0x7f, 0x7ff, 0xffff, LAST];
const SURROGATES: Characters = [[0xd800, 0xdfff]];

/** One character of the set in UTF-8; surrogates have none. Undefined when nothing is left. */
export function utf8(terms: Terms, set: Characters): Term | undefined {
  const alternatives: Term[] = [];
  for (const [low, high] of without(set, SURROGATES)) {
    let from = low;
    ENDS.forEach((end, i) => {
      if (from > high || from > end) return;
      split(terms, from, Math.min(high, end), i, alternatives);
      from = end + 1;
    });
  }
  return alternatives.length > 0 ? terms.alt(...alternatives) : undefined;
}

/** The bytes of a code point that takes `more` bytes after its first. */
function bytesOf(code: number, more: number): number[] {
  if (more === 0) return [code];
  const bytes = Array.from({ length: more }, (_, i) => 0x80 | ((code >> (6 * (more - 1 - i))) & 0x3f));
  return [[0xc0, 0xe0, 0xf0][more - 1]! | (code >> (6 * more)), ...bytes];
}

/** Cuts a range of one length where a byte before the last would change with a byte after it only partly run through. */
function split(terms: Terms, low: number, high: number, more: number, out: Term[]): void {
  for (let i = 1; i <= more; i++) {
    const tail = (1 << (6 * i)) - 1;
    if ((low & ~tail) === (high & ~tail)) continue;
    if ((low & tail) !== 0) {
      split(terms, low, low | tail, more, out);
      split(terms, (low | tail) + 1, high, more, out);
      return;
    }
    if ((high & tail) !== tail) {
      split(terms, low, (high & ~tail) - 1, more, out);
      split(terms, high & ~tail, high, more, out);
      return;
    }
  }
  const [from, to] = [bytesOf(low, more), bytesOf(high, more)];
  out.push(terms.seq(...from.map((byte, i) => terms.set(byte, to[i]!))));
}
