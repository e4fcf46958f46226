// Masks over a whole vocabulary, against a run of the automaton for every token.
import { expect, test } from 'vitest';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { type Constraint, Masks } from '../../src/grammar/constraint.ts';
import { Vocabulary } from '../../src/grammar/vocabulary.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { tokensOfTexts } from '../support/grammar-replies.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';
import { sentencepieceFiles } from '../support/sentencepiece-tokenizer.ts';

const CONSTRAINTS: readonly Constraint[] = [
  { regex: '(the |and |日本|é+){1,4}\\.' },
  { regex: '[^a]{0,3}(😀|\\d{2})*' },
  { jsonSchema: { type: 'array', items: { enum: ['a', 'the', 'é"', null, 12] }, maxItems: 3 } },
  { jsonSchema: { type: 'object', properties: { é: { type: 'string', maxLength: 3 } } } },
];

test.each(CONSTRAINTS)('%j', (constraint) => {
  const tokens = tokensOfTexts(['"}', '": ', '{"', 'ab', 'abc', 'abd', '日本', 'é"', '"é', '😀1', ', ', '.']);
  const end = tokens.length;
  const masks = new Masks(constraint, new Vocabulary([...tokens, undefined]), Math.ceil((end + 1) / 32));
  const random = mulberry32(3);
  let states = 0;
  for (let run = 0; run < 10; run++) {
    const reply = masks.reply([end]);
    let state = masks.automaton.start;
    for (let step = 0; step < 25; step++) {
      const mask = reply.mask();
      const got = [...tokens.keys(), end].filter((id) => (mask[id >> 5]! >> (id & 31)) & 1);
      const alive = [...tokens.keys()].filter((id) => masks.automaton.run(state, tokens[id]!) !== null);
      expect(got).toEqual(state.accepting ? [...alive, end] : alive);
      expect(reply.finished).toBe(state.accepting && alive.length === 0);
      states++;
      const next = got[Math.floor(random() * got.length)]!;
      if (next === end || reply.finished) break;
      reply.push(next);
      state = masks.automaton.run(state, tokens[next]!)!;
      if (reply.finished) break;
    }
  }
  expect(states).toBeGreaterThan(20);
});

test('a vocabulary without the characters is told so', () => {
  const masks = new Masks({ regex: 'ab' }, new Vocabulary([Uint8Array.of(97)]), 1);
  const reply = masks.reply([]);
  expect(reply.push(0)).toBe('a');
  expect(() => reply.mask()).toThrow(expect.objectContaining({ code: 'unsupported' }));
});

test.each([
  ['byte-level', byteTokenizerFiles(), ''],
  ['sentencepiece', sentencepieceFiles(), 'a'],
])('bytes of %s tokens are what they decode to', async (_, files, before) => {
  const tokenizer = await loadTokenizer(memorySource(files), 400);
  const bytes = tokenizer.tokenBytes();
  expect(bytes).toHaveLength(tokenizer.size);
  const start = tokenizer.encode(before, { addSpecialTokens: false });
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let whole = 0;
  for (const [id, token] of bytes.entries()) {
    expect(token === undefined).toBe(tokenizer.isSilent(id));
    if (token === undefined) continue;
    const decoded = tokenizer.decode([...start, id]);
    // Bytes of half a character are told by the text of the whole ones.
    if (decoded.includes('\ufffd')) continue;
    whole++;
    expect(decoder.decode(token)).toBe(decoded.slice(before.length));
  }
  expect(whole).toBeGreaterThan(128);
  const text = 'the é and 日本 😀\n';
  const spelled = tokenizer.encode(text, { addSpecialTokens: false }).flatMap((id) => [...bytes[id]!]);
  expect(new TextDecoder().decode(Uint8Array.from(spelled)).trimStart()).toBe(text);
});
