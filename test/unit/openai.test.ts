import { describe, expect, it } from 'vitest';
import { type ChatModel, chatCompletions } from '../../src/api/openai.ts';
import { checkRequest } from '../../src/api/openai-request.ts';
import type { GenerateResult } from '../../src/engine/types.ts';
import { ShishuError } from '../../src/errors.ts';
import { fakeModel, usage } from '../support/fake-model.ts';
import { itemsOf } from '../support/streams.ts';

const messages = [{ role: 'user', content: 'Hi' }];

it('chooses an adapter by its name, as the model or as a field', async () => {
  const { model, chat, calls } = fakeModel();
  Object.assign(model, { info: { batch: 1, adapters: [{ name: 'poet' }] } });
  expect((await chat.create({ messages, model: 'poet' })).model).toBe('poet');
  await chat.create({ messages, model: 'other' });
  await chat.create({ messages, adapter: 'cook', model: 'poet' });
  expect(calls.map(({ options }) => options.adapter)).toEqual(['poet', undefined, 'cook']);
  await expect(chat.create({ messages, adapter: 5 as never })).rejects.toThrow('adapter');
});

describe('a whole completion', () => {
  it('has the shape of OpenAI', async () => {
    const { chat, calls } = fakeModel();
    const completion = await chat.create({ messages, max_tokens: 9 });
    expect(completion).toEqual({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      created: expect.closeTo(Date.now() / 1000, -2),
      model: 'fake',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello!', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 12,
        completion_tokens: 4,
        total_tokens: 16,
        prompt_tokens_details: { cached_tokens: 5 },
      },
    });
    expect(calls).toEqual([{ prompt: messages, options: { temperature: 1, maxTokens: 9 } }]);
  });

  it('hands every option on under its name here', async () => {
    const { chat, calls } = fakeModel();
    const { signal } = new AbortController();
    await chat.create(
      {
        messages,
        model: 'mine',
        stop: ['a', 'b'],
        temperature: 0,
        top_p: 0.5,
        max_completion_tokens: 3,
        logprobs: true,
        top_logprobs: 2,
        seed: 7,
        frequency_penalty: 0.1,
        presence_penalty: 0.2,
        logit_bias: { '5': -100 },
        top_k: 4,
        min_p: 0.1,
        repetition_penalty: 1.1,
        modes: { level: 0.5 },
        user: 'me',
        response_format: { type: 'text' },
      },
      { signal },
    );
    expect(calls[0]!.options).toEqual({
      stop: ['a', 'b'],
      temperature: 0,
      topP: 0.5,
      maxTokens: 3,
      logprobs: true,
      topLogprobs: 2,
      seed: 7,
      frequencyPenalty: 0.1,
      presencePenalty: 0.2,
      logitBias: { '5': -100 },
      topK: 4,
      minP: 0.1,
      repetitionPenalty: 1.1,
      modes: { level: 0.5 },
      signal,
    });
  });

  it('asks for JSON as a constraint', async () => {
    const { chat, calls } = fakeModel();
    const schema = { type: 'array', items: { type: 'null' } };
    await chat.create({ messages, response_format: { type: 'json_object' } });
    const object = { type: 'object', properties: { a: { type: 'null' } } };
    await chat.create({ messages, response_format: { type: 'json_object', schema: object } });
    await chat.create({
      messages,
      response_format: { type: 'json_schema', json_schema: { name: 'nulls', schema, strict: true } },
    });
    expect(calls.map(({ options }) => options.constraint)).toEqual([
      { jsonSchema: { type: 'object' } },
      { jsonSchema: { ...object, $id: 'response_format' } },
      { jsonSchema: schema },
    ]);
  });

  it('makes n replies, each from a seed of its own, and counts the prompt once', async () => {
    const { chat, calls } = fakeModel({ finishReason: 'length' });
    const { choices, usage } = await chat.create({ messages, n: 3, seed: 40 });
    expect(choices.map(({ index, finish_reason }) => [index, finish_reason])).toEqual([
      [0, 'length'],
      [1, 'length'],
      [2, 'length'],
    ]);
    expect(calls.map(({ options }) => options.seed)).toEqual([40, 41, 42]);
    expect(usage).toMatchObject({ prompt_tokens: 12, completion_tokens: 12, total_tokens: 24 });
  });

  it('tells log-probabilities with text and bytes', async () => {
    const { chat } = fakeModel();
    const { choices } = await chat.create({ messages, logprobs: true, top_logprobs: 1 });
    const content = choices[0]!.logprobs!.content!;
    expect(content).toHaveLength(4);
    expect(content[0]).toEqual({
      token: 'Hel',
      logprob: -1 / 8,
      bytes: [72, 101, 108],
      top_logprobs: [{ token: '\ufffd', logprob: -0.5, bytes: null }],
    });
  });

  it('joins parts of text and keeps other fields of a message', async () => {
    const { chat, calls } = fakeModel();
    const content = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ] as const;
    await chat.create({ messages: [{ role: 'user', name: 'me', content }] });
    expect(calls[0]!.prompt).toEqual([{ role: 'user', name: 'me', content: 'ab' }]);
  });
});

