import { ShishuError } from '../errors.ts';
import { refuseAmbiguous } from './ambiguity.ts';
import { Automaton, MAX_TERMS, type State } from './automaton.ts';
import { type Asked, askedBy, type Bounds, isMet } from './bounds.ts';
import { refuseDeep } from './depth.ts';
import { jsonSchema } from './json-schema.ts';
import { regex } from './regex.ts';
import { type Term, Terms, tooDeep } from './term.ts';
import type { Vocabulary } from './vocabulary.ts';

/**
 * What a reply must be: a text that a regular expression matches whole, or a JSON text that is valid by a schema (with
 * other text around it, where given). What both understand: docs/constraints.md.
 */
export type Constraint =
  | { regex: string }
  | { jsonSchema: boolean | object; before?: string; after?: string };

/** Masks kept for one constraint; each is a bit a token. */
const MAX_MASKS = 512;
/** Most terms of a loosened state. */
const MAX_LOOSE_TERMS = 200;
/** Tokens in all sets of followers kept for one constraint; each takes 8 bytes. */
const MAX_FOLLOWERS = 3_000_000;

/** The tokens that may follow a state, whatever the bounds of its repetitions, and what each requires of the bounds. */
interface Followers {
  ids: Uint32Array;
  /** By place in `ids`: where in `asked`. */
  ends: Uint32Array;
  asked: readonly Asked[];
}

/** @throws ShishuError `bad-argument`, `unsupported` */
export function compileConstraint(constraint: Constraint): Automaton {
  const { terms, start } = compile(constraint);
  return new Automaton(terms, start);
}

function compile(constraint: Constraint): { terms: Terms; start: Term } {
  refuseDeep(constraint, 'constraint');
  const terms = new Terms();
  try {
    const start = termOf(terms, constraint);
    terms.finish(start);
    refuseAmbiguous(terms, start, MAX_TERMS);
    return { terms, start };
  } catch (error) {
    // The stack overflowed: the constraint is nested too deep. Firefox throws an InternalError.
    if (error instanceof RangeError || (error as Error).name === 'InternalError') throw tooDeep();
    throw error;
  }
}

function termOf(terms: Terms, constraint: Constraint): Term {
  const fields = Object.keys(constraint).sort().join();
  if ('regex' in constraint && fields === 'regex' && typeof constraint.regex === 'string')
    return regex(terms, constraint.regex);
  if ('jsonSchema' in constraint && /^(after,)?(before,)?jsonSchema$/.test(fields)) {
    const { before = '', after = '' } = constraint;
    const json = jsonSchema(terms, constraint.jsonSchema);
    return terms.seq(terms.text(before), json, terms.text(after));
  }
  throw new ShishuError('bad-argument', `A constraint has the fields ${fields || 'none'}.`, {
    details: { option: 'constraint' },
    mend: 'Give { regex: "..." } or { jsonSchema: {...} }.',
  });
}

/** A compiled constraint and the masks of a vocabulary that were needed so far; it serves any number of replies. */
export class Masks {
  readonly vocabulary: Vocabulary;
  readonly automaton: Automaton;
  /** Of a mask: the model's vocabulary / 32, which may be larger than the tokenizer's. */
  readonly words: number;
  /** For loosened states, of which few are met. */
  readonly #loose: Automaton;
  readonly #masks = new Map<State, Uint32Array<ArrayBuffer>>();
  readonly #followers = new Map<string, Followers>();
  #kept = 0;

  constructor(constraint: Constraint, vocabulary: Vocabulary, words: number) {
    this.vocabulary = vocabulary;
    const { terms, start } = compile(constraint);
    this.automaton = new Automaton(terms, start);
    this.#loose = new Automaton(terms, start, MAX_LOOSE_TERMS);
    this.words = words;
  }

  /** @param enders token ids that end the reply where the grammar lets it end */
  reply(enders: Iterable<number>): ConstrainedReply {
    return new ConstrainedReply(this, enders);
  }

  /** `(words)`: tokens that the reply may go on with; its end is none of them. */
  of(state: State): Uint32Array<ArrayBuffer> {
    let mask = this.#masks.get(state);
    if (!mask) {
      if (this.#masks.size >= MAX_MASKS) this.#masks.clear();
      mask = this.#make(state);
      this.#masks.set(state, mask);
    }
    return mask;
  }

  #make(state: State): Uint32Array<ArrayBuffer> {
    const { followers, bounds } = this.#followersOf(state);
    const { ids, ends, asked } = followers;
    const met = asked.map((each) => isMet(each, bounds));
    const mask = new Uint32Array(this.words);
    for (let i = 0; i < ids.length; i++) if (met[ends[i]!]) mask[ids[i]! >> 5]! |= 1 << (ids[i]! & 31);
    return mask;
  }

