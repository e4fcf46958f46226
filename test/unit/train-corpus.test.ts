import { describe, expect, it } from 'vitest';
import { chatAt, KINDS, splitOf } from '../../src/train/corpus.ts';
import { STORY_QUESTIONS } from '../../src/train/story.ts';

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
});
