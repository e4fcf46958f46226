// Several replies to one prompt, decoded together: each is what it would be alone.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chatCompletions } from '../../src/api/openai.ts';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { GenerateOptions, GenerateResult } from '../../src/engine/types.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { collect, resultOf } from '../support/streams.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const source = memorySource({
  ...tinyFiles(tinyModel('shishu', 7)),
  ...charTokenizerFiles(131),
  'tokenizer_config.json': JSON.stringify({
    eos_token: '</s>',
    chat_template: '{% for m in messages %}{{ m.content }}{% endfor %}>',
  }),
});

let alone: EngineModel;
let batch: EngineModel;
beforeAll(async () => {
  alone = await loadModel(source, { contextLength: 96 });
  batch = await loadModel(source, { contextLength: 96, batch: 3 });
});
afterAll(async () => {
  await alone.dispose();
  await batch.dispose();
});

async function replies(n: number, options: GenerateOptions, prompt = 'HELLO'): Promise<GenerateResult[]> {
  const { items: chunks, value } = await collect(batch.generateBatch(prompt, n, options));
  for (const [index, { text, tokenIds }] of value.entries()) {
    const own = chunks.filter((chunk) => chunk.index === index);
    expect(own.map((chunk) => chunk.text).join('')).toBe(text);
    expect(own.map((chunk) => chunk.tokenId)).toEqual(tokenIds);
  }
  return value;
}

async function reply(
  model: EngineModel,
  options: GenerateOptions,
  prompt = 'HELLO',
): Promise<GenerateResult> {
  return resultOf(model.generate(prompt, options));
}

test('greedy ones are alike, and like one alone', async () => {
  const options = { maxTokens: 20, ignoreEos: true, repetitionPenalty: 1.2, logprobs: true };
  const expected = await reply(alone, options);
  for (const n of [3, 2, 1]) {
    const made = await replies(n, options);
    expect(made.map(({ tokenIds }) => tokenIds)).toEqual(Array(n).fill(expected.tokenIds));
    expect(made.map(({ finishReason }) => finishReason)).toEqual(Array(n).fill('length'));
  }
  expect((await reply(batch, options)).tokenIds).toEqual(expected.tokenIds);
});

test('drawn ones differ, can be had again, and leave the prompt in the cache', async () => {
  await batch.reset();
  const options = { maxTokens: 16, temperature: 1.5, seed: 4, ignoreEos: true };
  const once = await replies(3, options);
  expect(new Set(once.map(({ text }) => text)).size).toBe(3);
  expect(once[0]!.usage.cachedTokens).toBe(0);
  const again = await replies(3, options);
  expect(again.map(({ text }) => text)).toEqual(once.map(({ text }) => text));
  expect(again[0]!.usage.cachedTokens).toBe(4);
  // The conversation may go on from the first.
  const longer = `HELLO${once[0]!.text}MORE`;
  const greedy = { maxTokens: 8, ignoreEos: true };
  expect((await reply(batch, greedy, longer)).tokenIds).toEqual(
    (await reply(alone, greedy, longer)).tokenIds,
  );
});

test('each ends by itself, under its own constraint', async () => {
  const made = await replies(3, { temperature: 3, seed: 2, constraint: { regex: '[a-c]{1,12}!' } });
  for (const { text, finishReason } of made) {
    expect(finishReason).toBe('stop');
    expect(text).toMatch(/^[a-c]{1,12}!$/);
  }
  expect(new Set(made.map(({ tokenIds }) => tokenIds.length)).size).toBeGreaterThan(1);
});

test('a change of modes on the way is as one in a reply alone', async () => {
  const tokens = async (model: EngineModel, n: number): Promise<number[][]> => {
    await model.setModes({});
    await model.reset();
    const running = model.generateBatch('HELLO', n, { maxTokens: 14, ignoreEos: true });
    const found: number[][] = Array.from({ length: n }, () => []);
    let next = await running.next();
    for (; !next.done; next = await running.next()) {
      found[next.value.index]!.push(next.value.tokenId);
      if (found[n - 1]!.length === 5) await model.setModes({ 1: 'skip' });
    }
    await model.setModes({});
    return found;
  };
  const [expected] = await tokens(alone, 1);
  expect(await tokens(batch, 3)).toEqual([expected, expected, expected]);
});

test('chat completions with n use the batch where it is large enough', async () => {
  const messages = [{ role: 'user', content: 'HELLO' }];
  const request = { messages, n: 3, temperature: 0, max_tokens: 9, logprobs: true };
  const [together, apart] = [
    await chatCompletions(batch).create(request),
    await chatCompletions(alone).create(request),
  ];
  expect(together.choices.map(({ message }) => message.content)).toEqual(
    apart.choices.map(({ message }) => message.content),
  );
  expect(together.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
  expect(together.usage).toEqual({ ...apart.usage, prompt_tokens_details: expect.anything() });
  const order: number[] = [];
  for await (const { choices } of await chatCompletions(batch).create({ ...request, stream: true }))
    if (choices[0]?.delta.content) order.push(choices[0].index);
  expect(order.slice(0, 6)).toEqual([0, 1, 2, 0, 1, 2]);
});

test('more replies than the batch holds are refused', async () => {
  await expect(replies(4, {})).rejects.toMatchObject({
    code: 'bad-argument',
    details: { replies: 4, limit: 3 },
  });
});
