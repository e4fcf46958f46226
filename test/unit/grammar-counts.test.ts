// Repetitions with large counts: exact at their bounds, and no dearer than ones without.
import { describe, expect, test } from 'vitest';
import type { Automaton, State } from '../../src/grammar/automaton.ts';
import { type Constraint, compileConstraint, Masks } from '../../src/grammar/constraint.ts';
import { Vocabulary } from '../../src/grammar/vocabulary.ts';
import { tokensOfTexts } from '../support/grammar-replies.ts';
import { mulberry32 } from '../support/random.ts';

/** Counts how often all tokens are gone through. */
class CountingVocabulary extends Vocabulary {
  traversals = 0;

  override traverse(automaton: Automaton, state: State, found: (id: number, end: State) => void): void {
    this.traversals++;
    super.traverse(automaton, state, found);
  }
}

const tokens = tokensOfTexts([
  'ab',
  'aaa',
  'a'.repeat(40),
  'ba',
  '","',
  '"]',
  'é日',
  '日本語',
  '", "',
  'c,',
  ', ',
]);

describe('masks are those of a run of every token', () => {
  test.each<[string, Constraint, string]>([
    ['at most', { regex: '[ab]{0,90}c' }, 'ab'.repeat(45)],
    ['at least and at most', { regex: '[ab]{50,60}c' }, 'a'.repeat(60)],
    ['exactly', { regex: '(ab){40}c?' }, 'ab'.repeat(40)],
    [
      'a string of a length',
      { jsonSchema: { type: 'string', minLength: 20, maxLength: 30 } },
      `"${'é日'.repeat(15)}"`,
    ],
    [
      'strings in a list, both of a length',
      { jsonSchema: { type: 'array', minItems: 3, maxItems: 5, items: { type: 'string', maxLength: 4 } } },
      '["aaaa","b", "","abab","a"]',
    ],
    ['lists in lists', { regex: '((a{2,9},){3,5};){2,6}' }, 'aa,aaa,aaaa,;aa,aa,aa,aaaaaaaaa,;'],
    ['rounds that may be empty', { regex: '(a?b?){3,40}c' }, 'aabbabab'],
    ['rounds of two lengths', { regex: '(a|aaa){5,30}b' }, 'a'.repeat(60)],
    ['two counts of one text', { regex: '(a{3,80}){40,90}b' }, 'a'.repeat(150)],
    ['one of many beginnings', { regex: '[ab]*a[ab]{30}c' }, 'abbaabab'.repeat(8)],
    ['one after the other', { regex: 'a{2,50}[ab]{3,50}b{4,50}c' }, `${'a'.repeat(70)}${'b'.repeat(40)}`],
  ])('%s', (_, constraint, text) => {
    const masks = new Masks(constraint, new Vocabulary([...tokens]), Math.ceil(tokens.length / 32));
    // By derivatives alone.
    const automaton = compileConstraint(constraint);
    let state: State | null = automaton.start;
    let own: State | null = masks.automaton.start;
    for (const byte of new TextEncoder().encode(text)) {
      const mask = masks.of(own!);
      const got = [...tokens.keys()].filter((id) => (mask[id >> 5]! >> (id & 31)) & 1);
      const alive = [...tokens.keys()].filter((id) => automaton.run(state!, tokens[id]!) !== null);
      expect(got).toEqual(alive);
      state = automaton.next(state!, byte);
      own = masks.automaton.next(own!, byte);
    }
    expect(own).not.toBeNull();
  });
});

/** Times that the vocabulary is gone through for a text of single characters. */
function traversals(constraint: Constraint, text: string): number {
  const vocabulary = new CountingVocabulary([...tokens]);
  const reply = new Masks(constraint, vocabulary, Math.ceil(tokens.length / 32)).reply([]);
  for (const byte of new TextEncoder().encode(text)) {
    reply.mask();
    reply.push(byte);
  }
  return vocabulary.traversals;
}

