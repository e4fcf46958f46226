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
  const made = new Map<string, Term | undefined>();
  return (set) => {
    const key = set.join(';');
    if (!made.has(key)) {
      const parts: Term[] = [];
      const plain = utf8(terms, without(set, ESCAPED));
      if (plain) parts.push(plain);
      for (const [low, high] of ESCAPED)
        for (let code = low; code <= high; code++)
          if (has(set, code)) parts.push(terms.text(JSON.stringify(String.fromCharCode(code)).slice(1, -1)));
      made.set(key, parts.length > 0 ? terms.alt(...parts) : undefined);
    }
    return made.get(key);
  };
}
