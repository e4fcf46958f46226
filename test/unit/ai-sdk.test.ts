// The AI SDK's own functions over a model in this process.
import { embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import { describe, expect, it } from 'vitest';
import { embeddingModel, languageModel } from '../../src/doors/ai-sdk.ts';
import type { GenerateOptions, Message } from '../../src/engine/types.ts';
import { fakeModel } from '../support/fake-model.ts';
import { sayingModel } from '../support/saying-model.ts';
import { itemsOf } from '../support/streams.ts';

const call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>';

describe('texts', () => {
  it('are generated whole', async () => {
    const { model, calls } = fakeModel();
    const { text, usage, finishReason, response } = await generateText({
      model: languageModel(model, { name: 'fake' }),
      system: 'Be brief.',
      prompt: 'Hi',
      maxOutputTokens: 9,
      temperature: 0.5,
      topK: 4,
      seed: 3,
      stopSequences: ['\n'],
      providerOptions: { shishulm: { min_p: 0.1 } },
    });
    expect([text, finishReason, response.modelId]).toEqual(['Hello!', 'stop', 'fake']);
    expect(usage).toMatchObject({
      inputTokens: 12,
      outputTokens: 4,
      inputTokenDetails: { cacheReadTokens: 5 },
    });
    expect(calls[0]).toMatchObject({
      prompt: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
      ],
      options: { maxTokens: 9, temperature: 0.5, topK: 4, seed: 3, stop: ['\n'], minP: 0.1 },
    });
  });

  it('are streamed', async () => {
    const { textStream, finishReason } = streamText({
      model: languageModel(fakeModel().model),
      prompt: 'Hi',
    });
    expect(await itemsOf(textStream)).toEqual(['Hel', 'lo', '!']);
    expect(await finishReason).toBe('stop');
  });

  it('come with the reasoning before them', async () => {
    const said = [{ text: '', reasoning: 'Hm' }, { text: 'Yes' }];
    const model = languageModel(sayingModel(said).model);
    const { text, reasoningText, usage } = await generateText({ model, prompt: 'Hi' });
    expect([text, reasoningText]).toEqual(['Yes', 'Hm']);
    expect(usage.outputTokenDetails).toMatchObject({ reasoningTokens: 1 });
    const parts = await itemsOf(streamText({ model, prompt: 'Hi' }).fullStream);
    expect(parts.map(({ type }) => type).filter((type) => /text|reasoning/.test(type))).toEqual([
      'reasoning-start',
      'reasoning-delta',
      'reasoning-end',
      'text-start',
      'text-delta',
      'text-end',
    ]);
  });

  it('are objects by a schema', async () => {
    const said = sayingModel([{ text: '{"a":' }, { text: '7}' }]);
    const schema = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] } as const;
    const { output } = await generateText({
      model: languageModel(said.model),
      prompt: 'Hi',
      output: Output.object({ schema: jsonSchema<{ a: number }>(schema) }),
    });
    expect(output).toEqual({ a: 7 });
    expect(said.calls[0]!.options.constraint).toEqual({ jsonSchema: schema });
  });
});

describe('tools', () => {
  it('are called, and their results read', async () => {
    const asked: { prompt: readonly Message[]; options: GenerateOptions }[] = [];
    const first = sayingModel([{ text: call }], { applyChatTemplate: async () => '' });
    const second = sayingModel([{ text: 'It is 3.' }]);
    const model = {
      ...first.model,
      toolFormat: 'hermes' as const,
      generate(prompt: readonly Message[], options: GenerateOptions = {}) {
        asked.push({ prompt, options });
        return (asked.length === 1 ? first : second).model.generate(prompt, options);
      },
    };
    const add = tool({
      description: 'Adds.',
      inputSchema: jsonSchema<{ a: number; b: number }>({ type: 'object' }),
      execute: async ({ a, b }) => a + b,
    });
    const { text, steps } = await generateText({
      model: languageModel(model),
      prompt: '1 + 2?',
      tools: { add },
      stopWhen: stepCountIs(3),
    });
    expect(text).toBe('It is 3.');
    expect(steps[0]!.toolCalls[0]).toMatchObject({ toolName: 'add', input: { a: 1, b: 2 } });
    expect(asked[0]!.options.tools).toMatchObject([{ function: { name: 'add', description: 'Adds.' } }]);
    const [, assistant, result] = asked[1]!.prompt;
    expect(assistant).toMatchObject({
      role: 'assistant',
      tool_calls: [{ function: { name: 'add', arguments: { a: 1, b: 2 } } }],
    });
    expect(result).toMatchObject({ role: 'tool', name: 'add', content: '3' });
  });
});

it('embeds', async () => {
  const { embeddings, usage } = await embedMany({
    model: embeddingModel(fakeModel().model),
    values: ['abc', 'b'],
  });
  expect(embeddings).toEqual([
    [3, 0.5],
    [1, 0.5],
  ]);
  expect(usage.tokens).toBe(4);
});

describe('what goes wrong', () => {
  it('is told by name', async () => {
    const model = languageModel(fakeModel().model);
    const wrong = generateText({ model, prompt: 'Hi', temperature: -1, maxRetries: 0 });
    await expect(wrong).rejects.toThrow('"temperature"');
    const image = { type: 'file', mediaType: 'image/png', data: 'AAAA' } as const;
    const picture = generateText({ model, messages: [{ role: 'user', content: [image] }], maxRetries: 0 });
    await expect(picture).rejects.toThrow('text alone');
  });

  it('ends a reply that is aborted, or left', async () => {
    const { model, seen } = fakeModel();
    const aborting = new AbortController();
    const { stream } = await languageModel(model).doStream({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
      abortSignal: aborting.signal,
    });
    const reader = stream.getReader();
    for (let i = 0; i < 3; i++) await reader.read();
    aborting.abort(new Error('enough'));
    await expect(
      (async () => {
        while (!(await reader.read()).done);
      })(),
    ).rejects.toThrow();
    const left = await languageModel(model).doStream({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
    });
    await left.stream.cancel();
    expect(seen.returned).toBe(2);
  });
});
