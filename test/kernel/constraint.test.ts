// Replies under a constraint, of random models: always in the grammar, whatever else is asked for.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CompletionChoice, chatCompletions } from '../../src/api/openai.ts';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { GenerateChunk, GenerateOptions, GenerateResult } from '../../src/engine/types.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { collect } from '../support/streams.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const SCHEMA = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 6 },
    age: { type: 'integer', minimum: 0, maximum: 130 },
    tags: { type: 'array', items: { enum: ['an"a', 'the¡', '¢'] }, minItems: 1, maxItems: 2 },
    note: { anyOf: [{ type: 'null' }, { type: 'number', minimum: -1, maximum: 0.5 }] },
  },
  required: ['name', 'age', 'tags'],
  additionalProperties: false,
};
const validate = new Ajv2020().compile(SCHEMA);

let model: EngineModel;

beforeAll(async () => {
  const spec = { eos_token: '</s>', chat_template: '{% for m in messages %}{{ m.content }}{% endfor %}' };
  model = await loadModel(
    memorySource({
      ...tinyFiles(tinyModel('shishu', 7)),
      ...charTokenizerFiles(131),
      'tokenizer_config.json': JSON.stringify(spec),
      'generation_config.json': '{"eos_token_id": 0}',
    }),
    { contextLength: 96 },
  );
});
afterAll(() => model.dispose());

test('replies of ever new kinds take no more memory than the first of each', async () => {
  const bytesAfter = async (options: GenerateOptions): Promise<number> => {
    for await (const _ of model.generate('ab', { maxTokens: 2, ignoreEos: true, ...options }));
    return model.info.bytes.total;
  };
  const all = { logitBias: { 5: 1 }, constraint: { regex: '[a-z]{3,9}' }, logprobs: true, topLogprobs: 3 };
  const first = await bytesAfter({ ...all, frequencyPenalty: 0.1 });
  for (const top of [0, 3, 20]) {
    const penalties = {
      frequencyPenalty: top / 20,
      presencePenalty: -top / 20,
      repetitionPenalty: 1 + top / 9,
    };
    const drawn = { temperature: 0.5 + top / 20, topK: top, topP: 1 - top / 50, minP: top / 100 };
    for (const options of [
      { topLogprobs: top, logprobs: true },
      { topLogprobs: top, logprobs: true, ...penalties },
      { topLogprobs: top, logprobs: true, ...drawn, ...penalties },
      { ...drawn, logitBias: { [top]: 1 } },
      { ...all, topLogprobs: top, ...drawn },
    ])
      expect(await bytesAfter(options), JSON.stringify(options)).toBe(first);
  }
});

async function reply(options: GenerateOptions): Promise<GenerateResult & { chunks: GenerateChunk[] }> {
  const { items, value } = await collect(model.generate([{ role: 'user', content: 'WHO' }], options));
  return { ...value, chunks: items };
}

describe('a JSON schema', () => {
  const options: Record<string, GenerateOptions> = {
    greedy: {},
    warm: { temperature: 1 },
    hot: { temperature: 3, topK: 40, topP: 0.9 },
    penalized: { temperature: 1, repetitionPenalty: 1.3, presencePenalty: 1, frequencyPenalty: 0.5 },
    biased: { temperature: 1, logitBias: { 2: -100, 93: -1e4 }, minP: 0.01 },
    'log-probabilities': { temperature: 2, logprobs: true, topLogprobs: 2 },
    'not ended by the model': { temperature: 1, ignoreEos: true },
  };
  test.each(Object.entries(options))('%s', async (_, extra) => {
    for (const seed of extra.temperature ? [1, 2] : [1]) {
      const { text, chunks, finishReason, tokenIds } = await reply({
        constraint: { jsonSchema: SCHEMA },
        seed,
        ...extra,
      });
      expect(finishReason).toBe('stop');
      expect(validate(JSON.parse(text)), text).toBe(true);
      expect(chunks.map((chunk) => chunk.text).join('')).toBe(text);
      expect(chunks.every((chunk) => 'logprob' in chunk)).toBe(extra.logprobs === true);
      expect(await model.decode(tokenIds)).toBe(text);
    }
  });

  test('a limit cuts it', async () => {
    const { text, finishReason } = await reply({ constraint: { jsonSchema: SCHEMA }, maxTokens: 4 });
    expect(finishReason).toBe('length');
    expect(() => JSON.parse(text)).toThrow();
  });
});

test('response_format of a chat', async () => {
  const { choices } = await chatCompletions(model).create({
    messages: [{ role: 'user', content: 'WHO' }],
    response_format: { type: 'json_schema', json_schema: { name: 'person', schema: SCHEMA } },
    seed: 4,
  });
  const [{ message, finish_reason }] = choices as [CompletionChoice];
  expect(finish_reason).toBe('stop');
  expect(validate(JSON.parse(message.content!)), message.content!).toBe(true);
});

test('a regular expression', async () => {
  const texts = new Set<string>();
  for (let seed = 0; seed < 6; seed++) {
    const { text, finishReason } = await reply({
      constraint: { regex: '[a-f¢]{2,4}(\\.|the)' },
      temperature: 2,
      seed,
    });
    expect(finishReason).toBe('stop');
    expect(text).toMatch(/^[a-f¢]{2,4}(\.|the)$/u);
    texts.add(text);
  }
  expect(texts.size).toBeGreaterThan(3);
});

test('the next reply is free, and a broken constraint is told before the reply begins', async () => {
  const free = await reply({ maxTokens: 12, seed: 1, ignoreEos: true });
  await reply({ constraint: { regex: 'a' } });
  expect((await reply({ maxTokens: 12, seed: 1, ignoreEos: true })).tokenIds).toEqual(free.tokenIds);
  await expect(reply({ constraint: { regex: '(' } })).rejects.toMatchObject({ code: 'bad-argument' });
  await expect(reply({ constraint: { jsonSchema: { if: {} } } })).rejects.toMatchObject({
    code: 'unsupported',
  });
  await expect(reply({ constraint: {} as never })).rejects.toMatchObject({ code: 'bad-argument' });
  await expect(reply({ constraint: 'a' as never })).rejects.toMatchObject({ code: 'bad-argument' });
});