test.each<[string, Constraint, Constraint, string]>([
  [
    'maxLength',
    { jsonSchema: { type: 'string', minLength: 10, maxLength: 500 } },
    { jsonSchema: { type: 'string' } },
    `"${'a é日'.repeat(80)}`,
  ],
  [
    'a maxLength that is soon met',
    { jsonSchema: { type: 'string', maxLength: 30 } },
    { jsonSchema: { type: 'string' } },
    `"${'a'.repeat(30)}`,
  ],
  [
    'maxItems and maxLength',
    { jsonSchema: { type: 'array', maxItems: 50, items: { type: 'string', maxLength: 9 } } },
    { jsonSchema: { type: 'array', items: { type: 'string' } } },
    `["abc","b"${',"aaaa"'.repeat(40)}`,
  ],
  ['a count in a pattern', { regex: '[ab]{3,5000}c' }, { regex: '[ab]*c' }, 'ab'.repeat(300)],
  ['counts in counts', { regex: '([ab]{1,20},){1,300}' }, { regex: '([ab]+,)+' }, 'abab,'.repeat(100)],
])('%s goes through the vocabulary no more often than none', (_, counted, free, text) => {
  expect(traversals(counted, text)).toBeLessThanOrEqual(traversals(free, text) + 6);
});

test('tokens of one length are counted, however long: no state is made for each', () => {
  const masks = new Masks(
    { regex: 'a{0,100000}b' },
    new Vocabulary([...tokens]),
    Math.ceil(tokens.length / 32),
  );
  const reply = masks.reply([]);
  const forty = tokens.findIndex((bytes) => bytes.length === 40);
  const b = 'b'.charCodeAt(0);
  for (let i = 0; i < 2500; i++) {
    const mask = reply.mask();
    expect((mask[forty >> 5]! >> (forty & 31)) & 1).toBe(1);
    reply.push(forty);
  }
  const mask = reply.mask();
  expect([...tokens.keys()].filter((id) => (mask[id >> 5]! >> (id & 31)) & 1)).toEqual([b]);
});

describe('counts that a text does not tell', () => {
  test.each([
    '(a{0,100}){0,100}',
    '(a{50,100}){50,100}',
    '((a?b?){1,100}c?){1,100}',
    '(.{0,500}a.{0,500}){0,50}',
    'x(y(a{0,5000}){0,5000})?',
    '.*a.{9000}',
  ])('%s is refused before a reply begins', (pattern) => {
    expect(() => compileConstraint({ regex: pattern })).toThrow(
      expect.objectContaining({
        code: 'unsupported',
        details: expect.objectContaining({ option: 'constraint', ways: expect.any(Number) }),
      }),
    );
    const schema = { type: 'object', properties: { a: { type: 'string', pattern } } };
    expect(() => compileConstraint({ jsonSchema: schema })).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
  });

  // What remains is run through at length: none of them meets the limit in its middle.
  test.each([
    '(a|aa){0,5000}',
    '(\\w+\\s?){1,5000}',
    '(a{100}){100}',
    '([ab]{1,100},){1,100}',
    '(a{0,80}){0,90}b',
    '((a|b?){2,50}c?){3,90}',
    '[ab]*a[ab]{300}',
    '(.*,){0,3000}',
  ])('%s runs', (pattern) => {
    const automaton = compileConstraint({ regex: pattern });
    const random = mulberry32(4);
    let most = 0;
    let state: State = automaton.start;
    for (let i = 0; i < 1500; i++) {
      const next: State | null =
        [random() < 0.7 ? 'a' : 'b', 'a', ',', 'c']
          .map((char) => automaton.next(state, char.charCodeAt(0)))
          .find((each) => each !== null) ?? null;
      if (!next) break;
      state = next;
      most = Math.max(most, state.terms.length);
    }
    expect(most).toBeLessThan(400);
  });

  test('nested lists of a schema are no such counts', () => {
    const list = (items: object): object => ({ type: 'array', maxItems: 100, items });
    const schema = list(list(list({ type: 'string', maxLength: 1000 })));
    expect(() => compileConstraint({ jsonSchema: schema })).not.toThrow();
  });
});
