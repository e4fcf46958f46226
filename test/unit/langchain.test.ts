// LangChain's own calls over a model in this process.
import { type AIMessage, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { tool } from '@langchain/core/tools';
import { describe, expect, it } from 'vitest';
import { ChatShishuLM, ShishuLMEmbeddings } from '../../src/doors/langchain.ts';
import { fakeModel } from '../support/fake-model.ts';
import { sayingModel } from '../support/saying-model.ts';
import { itemsOf } from '../support/streams.ts';

const schema = {
  type: 'object',
  properties: { a: { type: 'integer' } },
  required: ['a'],
} as { type: 'object'; properties: { a: { type: 'integer' } }; required: string[] };
const add = tool(async () => '3', { name: 'add', description: 'Adds.', schema });
const call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>';

describe('a chat model', () => {
  it('answers', async () => {
    const { model, calls } = fakeModel();
    const chat = new ChatShishuLM({ model, fields: { temperature: 0, max_tokens: 9 } });
    const answer = await chat.invoke([new SystemMessage('Be brief.'), new HumanMessage('Hi')], {
      stop: ['\n'],
    });
    expect(answer.content).toBe('Hello!');
    expect(answer.usage_metadata).toMatchObject({ input_tokens: 12, output_tokens: 4 });
    expect(answer.response_metadata).toMatchObject({ finish_reason: 'stop' });
    expect(calls[0]).toMatchObject({
      prompt: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
      ],
      options: { temperature: 0, maxTokens: 9, stop: ['\n'] },
    });
  });

  it('streams through a chain', async () => {
    const chain = ChatPromptTemplate.fromTemplate('Say {what}')
      .pipe(new ChatShishuLM({ model: fakeModel().model }))
      .pipe(new StringOutputParser());
    const pieces = await itemsOf(await chain.stream({ what: 'hello' }));
    expect(pieces.filter(Boolean)).toEqual(['Hel', 'lo', '!']);
    expect(await chain.batch([{ what: 'a' }, { what: 'b' }])).toEqual(['Hello!', 'Hello!']);
  });

  it('calls tools, and reads their results', async () => {
    const { model, calls } = sayingModel([{ text: call }], {
      toolFormat: 'hermes',
      applyChatTemplate: async () => '',
    });
    const answer = await new ChatShishuLM({ model }).bindTools([add]).invoke('1 + 2?');
    expect(answer.tool_calls).toMatchObject([{ name: 'add', args: { a: 1 } }]);
    expect(calls[0]!.options.tools).toMatchObject([{ function: { name: 'add', description: 'Adds.' } }]);
    const result = new ToolMessage({ content: '3', tool_call_id: answer.tool_calls![0]!.id!, name: 'add' });
    await new ChatShishuLM({ model }).invoke(['1 + 2?', answer as AIMessage, result] as never);
    expect(calls[1]!.prompt).toMatchObject([
      { role: 'user' },
      { role: 'assistant', tool_calls: [{ function: { name: 'add', arguments: { a: 1 } } }] },
      { role: 'tool', name: 'add', content: '3' },
    ]);
  });

  it('has structured output, held to its schema', async () => {
    const { model, calls } = sayingModel([{ text: '{"a": 7}' }]);
    const structured = new ChatShishuLM({ model }).withStructuredOutput({ title: 'extract', ...schema });
    expect(await structured.invoke('7')).toEqual({ a: 7 });
    expect(calls[0]!.options.constraint).toMatchObject({ jsonSchema: schema });
    const raw = new ChatShishuLM({ model }).withStructuredOutput(schema, { includeRaw: true });
    expect(await raw.invoke('7')).toMatchObject({ parsed: { a: 7 }, raw: { content: '{"a": 7}' } });
  });

  it('tells reasoning apart', async () => {
    const { model } = sayingModel([{ text: '', reasoning: 'Hm' }, { text: 'Yes' }]);
    const { content, additional_kwargs: more } = await new ChatShishuLM({ model }).invoke('Hi');
    expect([content, more.reasoning_content]).toEqual(['Yes', 'Hm']);
  });

  it('names what it cannot take', async () => {
    const chat = new ChatShishuLM({ model: fakeModel().model, maxRetries: 0 });
    await expect(chat.invoke('Hi', { audio: 1 } as never)).rejects.toThrow('"audio"');
    const picture = new HumanMessage({ content: [{ type: 'image_url', image_url: 'data:' }] });
    await expect(chat.invoke([picture])).rejects.toThrow('image_url');
    await expect(chat.invoke('Hi', { signal: AbortSignal.abort() })).rejects.toThrow();
  });
});

it('embeds', async () => {
  const embeddings = new ShishuLMEmbeddings({ model: fakeModel().model });
  expect(await embeddings.embedQuery('abc')).toEqual([3, 0.5]);
  expect(await embeddings.embedDocuments(['abc', 'b'])).toEqual([
    [3, 0.5],
    [1, 0.5],
  ]);
  expect(await embeddings.embedDocuments([])).toEqual([]);
});
