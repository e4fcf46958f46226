import { ShishuError } from '../errors.ts';
import { ANY, type Characters, complement, LAST, union, utf8 } from './characters.ts';
import type { Term, Terms } from './term.ts';

/** How one character of a set is written; undefined for an empty set. */
export type Spelling = (set: Characters) => Term | undefined;

export interface RegexOptions {
  /** Default UTF-8. */
  spell?: Spelling;
  /** The pattern may match anywhere in the text, as JSON Schema's; otherwise it must match the whole. */
  search?: boolean;
}

/** Most groups within each other. */
const MAX_DEPTH = 250;

const DIGITS: Characters = [[0x30, 0x39]];
const WORD: Characters = union(DIGITS, [[0x41, 0x5a]], [[0x5f, 0x5f]], [[0x61, 0x7a]]);
const LINE_ENDS: Characters = union([[0x0a, 0x0a]], [[0x0d, 0x0d]], [[0x2028, 0x2029]]);
const SPACE: Characters = union(
  LINE_ENDS,
  ...[0x09, 0x0b, 0x0c, 0x20, 0xa0, 0x1680, 0x202f, 0x205f, 0x3000, 0xfeff].map(
    (code): Characters => [[code, code]],
  ),
  [[0x2000, 0x200a]],
);
const CLASSES: Record<string, Characters> = {
  d: DIGITS,
  D: complement(DIGITS),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROLS: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13, '0': 0 };

/**
 * A regular expression as a term. The subset: literals, `.`, classes (`[a-z]`, `[^...]`, `\d \w \s` and their opposites),
 * `|`, groups (capturing or not), `? * + {m} {m,} {m,n}` (lazy ones mean the same), escapes (`\n`, `\x41`, `\u0041`,
 * `\u{1f600}`, punctuation), `^` and `$` at the ends of the pattern or of its outer alternatives. Meanings are those of
 * JavaScript with the flag `u`.
 * @throws ShishuError `bad-argument` for a broken pattern, `unsupported` for what is beyond the subset; both say where
 */
export function regex(terms: Terms, pattern: string, options: RegexOptions = {}): Term {
  return new Parser(terms, pattern, options).parse();
}

