import { ShishuError } from '../errors.ts';
import { loosened } from './bounds.ts';
import { merged } from './merge.ts';
import type { Term, Terms } from './term.ts';

/** Most terms of a state: with more, the grammar can be read in too many ways at once. */
export const MAX_TERMS = 4000;
/** States kept before all but the current one are forgotten; each takes about 2 kB. */
const MAX_STATES = 20_000;

/** Where in its grammar a text is. States of one automaton are compared by identity. */
export interface State {
  /** The text may end here. */
  readonly accepting: boolean;
  /** Equal for equal states, also after states were forgotten. */
  readonly key: string;
  readonly terms: readonly Term[];
  /** By byte: null where there is no next state, undefined where it was not looked for yet. */
  readonly next: (State | null | undefined)[];
}

/** Runs a grammar over bytes as a deterministic automaton, whose states are created when first reached. */
export class Automaton {
  readonly start: State;
  readonly #terms: Terms;
  readonly #maxTerms: number;
  readonly #states = new Map<string, State>();

  /** @param start a term of `terms`, which are finished */
  constructor(terms: Terms, start: Term, maxTerms = MAX_TERMS) {
    this.#terms = terms;
    this.#maxTerms = maxTerms;
    this.start = this.#state([start])!;
  }

  #state(all: Iterable<Term>): State | null {
    const flat = new Set<Term>();
    for (const term of all)
      for (const each of term.kind === 'alt' ? term.terms : [term])
        if (this.#terms.isLive(each)) flat.add(each);
    if (flat.size === 0) return null;
    const terms = merged(this.#terms, [...flat]).sort((a, b) => a.id - b.id);
    if (terms.length > this.#maxTerms)
      throw new ShishuError('unsupported', 'The constraint can be read in too many ways at once.', {
        details: { ways: terms.length, limit: this.#maxTerms },
        mend: 'Make its alternatives and repetitions less alike.',
      });
    const key = terms.map(({ id }) => id).join();
    let state = this.#states.get(key);
    if (!state) {
      state = {
        accepting: terms.some(({ nullable }) => nullable),
        key,
        terms,
        next: new Array(256).fill(undefined),
      };
      this.#states.set(key, state);
    }
    return state;
  }

  /**
   * A state of another automaton over the same terms, with its next repetitions loosened, and their bounds. What the bounds must
   * allow for a state after it: `askedBy`.
   */
  loosened({ terms: all }: State): { state: State; bounds: readonly (readonly [number, number])[] } {
    const { terms, bounds } = loosened(this.#terms, all);
    return { state: this.#state(terms)!, bounds };
  }

  /** The state after one more byte; null where the grammar has no such text. */
  next(state: State, byte: number): State | null {
    const cached = state.next[byte];
    if (cached !== undefined) return cached;
    const out = new Set<Term>();
    for (const term of state.terms) this.#terms.after(term, byte, out);
    const next = this.#state(out);
    state.next[byte] = next;
    return next;
  }

  /** The state after some bytes; null where the grammar has no such text. */
  run(state: State, bytes: Iterable<number>): State | null {
    let at: State | null = state;
    for (const byte of bytes) if (at) at = this.next(at, byte);
    return at;
  }

  /** Forgets states when there are very many; the one returned goes on in place of `state`. */
  tidy(state: State): State {
    if (this.#states.size < MAX_STATES) return state;
    this.#states.clear();
    this.start.next.fill(undefined);
    return this.#state(state.terms)!;
  }
}