describe('a stream', () => {
  it('opens, tells text as it comes, closes and counts', async () => {
    const { chat } = fakeModel();
    const stream = await chat.create({ messages, stream: true, stream_options: { include_usage: true } });
    const chunks = await itemsOf(stream);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.every(({ object }) => object === 'chat.completion.chunk')).toBe(true);
    expect(chunks.map(({ choices }) => choices[0]?.delta)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { content: 'Hel' },
      { content: 'lo' },
      { content: '!' },
      {},
      undefined,
    ]);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([
      null,
      null,
      null,
      null,
      'stop',
      undefined,
    ]);
    expect(chunks.slice(0, 5).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks[5]!.usage).toMatchObject({
      prompt_tokens: 12,
      prompt_tokens_details: { cached_tokens: 5 },
    });
  });

  it('says no usage unasked, and keeps tokens without text when they have log-probabilities', async () => {
    const { chat } = fakeModel();
    const chunks = await itemsOf(await chat.create({ messages, stream: true, logprobs: true, n: 2 }));
    expect(chunks.every((chunk) => !('usage' in chunk))).toBe(true);
    expect(chunks.map(({ choices }) => choices[0]!.index)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    expect(chunks.filter(({ choices }) => choices[0]!.logprobs)).toHaveLength(8);
  });

  it('ends the reply when its reader leaves or its controller is aborted', async () => {
    const { chat, seen } = fakeModel();
    for await (const _ of await chat.create({ messages, stream: true })) break;
    expect(seen.returned).toBe(1);
    const stream = await chat.create({ messages, stream: true });
    const texts: unknown[] = [];
    for await (const { choices } of stream) {
      texts.push(choices[0]!.delta.content);
      stream.controller.abort();
    }
    expect(texts).toEqual(['', 'Hel']);
    expect(seen.returned).toBe(2);
  });
});

describe('log-probabilities that tell bytes', () => {
  const chances = [[0x20, 0x48], [0xc3], [0xa9], [0x21]].map((bytes, i) => ({
    tokenId: i,
    logprob: -1,
    bytes,
  }));
  const modelOf = (told: boolean) => {
    let asked = 0;
    const model: ChatModel = {
      async *generate() {
        for (const { tokenId, logprob, bytes } of [...chances, ...chances])
          yield {
            text: '',
            tokenId,
            logprob: told ? { logprob, bytes, top: chances } : { logprob, top: [{ tokenId, logprob }] },
          };
        return { text: '', usage, finishReason: 'stop' } as unknown as GenerateResult;
      },
      decode: async () => {
        asked++;
        return 'x';
      },
    };
    return { chat: chatCompletions(model), asked: () => asked };
  };
  const request = { messages, logprobs: true, top_logprobs: 4 };

  it('ask the model for no token, and write parts of characters as OpenAI does', async () => {
    const { chat, asked } = modelOf(true);
    const content = (await chat.create(request)).choices[0]!.logprobs!.content!;
    expect(asked()).toBe(0);
    expect(content.slice(0, 4).map(({ token, bytes }) => [token, bytes])).toEqual([
      [' H', [0x20, 0x48]],
      ['bytes:\\xc3', [0xc3]],
      ['bytes:\\xa9', [0xa9]],
      ['!', [0x21]],
    ]);
    expect(content[0]!.top_logprobs.map(({ bytes }) => bytes)).toEqual(chances.map(({ bytes }) => bytes));
  });

  it('ask for each token once where the model tells none', async () => {
    const { chat, asked } = modelOf(false);
    await chat.create(request);
    expect(asked()).toBe(4);
  });
});

