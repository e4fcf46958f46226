import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chatAt, KINDS, splitOf, toyCorpus } from '../../demo/corpus/chats.ts';
import { STORY_QUESTIONS } from '../../demo/corpus/story.ts';
import { chatText } from '../../demo/corpus/text.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { chatData, MEASURING_SEED_OFFSET } from '../../src/train/chat-corpus.ts';
import { BEGIN, textOf } from '../../src/train/chat-format.ts';

const chats = (split: 'train' | 'held-out', n = 3000, seed = 1) =>
  Array.from({ length: n }, (_, i) => chatAt(seed, i, split));

describe('corpus', () => {
  it('is the same for the same seed, wherever it is begun, and another for another', () => {
    expect(chats('train', 50)).toEqual(chats('train', 50));
    expect(chatAt(1, 49)).toEqual(chats('train', 50)[49]);
    expect(chats('train', 50, 2)).not.toEqual(chats('train', 50));
  });

  it('never shows a held-out combination in training, nor a trained one in evaluation', () => {
    const keys = (split: 'train' | 'held-out') =>
      new Set(
        chats(split, 6000).flatMap(({ kind, keys }) =>
          keys.map((key) => `${kind === 'telling' ? 'story' : kind}/${key}`),
        ),
      );
    const [trained, held] = [keys('train'), keys('held-out')];
    expect(trained.size).toBeGreaterThan(4000);
    expect(held.size).toBeGreaterThan(2000);
    expect([...held].filter((key) => trained.has(key))).toEqual([]);
    for (const { kind, keys } of chats('held-out', 500))
      for (const key of keys) expect(splitOf(kind, key)).toBe('held-out');
  });

  it('draws every kind, and asks every question about stories', () => {
    const drawn = chats('train');
    expect(new Set(drawn.map((chat) => chat.kind))).toEqual(new Set(KINDS));
    const asked = new Set(drawn.flatMap(({ turns }) => turns.map((turn) => turn.asks)));
    for (const question of STORY_QUESTIONS) expect(asked).toContain(question);
    for (const kind of KINDS) expect(chatAt(1, 5, 'held-out', kind).kind).toBe(kind);
  });

  it('lets user and assistant take turns, the user first', () => {
    for (const { turns } of chats('train', 300))
      expect(turns.map((turn) => turn.role)).toEqual(
        turns.map((_, i) => (i % 2 === 0 ? 'user' : 'assistant')),
      );
  });

  it('answers story questions with words of the story, except what it does not tell', () => {
    for (const { kind, turns } of chats('train', 500)) {
      if (kind !== 'story') continue;
      for (const [i, turn] of turns.entries()) {
        if (turn.role === 'user' || turn.asks === 'unknown') continue;
        const said = `${turns[0]!.content} ${turns[i - 1]!.content}`.toLowerCase();
        for (const word of turn.content.toLowerCase().match(/\w+/g)!.slice(1))
          if (!['called', 'lived', 'had', 'then', 'a', 'an', 'was', 'were'].includes(word))
            expect(said, turn.content).toContain(word);
      }
    }
  });

  it('gets sums right', () => {
    const sums = chats('train').flatMap(({ turns }) => turns.filter((turn) => turn.asks === 'sum'));
    expect(sums.length).toBeGreaterThan(100);
    for (const { content } of sums) {
      const [a, b, sum] = content.match(/\d+/g)!.map(Number);
      expect(a! + b!, content).toBe(sum);
    }
  });

  it('is the corpus that the embedded pair was trained on: the same chats, and the same vocabulary', () => {
    const first = Array.from({ length: 500 }, (_, i) => [chatAt(1, i), chatAt(1, i, 'held-out')]);
    expect(createHash('sha256').update(JSON.stringify(first)).digest('hex')).toBe(
      '7f8f7de5efc78b63382d208d0f1464008d7bea4974196e66181f867f77011fe8',
    );
    const parent = join(import.meta.dirname, '../../demo/public/models/parent');
    const read = (name: string) => JSON.parse(readFileSync(join(parent, name), 'utf8'));
    const { vocab_size, max_position_embeddings } = read('config.json');
    const bpe = Bpe.train(chatData(toyCorpus, 1).texts(), vocab_size);
    expect(bpe.tokenizerJson()).toEqual(read('tokenizer.json'));
    expect(bpe.configJson(max_position_embeddings)).toEqual(read('tokenizer_config.json'));
  });

  it('gives text of chats that training with the seed does not draw, in the chat format or as lines', () => {
    const first = chatAt(1 + MEASURING_SEED_OFFSET, 0).turns;
    const text = chatText(1, 5000, true);
    expect(text.length).toBeGreaterThanOrEqual(5000);
    expect(text.startsWith(`${textOf(first)}${BEGIN}`)).toBe(true);
    const lines = chatText(1, 5000, false);
    expect(lines.startsWith(`${first.map(({ content }) => content).join('\n')}\n\n`)).toBe(true);
    expect(lines).not.toContain(BEGIN);
    expect(first).not.toEqual(chatAt(1, 0).turns);
  });
});
