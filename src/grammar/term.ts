import { ShishuError } from '../errors.ts';

/**
 * What may still follow: a set of byte strings, as an expression. Equal terms are one object, so a term can key a map.
 * `set` is one byte out of ranges `[low, high, low, high, ...]`, `rule` a named term (recursion), never of the empty string.
 *
 * `counter` is a repetition whose bounds are checked later: any number of `body`, `begun` of them so far; `left` stands in front
 * of what follows a counter that has ended. So one traversal of the vocabulary serves all bounds (see `bounds.ts`).
 */
export type Term =
  | { readonly id: number; readonly kind: 'empty'; readonly nullable: true }
  | {
      readonly id: number;
      readonly kind: 'set';
      readonly nullable: false;
      readonly ranges: readonly number[];
    }
  | {
      readonly id: number;
      readonly kind: 'seq';
      readonly nullable: boolean;
      readonly head: Term;
      readonly tail: Term;
    }
  | { readonly id: number; readonly kind: 'alt'; readonly nullable: boolean; readonly terms: readonly Term[] }
  | {
      readonly id: number;
      readonly kind: 'repeat';
      readonly nullable: boolean;
      readonly body: Term;
      readonly min: number;
      readonly max: number;
    }
  | { readonly id: number; readonly kind: 'rule'; readonly nullable: false; readonly name: string }
  | {
      readonly id: number;
      readonly kind: 'counter';
      readonly nullable: true;
      readonly body: Term;
      readonly slot: number;
      readonly begun: number;
    }
  | {
      readonly id: number;
      readonly kind: 'left';
      readonly nullable: true;
      readonly slot: number;
      readonly begun: number;
    };

