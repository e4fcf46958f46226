// Our regular expressions against JavaScript's, on random patterns and texts.
import { describe, expect, test } from 'vitest';
import { compileConstraint } from '../../src/grammar/constraint.ts';
import { mulberry32 } from '../support/random.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function matches(pattern: string): (text: string) => boolean {
  const automaton = compileConstraint({ regex: pattern });
  return (text) => automaton.run(automaton.start, utf8(text))?.accepting ?? false;
}

/** A pattern of the subset, of a few characters. */
function randomPattern(random: () => number, depth = 3): string {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const atom = (): string =>
    depth > 0 && random() < 0.3
      ? `(${pick(['', '?:'])}${randomPattern(random, depth - 1)})`
      : pick([
          'a',
          'b',
          'é',
          '日',
          '😀',
          '.',
          '[ab]',
          '[^a]',
          '[a-é]',
          '[^b日]',
          '\\d',
          '\\w',
          '\\W',
          '\\s',
          '\\.',
          '1',
        ]);
  const part = (): string => atom() + pick(['', '', '', '?', '*', '+', '{2}', '{1,3}', '{0,2}?', '{2,}']);
  const alternatives = Array.from({ length: random() < 0.3 ? 2 : 1 }, () =>
    Array.from({ length: Math.floor(random() * 4) }, part).join(''),
  );
  return alternatives.join('|');
}

test('120 random patterns match what RegExp matches', () => {
  const random = mulberry32(5);
  const alphabet = [...'aabbé日😀1 .\n_Ȁ\u2028\uffff'];
  const counts = { yes: 0, no: 0 };
  for (let i = 0; i < 120; i++) {
    const pattern = randomPattern(random);
    const ours = matches(pattern);
    const theirs = new RegExp(`^(?:${pattern})$`, 'u');
    for (let j = 0; j < 60; j++) {
      const length = Math.floor(random() * 7);
      const text = Array.from({ length }, () => alphabet[Math.floor(random() * alphabet.length)]).join('');
      expect(ours(text), `${pattern} on ${JSON.stringify(text)}`).toBe(theirs.test(text));
      counts[theirs.test(text) ? 'yes' : 'no']++;
    }
  }
  expect(counts.yes).toBeGreaterThan(600);
  expect(counts.no).toBeGreaterThan(600);
});

test('every border of UTF-8, and no surrogate', () => {
  const any = matches('[^]');
  for (const code of [
    0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x3ffff, 0x40000, 0x10ffff,
  ])
    expect(any(String.fromCodePoint(code)), code.toString(16)).toBe(true);
  const automaton = compileConstraint({ regex: '[^]' });
  for (const bytes of [
    [0xed, 0xa0, 0x80],
    [0xc0, 0x80],
    [0xe0, 0x80, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
    [0xff],
    [0x80],
  ])
    expect(automaton.run(automaton.start, bytes), bytes.join()).toBeNull();
  const random = mulberry32(9);
  for (let i = 0; i < 60; i++) {
    const ends = [random(), random()].map((at) => Math.floor(at ** 3 * 0x110000)).sort((a, b) => a - b);
    const [low, high] = ends as [number, number];
    const ours = matches(`[\\u{${low.toString(16)}}-\\u{${high.toString(16)}}]`);
    for (const code of [low - 1, low, (low + high) >> 1, high, high + 1]) {
      if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) continue;
      expect(ours(String.fromCodePoint(code))).toBe(code >= low && code <= high);
    }
  }
});

test('long counts cost no more than short ones', () => {
  const ours = matches('[ab]{3,5000}c');
  expect(ours(`${'ab'.repeat(2500)}c`)).toBe(true);
  expect(ours(`${'ab'.repeat(2501)}c`)).toBe(false);
  expect(ours('abc')).toBe(false);
});

test.each<[string, string[]]>([
  ['[\\ud83d\\ude00]', ['😀', '😁', 'a', '']],
  ['\\uD83D\\uDE00+', ['😀😀', '']],
  ['[\\ud83d\\ude00-\\ud83d\\ude4f]{2}', ['😀🙏', '😀a', '🚀🚀']],
  ['[^\\ud83d\\ude00]', ['😀', '😁', 'a']],
  ['[😀-🙏]', ['😃', 'a']],
  ['[^😀]', ['😀', '🙏']],
  ['[a\\uD83D\\uDE00b]', ['a', 'b', '😀']],
  ['[\\u{1f600}-\\ud83d\\ude4f]', ['😁', '🚀']],
  ['[\\u0041-\\ud83d\\ude00]', ['Z', '😀', '😁']],
  ['[\\ud83d\\u0041]', ['A', '😀']],
  ['[^\\ud83d]', ['a', '😀']],
])('a surrogate pair is one character: %s', (pattern, texts) => {
  const theirs = new RegExp(`^(?:${pattern})$`, 'u');
  for (const text of texts) expect(matches(pattern)(text), text).toBe(theirs.test(text));
});

describe('refusals name the place', () => {
  test.each([
    ['a(b', 'bad-argument'],
    ['a)b', 'bad-argument'],
    ['*a', 'bad-argument'],
    ['a**', 'bad-argument'],
    ['[b-a]', 'bad-argument'],
    ['[ab', 'bad-argument'],
    ['[]', 'bad-argument'],
    ['a{2,1}', 'bad-argument'],
    ['a{x}', 'bad-argument'],
    ['a\\', 'bad-argument'],
    ['\\u12', 'bad-argument'],
    ['\\u{110000}', 'bad-argument'],
    ['(?=a)', 'unsupported'],
    ['(a)\\1', 'unsupported'],
    ['\\bword', 'unsupported'],
    ['\\p{L}', 'unsupported'],
    ['a^b', 'unsupported'],
    ['(^a)', 'unsupported'],
  ])('%s', (pattern, code) => {
    let error: unknown;
    try {
      compileConstraint({ regex: pattern });
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code, details: { pattern, position: expect.any(Number) } });
  });
});
