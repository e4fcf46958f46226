import { describe, expect, test } from 'vitest';
import { type Answer, agreementOf, answersOf } from '../../src/convert/answers.ts';
import type { OnGpu } from '../../src/convert/on-gpu.ts';
import { OTHER_TEXT } from '../../src/convert/other-text.ts';
import { qualityTexts } from '../../src/convert/quality.ts';
import { QUESTIONS } from '../../src/convert/questions.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { Tokenizer } from '../../src/formats/tokenizer.ts';

test('there are fifty questions, no two alike', () => {
  expect(new Set(QUESTIONS).size).toBe(50);
});

describe('answers', () => {
  const tokenizer = {
    hasChatTemplate: false,
    enders: [9],
    encode: (text: string) => [text.length],
  } as unknown as Tokenizer;

  /** Says 5 as often as the prompt says, then what ends a reply, then 6 for ever. */
  function model(batch: number, contextLength = 256) {
    let [running, most] = [0, 0];
    const asked: object[] = [];
    async function* generate(prompt: Uint32Array, options: { maxTokens: number }) {
      asked.push(options);
      most = Math.max(most, ++running);
      await new Promise((resume) => setTimeout(resume));
      try {
        for (let i = 0; i < options.maxTokens; i++)
          yield { tokenId: i < prompt[0]! - 18 ? 5 : i === prompt[0]! - 18 ? 9 : 6 };
      } finally {
        running--;
      }
    }
    const info = { batch, contextLength, spec: { eosTokenIds: [2] } };
    const found = { generate, info } as unknown as EngineModel;
    return { found, asked, most: () => most };
  }

  test('are greedy, end with what ends a reply, and run as many at once as the model was loaded for', async () => {
    const { found, asked, most } = model(2);
    const answers = await answersOf(found, tokenizer, ['ab', 'abcd', 'a'.repeat(60)]);
    expect(answers).toEqual([
      { prompt: [20], ids: [5, 5, 9] },
      { prompt: [22], ids: [5, 5, 5, 5, 9] },
      { prompt: [78], ids: Array(24).fill(5) },
    ]);
    expect(most()).toBe(2);
    expect(asked[0]).toMatchObject({ temperature: 0, repetitionPenalty: 1, ignoreEos: true, maxTokens: 24 });
  });

  test('are chats where there is a template, and none where the question leaves no room', async () => {
    const chats: unknown[] = [];
    const chatting = {
      ...tokenizer,
      hasChatTemplate: true,
      encodeChat: (messages: readonly { content: string }[]) => {
        chats.push(messages);
        return Array(messages[0]!.content.length).fill(30);
      },
    } as unknown as Tokenizer;
    const { found } = model(4, 5);
    const answers = await answersOf(found, chatting, ['abc', 'abcdef']);
    expect(answers).toEqual([{ prompt: [30, 30, 30], ids: [5, 5] }]);
    expect(chats).toContainEqual([{ role: 'user', content: 'abc' }]);
  });

  test('stop at once when they are aborted', async () => {
    const stop = new AbortController();
    stop.abort();
    await expect(answersOf(model(1).found, tokenizer, ['ab'], { signal: stop.signal })).rejects.toMatchObject(
      {
        code: 'aborted',
      },
    );
  });

  test('agreement counts the tokens of answers alone', () => {
    const answers: Answer[] = [
      { prompt: [1, 2, 3], ids: [4, 5] },
      { prompt: [6], ids: [7] },
    ];
    const scores = [
      { logprobs: Float32Array.of(-90, -90, -1, -2, -90), top1: Uint32Array.of(2, 3, 4, 8, 0) },
      { logprobs: Float32Array.of(-3, -90), top1: Uint32Array.of(7, 0) },
    ];
    expect(agreementOf(answers, scores)).toEqual({ questions: 2, tokens: 3, nats: 2, same: 2 / 3 });
  });
});

describe('texts to measure on', () => {
  /** A token a character, behind one that begins a text. */
  const model = (context: number, bosTokenId: number | undefined) =>
    ({
      runner: { parts: { spec: { bosTokenId }, kv: { context } } },
      tokenizer: { encode: (text: string) => [1, ...[...text].map((character) => character.charCodeAt(0))] },
    }) as unknown as Pick<OnGpu, 'runner' | 'tokenizer'>;
  const windows = (begin: number[]) => ({
    choosing: [[...begin, 70, 71, 72, 73]],
    test: [[...begin, 74, 75, 76, 77]],
  });

  test('the built-in one comes in windows as long as the text, begun as it is', () => {
    const { other, heldOut } = qualityTexts(model(64, 1), windows([1]));
    expect(heldOut).toEqual([[1, 74, 75, 76, 77]]);
    expect(new Set(other.slice(0, -1).map(({ length }) => length))).toEqual(new Set([5]));
    expect(other.every(([first]) => first === 1)).toBe(true);
    const text = other
      .flatMap(([, ...ids]) => ids)
      .map((id) => String.fromCharCode(id))
      .join('');
    expect(text).toBe(OTHER_TEXT);
    expect(qualityTexts(model(64, 1), windows([])).other[0]).toHaveLength(4);
  });

  test("is the caller's where there is one", () => {
    const other = [[9, 9, 9]];
    expect(qualityTexts(model(64, 1), { ...windows([1]), other }).other).toBe(other);
    expect(qualityTexts(model(64, 1), { ...windows([1]), other: [] }).other.length).toBeGreaterThan(9);
  });

  test('lists of words are the same for every model of a tokenizer, and fit its context', () => {
    const { recall } = qualityTexts(model(512, 1), windows([1]));
    expect(recall).toHaveLength(16);
    expect(qualityTexts(model(512, 1), windows([1])).recall).toEqual(recall);
    for (const { ids, second } of recall) {
      expect(ids.length).toBeLessThanOrEqual(512);
      expect(second).toBeGreaterThan(ids.length / 2);
    }
  });
});