/** Longest chain of terms each of which begins with the next. */
const MAX_DEPTH = 1000;

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** Creates the terms of one grammar, and gives what is left of a term after a byte (Antimirov's partial derivatives). */
export class Terms {
  readonly empty: Term = { id: 0, kind: 'empty', nullable: true };
  /** Of no text at all. */
  readonly never: Term = { id: -1, kind: 'set', nullable: false, ranges: [] };
  readonly #interned = new Map<string, Term>();
  readonly #rules = new Map<string, Term>();
  readonly #live = new Map<Term, boolean>();
  /** What is left of the bodies of repetitions and rules, by byte: they come again and again. */
  readonly #rests = new Map<Term, (Set<Term> | undefined)[]>();
  readonly #liveRules = new Set<string>();

  #intern(key: string, term: WithoutId<Term>): Term {
    let interned = this.#interned.get(key);
    if (!interned) {
      interned = { id: this.#interned.size + 1, ...term } as Term;
      this.#interned.set(key, interned);
    }
    return interned;
  }

  /** One byte of these ranges, low and high by turns. */
  set(...ranges: number[]): Term {
    return this.#setOf(ranges);
  }

  #setOf(ranges: readonly number[]): Term {
    const pairs: [number, number][] = [];
    for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i]!, ranges[i + 1]!]);
    pairs.sort((a, b) => a[0] - b[0]);
    const joined: number[] = [];
    for (const [low, high] of pairs) {
      const end = joined.length - 1;
      if (end >= 0 && low <= joined[end]! + 1) joined[end] = Math.max(joined[end]!, high);
      else joined.push(low, high);
    }
    return this.#intern(`s${joined}`, { kind: 'set', nullable: false, ranges: joined });
  }

  /** The UTF-8 of a text. */
  text(text: string): Term {
    return this.chain(Array.from(new TextEncoder().encode(text), (byte) => this.set(byte, byte)));
  }

  seq(...terms: Term[]): Term {
    return this.chain(terms);
  }

  /** As `seq`, of any number. */
  chain(terms: readonly Term[]): Term {
    return terms.reduceRight((tail, head) => this.#pair(head, tail), this.empty);
  }

  /** Nested to the right, so that equal sequences are one object. */
  #pair(head: Term, tail: Term): Term {
    if (tail.kind === 'empty') return head;
    const heads: Term[] = [];
    let rest = head;
    for (; rest.kind === 'seq'; rest = rest.tail) heads.push(rest.head);
    heads.push(rest);
    return heads.reduceRight((after, first) => {
      if (first.kind === 'empty') return after;
      if (after.kind === 'empty') return first;
      const nullable = first.nullable && after.nullable;
      return this.#intern(`q${first.id},${after.id}`, { kind: 'seq', nullable, head: first, tail: after });
    }, tail);
  }

  /** Any of some terms; of none, nothing. */
  alt(...terms: Term[]): Term {
    return this.any(terms);
  }

  /** As `alt`, of any number. */
  any(terms: readonly Term[]): Term {
    const all = new Set<Term>();
    const bytes: number[] = [];
    for (const term of terms.flatMap((each) => (each.kind === 'alt' ? each.terms : [each])))
      if (term.kind === 'set') for (const end of term.ranges) bytes.push(end);
      else all.add(term);
    if (bytes.length > 0) all.add(this.#setOf(bytes));
    const sorted = [...all].sort((a, b) => a.id - b.id);
    if (sorted.length === 0) return this.never;
    if (sorted.length === 1) return sorted[0]!;
    const nullable = sorted.some((term) => term.nullable);
    return this.#intern(`a${sorted.map(({ id }) => id)}`, { kind: 'alt', nullable, terms: sorted });
  }

  maybe(term: Term): Term {
    return this.alt(this.empty, term);
  }

  /** `body` `min` to `max` times (`max` may be infinite). */
  repeat(body: Term, min: number, max: number): Term {
    if (max === 0 || body.kind === 'empty') return this.empty;
    if (min === 1 && max === 1) return body;
    const least = body.nullable ? 0 : min;
    const key = `r${body.id},${least},${max}`;
    return this.#intern(key, { kind: 'repeat', nullable: least === 0, body, min: least, max });
  }

  counter(body: Term, slot: number, begun: number): Term {
    return this.#intern(`c${body.id},${slot},${begun}`, {
      kind: 'counter',
      nullable: true,
      body,
      slot,
      begun,
    });
  }

  #left(slot: number, begun: number): Term {
    return this.#intern(`l${slot},${begun}`, { kind: 'left', nullable: true, slot, begun });
  }

  /** The term of that name, which `define` gives before the grammar is used. */
  rule(name: string): Term {
    return this.#intern(`n${name}`, { kind: 'rule', nullable: false, name });
  }

  define(name: string, term: Term): void {
    this.#rules.set(name, term);
  }

  isDefined(name: string): boolean {
    return this.#rules.has(name);
  }

  /** What the rule of that name is. */
  body(name: string): Term {
    return this.#rules.get(name)!;
  }

  /** One byte of each kind: those of a kind are alike to every term. */
  bytes(): number[] {
    const found = new Set([0]);
    for (const term of this.#interned.values())
      if (term.kind === 'set')
        term.ranges.forEach((end, i) => {
          found.add(i % 2 === 0 ? end : end + 1);
        });
    return [...found].filter((byte) => byte < 256);
  }

  /** Adds to `out` what may follow `byte`: together, these terms are all that is left of `term`. */
  after(term: Term, byte: number, out: Set<Term>): void {
    switch (term.kind) {
      case 'empty':
        return;
      case 'set':
        for (let i = 0; i < term.ranges.length; i += 2)
          if (byte >= term.ranges[i]! && byte <= term.ranges[i + 1]!) out.add(this.empty);
        return;
      case 'seq': {
        // A counter that ended leaves its mark; a loop, not a recursion: a chain of nullable terms may be long.
        const over: Term[] = [];
        let rest: Term = term;
        for (; rest.kind === 'seq'; rest = rest.tail) {
          const { head, tail } = rest;
          for (const left of this.#after(head, byte)) out.add(this.chain([...over, left, tail]));
          if (!head.nullable) return;
          if (head.kind === 'left') over.push(head);
          else if (head.kind === 'counter') over.push(this.#left(head.slot, head.begun));
        }
        for (const left of this.#after(rest, byte)) out.add(this.chain([...over, left]));
        return;
      }
      case 'alt':
        for (const each of term.terms) this.after(each, byte, out);
        return;
      case 'repeat': {
        const { body, min, max } = term;
        const more = this.repeat(body, Math.max(0, min - 1), max - 1);
        for (const rest of this.#rest(body, byte)) out.add(this.#pair(rest, more));
        return;
      }
      case 'counter': {
        const { body, slot, begun } = term;
        const more = this.counter(body, slot, begun + 1);
        for (const rest of this.#rest(body, byte)) out.add(this.#pair(rest, more));
        return;
      }
      case 'rule':
        for (const rest of this.#rest(this.body(term.name), byte)) out.add(rest);
    }
  }

  #after(term: Term, byte: number): Set<Term> {
    const out = new Set<Term>();
    this.after(term, byte, out);
    return out;
  }

  /** As `#after`, kept. */
  #rest(term: Term, byte: number): Set<Term> {
    const byByte = this.#rests.get(term) ?? new Array<undefined>(256).fill(undefined);
    this.#rests.set(term, byByte);
    byByte[byte] ??= this.#after(term, byte);
    return byByte[byte];
  }

  /** Whether the term has any finite string. Rules that can only go on for ever have none. */
  isLive(term: Term): boolean {
    const cached = this.#live.get(term);
    if (cached !== undefined) return cached;
    const live = this.#isLive(term);
    this.#live.set(term, live);
    return live;
  }

  #isLive(term: Term): boolean {
    switch (term.kind) {
      case 'seq': {
        // A long text is a long chain to the right: a loop, not a recursion.
        let rest: Term = term;
        for (; rest.kind === 'seq' && !this.#live.has(rest); rest = rest.tail)
          if (!this.isLive(rest.head)) return false;
        return this.isLive(rest);
      }
      case 'alt':
        return term.terms.some((each) => this.isLive(each));
      case 'repeat':
        return term.min === 0 || this.isLive(term.body);
      case 'rule':
        return this.#liveRules.has(term.name);
      case 'set':
        return term.ranges.length > 0;
      default:
        return true;
    }
  }

  /**
   * Finds which rules have finite strings; after it the grammar is ready for use.
   * @throws ShishuError `bad-argument` when `start` has none, or when a rule begins with itself; `unsupported` when terms are
   * nested too deep
   */
  finish(start: Term): void {
    // The last rule first: one pass then suffices for a chain of references.
    const rules = [...this.#rules].reverse();
    for (let before = -1; this.#liveRules.size > before; ) {
      before = this.#liveRules.size;
      this.#live.clear();
      for (const [name, term] of rules) if (this.isLive(term)) this.#liveRules.add(name);
    }
    this.#live.clear();
    const depths = new Map<Term, number>();
    for (const name of this.#rules.keys()) this.#refuseLoops(this.rule(name), depths);
    this.#refuseLoops(start, depths);
    if (!this.isLive(start))
      throw new ShishuError('bad-argument', 'The constraint allows no reply that ends.', {
        mend: 'Give every recursion a way out, such as an optional property.',
      });
  }

  /**
   * A rule that begins with itself would be unfolded for ever; only through a rule can a term hold itself.
   * @param depths of terms that were seen: how many begin with one another in a row; 0 for one that is not done
   */
  #refuseLoops(start: Term, depths: Map<Term, number>): void {
    const open = [start];
    for (let term = open.at(-1); term; term = open.at(-1)) {
      const seen = depths.get(term);
      if (seen) {
        open.pop();
        continue;
      }
      const firsts = this.#firsts(term);
      if (seen === 0) {
        const depth = 1 + Math.max(0, ...firsts.map((first) => depths.get(first) ?? 0));
        if (depth > MAX_DEPTH) throw tooDeep();
        depths.set(term, depth);
        open.pop();
        continue;
      }
      depths.set(term, 0);
      for (const first of firsts) {
        if (depths.get(first) === 0)
          throw new ShishuError(
            'bad-argument',
            'A part of the constraint refers to itself and nothing else.',
            { mend: 'Take the circle of references out.' },
          );
        if (!depths.has(first)) open.push(first);
      }
    }
  }

  /** Terms that a text of this term may begin with. */
  #firsts(term: Term): readonly Term[] {
    switch (term.kind) {
      case 'seq': {
        const firsts: Term[] = [];
        let rest: Term = term;
        for (; rest.kind === 'seq'; rest = rest.tail) {
          firsts.push(rest.head);
          if (!rest.head.nullable) return firsts;
        }
        return [...firsts, rest];
      }
      case 'alt':
        return term.terms;
      case 'repeat':
        return [term.body];
      case 'rule':
        return [this.body(term.name)];
      default:
        return [];
    }
  }
}

/** What is nested so deep that working it out would leave the stack. */
export const tooDeep = (): ShishuError =>
  new ShishuError('unsupported', 'The constraint is nested too deep.', {
    details: { option: 'constraint', limit: MAX_DEPTH },
    mend: 'Nest less, or name parts and refer to them.',
  });
