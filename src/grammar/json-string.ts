import { type Characters, has, utf8, without } from './characters.ts';
import type { Spelling } from './regex.ts';
import type { Term, Terms } from './term.ts';

/** What JSON writes with a backslash. */
const ESCAPED: Characters = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

/**
 * How a character stands in a JSON string: each in one way only, which is `JSON.stringify`'s. So a schema's lengths and
 * patterns, which speak of the string's value, can be counted on its text.
 */
export function jsonSpelling(terms: Terms): Spelling {
  const spelled = new Map<string, Term | undefined>();
  return (set) => {
    const key = set.join(';');
    if (!spelled.has(key)) {
      const spellings: Term[] = [];
      const plain = utf8(terms, without(set, ESCAPED));
      if (plain) spellings.push(plain);
      for (const [low, high] of ESCAPED)
        for (let code = low; code <= high; code++)
          if (has(set, code))
            spellings.push(terms.text(JSON.stringify(String.fromCharCode(code)).slice(1, -1)));
      spelled.set(key, spellings.length > 0 ? terms.alt(...spellings) : undefined);
    }
    return spelled.get(key);
  };
}
