import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { beforeAll, describe, expect, it } from 'vitest';
import { chatAt } from '../../demo/corpus/chats.ts';
import { Bpe, MIN_VOCAB } from '../../src/train/bpe.ts';
import { CHAT_TEMPLATE, SPECIAL_TOKENS, textOf } from '../../src/train/chat-format.ts';
import { randomFrom } from '../../src/train/random.ts';

const textAt = (index: number): string => textOf(chatAt(1, index).turns);
const texts = Array.from({ length: 1500 }, (_, i) => textAt(i));

/** Random code points of all planes, no lone surrogates. */
function randomText(seed: number): string {
  const random = randomFrom(seed);
  return Array.from({ length: 40 }, () => {
    const point = Math.floor(random() * [0x80, 0x800, 0x10000, 0x110000][Math.floor(random() * 4)]!);
    return point >= 0xd800 && point < 0xe000 ? ' ' : String.fromCodePoint(point);
  }).join('');
}

describe('byte-level BPE', () => {
  let bpe: Bpe;
  let tokenizer: Tokenizer;
  beforeAll(() => {
    bpe = Bpe.train(texts, 900);
    tokenizer = new Tokenizer(
      JSON.parse(JSON.stringify(bpe.tokenizerJson())),
      JSON.parse(JSON.stringify(bpe.configJson(256))),
    );
  });

  it('has the size that was asked for, and ends early when nothing is left to merge', () => {
    expect(bpe.tokens).toHaveLength(900);
    expect(new Set(bpe.tokens).size).toBe(900);
    expect(Bpe.train(['aaaa b'], 5000).tokens.length).toBeLessThan(MIN_VOCAB + 5);
    expect(() => Bpe.train(texts, MIN_VOCAB - 1)).toThrow(/at least 260/);
  });

  it('learns the most frequent pair first', () => {
    expect(Bpe.train(['xyxyxy xy q'], MIN_VOCAB + 1).merges).toEqual([['x', 'y']]);
  });

  it('holds common words as one token', () => {
    for (const word of [' story', ' Mia', ' was', ' red']) expect(bpe.encode(word)).toHaveLength(1);
  });

  it('gives back any text', () => {
    const odd = ['', ' ', '\n\n\t x', "it's 12345 ok?!", '\ufeffe\u0301\0', 'Äß 漢字 🦊👩‍👩‍👧 ٣'];
    for (const text of [...odd, ...Array.from({ length: 200 }, (_, i) => randomText(i))])
      expect(bpe.decode(bpe.encode(text))).toBe(text);
  });

  it('gives the ids that @huggingface/tokenizers gives', () => {
    const samples = [...texts.slice(0, 200), ...Array.from({ length: 200 }, (_, i) => randomText(i))];
    for (const text of samples)
      expect(bpe.encode(text)).toEqual(tokenizer.encode(text, { add_special_tokens: false }).ids);
    for (const text of texts.slice(0, 50))
      expect(tokenizer.decode(bpe.encode(text), { skip_special_tokens: false })).toBe(text);
  });

  it('has a chat template that renders the chats of the corpus as they are trained on', () => {
    const template = new Template(CHAT_TEMPLATE);
    for (let i = 0; i < 100; i++) {
      const messages = chatAt(1, i).turns.map(({ role, content }) => ({ role, content }));
      expect(template.render({ messages, add_generation_prompt: false })).toBe(textAt(i));
      const asked = template.render({ messages: messages.slice(0, -1), add_generation_prompt: true });
      expect(textAt(i).startsWith(asked)).toBe(true);
      expect(asked.endsWith(SPECIAL_TOKENS[2]!)).toBe(true);
    }
  });

  it('reads back what it wrote', () => {
    const again = Bpe.fromJson(JSON.parse(JSON.stringify(bpe.tokenizerJson())));
    expect(again.encode(texts[0]!)).toEqual(bpe.encode(texts[0]!));
    expect(() => Bpe.fromJson({ model: {} })).toThrow(/no list of BPE merges/);
  });
});