class Parser {
  readonly #terms: Terms;
  readonly #pattern: string;
  readonly #spell: Spelling;
  readonly #search: boolean;
  /** One character an item. */
  readonly #chars: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(
    terms: Terms,
    pattern: string,
    { spell = (set) => utf8(terms, set), search = false }: RegexOptions,
  ) {
    this.#terms = terms;
    this.#pattern = pattern;
    this.#spell = spell;
    this.#search = search;
    this.#chars = [...pattern];
  }

  parse(): Term {
    const term = this.#alternatives(true);
    if (this.#at < this.#chars.length) this.#fail('has a ")" without its "("');
    return term;
  }

  #fail(what: string, code: 'bad-argument' | 'unsupported' = 'bad-argument', mend?: string): never {
    throw new ShishuError(
      code,
      `The regular expression ${this.#pattern} ${what}, at character ${this.#at}.`,
      {
        details: { pattern: this.#pattern, position: this.#at },
        ...(mend !== undefined && { mend }),
      },
    );
  }

  #take(text: string): boolean {
    const found = [...text].every((char, i) => this.#chars[this.#at + i] === char);
    if (found) this.#at += text.length;
    return found;
  }

  #alternatives(outer: boolean): Term {
    const found = [this.#alternative(outer)];
    while (this.#take('|')) found.push(this.#alternative(outer));
    return this.#terms.any(found);
  }

  #alternative(outer: boolean): Term {
    const factors: Term[] = [];
    const fixedStart = outer && this.#take('^');
    let fixedEnd = false;
    for (;;) {
      const char = this.#chars[this.#at];
      if (char === undefined || char === '|' || char === ')') break;
      if (fixedEnd || char === '^' || (char === '$' && !outer))
        this.#fail('has an anchor in its middle', 'unsupported', 'Put ^ and $ at the ends of the pattern.');
      if (this.#take('$')) fixedEnd = true;
      else factors.push(this.#repeated(this.#atom()));
    }
    if (outer && this.#search) {
      const anything = this.#terms.repeat(this.#spell(ANY)!, 0, Number.POSITIVE_INFINITY);
      if (!fixedStart) factors.unshift(anything);
      if (!fixedEnd) factors.push(anything);
    }
    return this.#terms.chain(factors);
  }

  #repeated(term: Term): Term {
    const bounds = this.#quantifier();
    if (!bounds) return term;
    this.#take('?');
    if (/^[?*+{]$/.test(this.#chars[this.#at] ?? '')) this.#fail('has two quantifiers in a row');
    return this.#terms.repeat(term, ...bounds);
  }

  #quantifier(): [number, number] | undefined {
    const endless = Number.POSITIVE_INFINITY;
    if (this.#take('*')) return [0, endless];
    if (this.#take('+')) return [1, endless];
    if (this.#take('?')) return [0, 1];
    if (this.#chars[this.#at] !== '{') return undefined;
    const found = /^\{(\d+)(,(\d*))?\}/.exec(this.#chars.slice(this.#at, this.#at + 40).join(''));
    if (!found) return this.#fail('has a "{" that begins no quantifier', 'bad-argument', 'Write it \\{.');
    const min = Number(found[1]);
    const max = found[2] === undefined ? min : found[3] ? Number(found[3]) : endless;
    if (max < min) this.#fail(`asks for at least ${min} and at most ${max}`);
    this.#at += found[0].length;
    return [min, max];
  }

  #atom(): Term {
    if (this.#take('(')) return this.#group();
    const char = this.#chars[this.#at]!;
    if (/^[?*+{]$/.test(char)) this.#fail('has nothing to repeat');
    if (/^[\]}]$/.test(char)) this.#fail(`has a "${char}" alone`, 'bad-argument', `Write it \\${char}.`);
    const start = this.#at++;
    const set =
      char === '['
        ? this.#class()
        : char === '\\'
          ? this.#escape(false)
          : char === '.'
            ? complement(LINE_ENDS)
            : one(char);
    const term = this.#spell(set);
    if (term) return term;
    this.#at = start;
    return this.#fail('has a class without characters');
  }

  #group(): Term {
    if (this.#take('?')) {
      const named = /^<[A-Za-z_$][\w$]*>/.exec(this.#chars.slice(this.#at, this.#at + 100).join(''));
      if (named) this.#at += named[0].length;
      else if (!this.#take(':'))
        this.#fail('looks ahead or behind, or sets flags', 'unsupported', 'Use plain groups.');
    }
    if (++this.#depth > MAX_DEPTH)
      this.#fail(`has groups nested deeper than ${MAX_DEPTH}`, 'unsupported', 'Nest less.');
    const term = this.#alternatives(false);
    this.#depth--;
    if (!this.#take(')')) this.#fail('has a "(" without its ")"');
    return term;
  }

  #class(): Characters {
    const negated = this.#take('^');
    const sets: Characters[] = [];
    while (!this.#take(']')) {
      const low = this.#member();
      if (this.#chars[this.#at] === '-' && this.#chars[this.#at + 1] !== ']') {
        this.#at++;
        const high = this.#member();
        if (!isOne(low) || !isOne(high) || high[0][0] < low[0][0]) this.#fail('has a range that is none');
        sets.push([[low[0]![0], high[0]![0]]]);
      } else sets.push(low);
    }
    return negated ? complement(union(sets.flat())) : union(sets.flat());
  }

  #member(): Characters {
    const char = this.#chars[this.#at++];
    if (char === undefined) return this.#fail('has a "[" without its "]"');
    return char === '\\' ? this.#escape(true) : one(char);
  }

  #escape(inClass: boolean): Characters {
    const char = this.#chars[this.#at++] ?? this.#fail('ends in a backslash');
    const named = CLASSES[char];
    if (named) return named;
    if (inClass && char === 'b') return [[8, 8]];
    if (char in CONTROLS && !/^\d$/.test(this.#chars[this.#at] ?? ''))
      return one(String.fromCharCode(CONTROLS[char]!));
    if (char === 'x') return this.#hex(/^[0-9a-fA-F]{2}/);
    if (char === 'u') return this.#unicode();
    if (/^[\^$\\.*+?()[\]{}|/\-"' ]$/.test(char)) return one(char);
    this.#at--;
    return this.#fail(
      `has the escape \\${char}`,
      'unsupported',
      'Escapes: \\d \\w \\s \\n \\x41 \\u0041 and punctuation.',
    );
  }

  /** Two escapes for the halves of a surrogate pair are one character. */
  #unicode(): Characters {
    const first = this.#hex(/^([0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\})/);
    const pair = /^[dD][89abAB].{2}\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(
      this.#chars.slice(this.#at - 4, this.#at + 6).join(''),
    );
    if (!pair) return first;
    this.#at += 6;
    return one(String.fromCharCode(first[0]![0], Number.parseInt(pair[1]!, 16)));
  }

  #hex(form: RegExp): Characters {
    const [found] = form.exec(this.#chars.slice(this.#at, this.#at + 8).join('')) ?? [];
    if (found === undefined) return this.#fail('has an escape without its hexadecimal digits');
    this.#at += found.length;
    const code = Number.parseInt(found.replace(/[{}]/g, ''), 16);
    if (code > LAST) this.#fail('has a character beyond Unicode');
    return [[code, code]];
  }
}

function one(char: string): Characters {
  const code = char.codePointAt(0)!;
  return [[code, code]];
}

const isOne = (set: Characters): set is readonly [readonly [number, number]] =>
  set.length === 1 && set[0]![0] === set[0]![1];