  #followersOf(state: State): { followers: Followers; bounds: readonly Bounds[] } {
    const { state: loose, bounds } = this.#loose.loosened(state);
    const cached = this.#followers.get(loose.key);
    if (cached) return { followers: cached, bounds };
    try {
      const followers = this.#traverse(this.#loose, loose);
      if (this.#kept + followers.ids.length > MAX_FOLLOWERS) {
        this.#followers.clear();
        this.#kept = 0;
      }
      this.#kept += followers.ids.length;
      this.#followers.set(loose.key, followers);
      this.#loose.tidy(this.#loose.start);
      return { followers, bounds };
    } catch (error) {
      // Loosened, the state can be read in too many ways: then with its bounds.
      if (!(error instanceof ShishuError)) throw error;
      return { followers: this.#traverse(this.automaton, state), bounds: [] };
    }
  }

  #traverse(automaton: Automaton, start: State): Followers {
    const ids: number[] = [];
    const ends: number[] = [];
    const asked: Asked[] = [];
    const places = new Map<State, number>();
    this.vocabulary.traverse(automaton, start, (id, end) => {
      let place = places.get(end);
      if (place === undefined) {
        place = places.size;
        places.set(end, place);
        asked.push(askedBy(end.terms));
      }
      ids.push(id);
      ends.push(place);
    });
    return { ids: Uint32Array.from(ids), ends: Uint32Array.from(ends), asked };
  }
}

/** What chooses the tokens that a reply may go on with. */
export interface TokenConstraint {
  /**
   * `(words)`, a bit a token: those that may be chosen next.
   * @throws ShishuError `unsupported` when no token of the vocabulary can go on
   */
  mask(): Uint32Array<ArrayBuffer>;
  /** Takes a chosen token in; returns the text that it completes. */
  push(id: number): string;
  /** Nothing but the end can follow. */
  readonly finished: boolean;
  /** What is left at the end: U+FFFD for an incomplete character, or nothing. */
  flush(): string;
}

/** One reply under a constraint, made by `Masks.reply`. */
export class ConstrainedReply implements TokenConstraint {
  readonly #masks: Masks;
  readonly #enders: readonly number[];
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #state: State;

  /** @param enders token ids that end the reply where the grammar lets it end */
  constructor(masks: Masks, enders: Iterable<number>) {
    this.#masks = masks;
    this.#enders = [...enders];
    this.#state = masks.automaton.start;
  }

  get words(): number {
    return this.#masks.words;
  }

  get vocabulary(): Vocabulary {
    return this.#masks.vocabulary;
  }

  mask(): Uint32Array<ArrayBuffer> {
    const mask = this.#masks.of(this.#state).slice();
    for (const id of this.#enders) {
      const [word, bit] = [id >> 5, 1 << (id & 31)];
      mask[word] = this.#state.accepting ? mask[word]! | bit : mask[word]! & ~bit;
    }
    if (mask.some((bits) => bits !== 0)) return mask;
    throw new ShishuError(
      'unsupported',
      "The model's vocabulary has no token that the constraint allows next.",
      {
        details: { option: 'constraint' },
        mend: 'Allow characters that the vocabulary has.',
      },
    );
  }

  push(id: number): string {
    const bytes = this.#masks.vocabulary.bytes(id);
    const text = bytes && this.run(bytes);
    if (text === undefined) throw new Error(`The constraint does not allow token ${id}.`);
    return text;
  }

  /** Whether the reply may go on with these bytes. */
  accepts(bytes: Uint8Array): boolean {
    return this.#masks.automaton.run(this.#state, bytes) !== null;
  }

  /** Takes bytes in; returns the text that they complete. Undefined, and nothing is taken, where the reply may not go on with them. */
  run(bytes: Uint8Array): string | undefined {
    const { automaton } = this.#masks;
    const next = automaton.run(this.#state, bytes);
    if (!next) return undefined;
    this.#state = automaton.tidy(next);
    return this.#decoder.decode(bytes as Uint8Array<ArrayBuffer>, { stream: true });
  }

  get finished(): boolean {
    return this.#state.accepting && this.#masks.of(this.#state).every((bits) => bits === 0);
  }

  flush(): string {
    return this.#decoder.decode();
  }
}
