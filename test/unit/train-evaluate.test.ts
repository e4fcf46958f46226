import { describe, expect, it } from 'vitest';
import { chatAt, KINDS, toyCorpus } from '../../demo/corpus/chats.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { sampleOf } from '../../src/train/chat-corpus.ts';
import { evaluate, evaluationTable, type Scorer } from '../../src/train/evaluate.ts';

const bpe = new Bpe([]);

/** Gives every token a probability of 1/2, and as likeliest the right next one, but for wrong ids. */
const knowing = (wrong: (id: number) => boolean): Scorer => ({
  score: async (ids) => ({
    logprobs: new Float32Array(ids.length).fill(Math.log(0.5)),
    top1: Uint32Array.from(ids, (_, i) => (wrong(ids[i + 1] ?? 0) ? 0 : (ids[i + 1] ?? 0))),
  }),
});

describe('evaluation', () => {
  it('finds every answer right, and perplexity 2, of a model made so', async () => {
    const result = await evaluate(
      knowing(() => false),
      bpe,
      toyCorpus,
      { chats: 12 },
    );
    expect(result.perplexity.map(({ kind }) => kind)).toEqual(KINDS);
    for (const { all, spoken, chats } of [...result.perplexity, result.overall]) {
      expect(all).toBeCloseTo(2, 5);
      expect(spoken).toBeCloseTo(2, 5);
      expect(chats % 12).toBe(0);
    }
    for (const { right, questions } of result.accuracy) expect(right).toBe(questions);
    expect(result.stories.right).toBe(result.stories.questions);
    expect(result.stories.questions).toBeGreaterThan(40);
    expect(result.mistakes).toEqual([]);
    expect(result.accuracy.map(({ asks }) => asks)).toEqual(
      expect.arrayContaining(['name', 'colour', 'sum', 'echo', 'spell', 'opposite', 'calendar']),
    );
  });

  it('counts an answer wrong when one token of it is, and shows it', async () => {
    const end = bpe.id('<|end|>');
    const endless = await evaluate(
      knowing((id) => id === end),
      bpe,
      toyCorpus,
      { chats: 5 },
    );
    for (const { right } of endless.accuracy) expect(right).toBe(0);
    const digit = bpe.encode('5')[0]!;
    const noFives = await evaluate(
      knowing((id) => id === digit),
      bpe,
      toyCorpus,
      { chats: 12 },
    );
    for (const { asks, right, questions } of noFives.accuracy)
      if (asks === 'sum') expect(right).toBeLessThan(questions);
      else expect(right).toBe(questions);
    expect(noFives.mistakes[0]!.expected).toContain('5');
    expect(noFives.mistakes.length).toBe(3);
  });

  it('reads held-out chats only', async () => {
    const seen: string[] = [];
    const watched: Scorer = {
      score: (ids) => {
        seen.push(ids.join());
        return knowing(() => false).score(ids);
      },
    };
    await evaluate(watched, bpe, toyCorpus, { chats: 2 });
    const expected = KINDS.flatMap((kind) =>
      [0, 1].map((i) => sampleOf(bpe, chatAt(1, i, 'held-out', kind)).ids.join()),
    );
    expect(seen).toEqual(expected);
  });

  it('prints models side by side', async () => {
    const result = await evaluate(
      knowing(() => false),
      bpe,
      toyCorpus,
      { chats: 2 },
    );
    const table = evaluationTable([
      ['parent', result],
      ['child', result],
    ]);
    expect(table).toContain('| every kind | 2.000 / 2.000 | 2.000 / 2.000 |');
    expect(table).toMatch(/stories, all questions \(\d+\) \| 100.0 % \| 100.0 % \|/);
  });
});
