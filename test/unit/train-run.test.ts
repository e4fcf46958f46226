import { describe, expect, it } from 'vitest';
import { chatAt, toyCorpus } from '../../demo/corpus/chats.ts';
import { BatchStream } from '../../src/train/batches.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { CONTEXT_WEIGHT, chatData, sampleOf } from '../../src/train/chat-corpus.ts';
import { textOf } from '../../src/train/chat-format.ts';

const texts = Array.from({ length: 1000 }, (_, i) => textOf(chatAt(1, i).turns));
const bpe = Bpe.train(texts, 512);
const shape = { rows: 4, length: 96, pad: 3 };
const data = chatData(toyCorpus, 1);
const source = data.training(bpe);

describe('batches', () => {
  it('hold whole chats, shifted by one, and little padding', () => {
    const stream = new BatchStream(source, shape);
    let [count, size] = [0, 0];
    for (let i = 0; i < 20; i++) {
      const batch = stream.next();
      count += batch.count;
      size += 4 * 97;
      for (let at = 0; at + 1 < batch.tokens.length; at++)
        if (batch.weights[at]! > 0 && (at + 1) % 96 !== 0)
          expect(batch.tokens[at + 1]).toBe(batch.targets[at]);
      for (let row = 0; row < 4; row++) expect(batch.tokens[96 * row]).toBe(bpe.id('<|begin|>'));
    }
    expect(count / size).toBeGreaterThan(0.9);
  });

  it('go on from a kept state as if never stopped', () => {
    const unbroken = new BatchStream(source, shape);
    for (let i = 0; i < 5; i++) unbroken.next();
    const resumed = new BatchStream(source, shape, JSON.parse(JSON.stringify(unbroken.state)));
    for (let i = 0; i < 5; i++) expect(resumed.next()).toEqual(unbroken.next());
  });

  it('count what the assistant says in full and the rest less', () => {
    const { ids, weights } = sampleOf(bpe, chatAt(1, 0));
    const at = ids.indexOf(bpe.id('<|assistant|>'));
    expect(weights.slice(0, at + 1).every((weight) => weight === CONTEXT_WEIGHT)).toBe(true);
    expect(weights[at + 1]).toBe(1);
    expect(weights.at(-1)).toBe(1);
  });
});