describe('refusals', () => {
  it.each<[object, string]>([
    [{ tools: [{ type: 'function' }] }, 'tools[0]'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ tools: {} }, 'tools'],
    [{ parallel_tool_calls: 1 }, 'parallel_tool_calls'],
    [{ response_format: { type: 'json_schema' } }, 'response_format'],
    [{ response_format: { type: 'xml' } }, 'response_format'],
    [{ response_format: { type: 'text', schema: {} } }, 'response_format.schema'],
    [{ response_format: { type: 'json_object', strict: true } }, 'response_format.strict'],
    [{ response_format: { type: 'json_object', schema: [] } }, 'response_format.schema'],
    [{ response_format: { type: 'json_schema', json_schema: { schema: {} }, x: 1 } }, 'response_format.x'],
    [
      { response_format: { type: 'json_schema', json_schema: { schema: {}, shema: 1 } } },
      'response_format.json_schema.shema',
    ],
    [
      { response_format: { type: 'json_schema', json_schema: { schema: {}, strict: 1 } } },
      'response_format.json_schema.strict',
    ],
    // The engine judges these, by names of its own.
    [{ top_p: 3 }, 'top_p'],
    [{ min_p: 2 }, 'min_p'],
    [{ top_k: -1 }, 'top_k'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_completion_tokens: 0.5 }, 'max_completion_tokens'],
    [{ stop: [''] }, 'stop'],
    [{ seed: 0.5 }, 'seed'],
    [{ temperature: -1 }, 'temperature'],
    [{ frequency_penalty: 101 }, 'frequency_penalty'],
    [{ presence_penalty: 'x' }, 'presence_penalty'],
    [{ repetition_penalty: 0 }, 'repetition_penalty'],
    [{ logit_bias: { 3: 'x' } }, 'logit_bias[3]'],
    [{ top_logprobs: 2 }, 'top_logprobs'],
    [{ n: 0 }, 'n'],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ role: 'user', content: null }] }, 'messages[0].content'],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content[0]'],
    [{ messages: [{ content: 'x' }] }, 'messages[0].role'],
    [{ stream_options: { include_usage: true } }, 'stream_options'],
    [{ reasoning_effort: 'high' }, 'reasoning_effort'],
    ...['yes', 1, [], true].map((given): [object, string] => [
      { stream: true, stream_options: given },
      'stream_options',
    ]),
    [{ stream: true, stream_options: { include_usage: 1 } }, 'stream_options.include_usage'],
    [{ stream: true, stream_options: { usage: true } }, 'stream_options.usage'],
    [{ stream: 'true' }, 'stream'],
    [{ max_tokens: 5, max_completion_tokens: 7 }, 'max_completion_tokens'],
    [{ max_completion_tokens: 7, max_tokens: 5 }, 'max_tokens'],
    [{ model: 5 }, 'model'],
    [{ user: {} }, 'user'],
    [{ store: 'no' }, 'store'],
    [{ metadata: 'x' }, 'metadata'],
    [{ metadata: ['x'] }, 'metadata'],
    [{ metadata: { a: 1 } }, 'metadata.a'],
    [{ logit_bias: [1] }, 'logit_bias'],
    [{ logit_bias: new Map([[3, 1]]) }, 'logit_bias'],
    [{ response_format: [] }, 'response_format'],
    [{ response_format: 'json' }, 'response_format'],
  ])('%o names %s', async (extra, field) => {
    const error = await fakeModel()
      .chat.create({ messages, ...extra } as never)
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ShishuError);
    expect(error).toMatchObject({ code: 'bad-argument', details: { field } });
    expect((error as Error).message).toContain(`"${field}`);
    expect((error as Error).message).not.toMatch(/topP|minP|topK|maxTokens|Penalty|logitBias|topLogprobs/);
  });

  const tool = { type: 'function', function: { name: 'f', parameters: { type: 'object' } } };
  const deep = JSON.parse(`${'['.repeat(1e5)}${']'.repeat(1e5)}`);
  it.each<[string, object, string]>([
    ['a field of a tool', { tools: [{ ...tool, strict: true }] }, 'tools[0].strict'],
    [
      'a field of a function',
      { tools: [tool, { ...tool, function: { ...tool.function, params: {} } }] },
      'tools[1].function.params',
    ],
    [
      'a description',
      { tools: [{ ...tool, function: { ...tool.function, description: ['x'] } }] },
      'tools[0].function.description',
    ],
    [
      'strict',
      { tools: [{ ...tool, function: { ...tool.function, strict: 'yes' } }] },
      'tools[0].function.strict',
    ],
    ['a tool that is a list', { tools: [[]] }, 'tools[0]'],
    ['a tool that is text', { tools: ['f'] }, 'tools[0]'],
    ['a function that is a list', { tools: [{ type: 'function', function: [] }] }, 'tools[0]'],
    ['a deep field', { tools: [{ ...tool, x: deep }] }, 'tools[0].x'],
    ['a choice of no type', { tools: [tool], tool_choice: { function: { name: 'f' } } }, 'tool_choice'],
    [
      'a choice of another type',
      { tools: [tool], tool_choice: { type: 'custom', function: { name: 'f' } } },
      'tool_choice',
    ],
    ['a choice that is a list', { tools: [tool], tool_choice: ['f'] }, 'tool_choice'],
    ['a choice by name alone', { tools: [tool], tool_choice: 'f' }, 'tool_choice'],
    ['a choice of nothing', { tools: [tool], tool_choice: { type: 'function' } }, 'tool_choice'],
    [
      'a field of a choice',
      { tools: [tool], tool_choice: { type: 'function', function: { name: 'f' }, mode: 'auto' } },
      'tool_choice.mode',
    ],
    [
      'a field of the function of a choice',
      { tools: [tool], tool_choice: { type: 'function', function: { name: 'f', strict: true } } },
      'tool_choice.function.strict',
    ],
    ...['x', 5, null, true, ['f'], deep].map((call): [string, object, string] => [
      'an earlier call',
      { messages: [{ role: 'assistant', content: null, tool_calls: [call] }] },
      'messages[0].tool_calls[0]',
    ]),
    [
      'the function of an earlier call',
      { messages: [{ role: 'assistant', tool_calls: [{ type: 'function', function: 'f' }] }] },
      'messages[0].tool_calls[0].function',
    ],
    [
      'the name of an earlier call',
      { messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: '{}' } }] }] },
      'messages[0].tool_calls[0].function.name',
    ],
    [
      'an earlier call of another type',
      { messages: [{ role: 'assistant', tool_calls: [{ type: 'custom', custom: { name: 'f' } }] }] },
      'messages[0].tool_calls[0].name',
    ],
  ])('%s that has no sense is named', async (_, extra, field) => {
    const checked = () => checkRequest({ messages, ...extra } as never, 'hermes');
    expect(checked).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    expect(checked).toThrow(expect.objectContaining({ details: expect.objectContaining({ field }) }));
    expect(checked).toThrow(`"${field}"`);
  });

  it('name both of two fields that are one option; where they agree they are no error', async () => {
    const both = { messages, max_tokens: 5, max_completion_tokens: 7 };
    const error = await fakeModel()
      .chat.create(both)
      .catch((e: unknown) => e);
    expect((error as Error).message).toBe(
      'Field "max_completion_tokens" is 7, expected 5, as "max_tokens" has it, or only one of the two.',
    );
    const { chat, calls } = fakeModel();
    await chat.create({ ...both, max_tokens: 7 });
    await chat.create({ ...both, max_tokens: null });
    expect(calls.map(({ options }) => options.maxTokens)).toEqual([7, 7]);
  });

  it('spare what is allowed: no strict, no description, calls that are the function itself', () => {
    const said = { name: 'f', description: null, strict: null, parameters: null };
    const { tools, messages: kept } = checkRequest(
      {
        messages: [
          {
            role: 'assistant',
            content: null,
            tool_calls: [
              { name: 'f', arguments: '{"a":1}' },
              { id: '1', function: { name: 'f' } },
            ],
          },
        ],
        tools: [{ type: 'function', function: said }],
        tool_choice: { type: 'function', function: { name: 'f' } },
      } as never,
      'hermes',
    );
    expect(tools).toMatchObject({ names: ['f'], demanded: true });
    expect(kept[0]!.tool_calls).toEqual([
      { name: 'f', arguments: { a: 1 } },
      { id: '1', function: { name: 'f', arguments: {} } },
    ]);
  });

  it('come before the stream does, and null is no value', async () => {
    const { chat } = fakeModel();
    await expect(chat.create({ messages, stream: true, top_p: 7 })).rejects.toMatchObject({
      code: 'bad-argument',
      details: { option: 'top_p', field: 'top_p' },
    });
    await expect(chat.create({ messages, tools: null, top_p: null } as never)).resolves.toBeDefined();
  });

  it('tell of an abort from outside', async () => {
    const call = { signal: AbortSignal.abort() };
    await expect(fakeModel().chat.create({ messages }, call)).rejects.toMatchObject({ code: 'aborted' });
    const stream = fakeModel().chat.create({ messages, stream: true }, call).then(itemsOf);
    await expect(stream).rejects.toMatchObject({ code: 'aborted' });
  });
});
