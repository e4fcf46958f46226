import { expect, it } from 'vitest';
import type { ChatMessage } from '../../demo/chat/conversation.ts';
import { fitted, streamReply } from '../../demo/chat/reply.ts';
import type { GenerateChunk, Message, ModelInfo } from '../../src/engine/types.ts';

/** A model whose tokens are letters. */
const model = (contextLength: number) => ({
  info: { contextLength } as ModelInfo,
  applyChatTemplate: async (messages: readonly Message[]) => messages.map(({ content }) => content).join(''),
  encode: async (text: string) => [...text].map((letter) => letter.charCodeAt(0)),
});
const message = (role: string, content: string): Message => ({ role, content });
const system = message('system', 'SS');
const long = [1, 2, 3].flatMap((n) => [
  message('user', `${n}`.repeat(6)),
  message('assistant', `${n}`.repeat(4)),
]);
const question = message('user', 'why?');

it('a conversation that fits is sent whole', async () => {
  expect(await fitted(model(50), [...long, question])).toEqual({ messages: [...long, question], left: 0 });
});

it('the oldest exchanges go first; the system prompt and the question stay', async () => {
  // 2 + 3 x 10 + 4 letters; a fifth of the context is for the reply.
  const { messages, left } = await fitted(model(33), [system, ...long, question]);
  expect(left).toBe(1);
  expect(messages).toEqual([system, ...long.slice(2), question]);
});

it('a question that is too long alone is left to the model to refuse', async () => {
  expect(await fitted(model(4), [...long, question])).toEqual({ messages: [question], left: 3 });
});

it('a piece may end the reasoning and begin the answer', async () => {
  const pieces: Omit<GenerateChunk, 'tokenId'>[] = [
    { text: '', reasoning: 'Hm' },
    { text: 'Y', reasoning: '.' },
    { text: 'es' },
  ];
  const model = {
    info: { contextLength: 9 },
    async *generate() {
      yield* pieces;
      return { finishReason: 'stop', timings: {} };
    },
  };
  const nothing = (): void => {};
  const reply: ChatMessage = { id: 'r', role: 'assistant', mode: 'chat', text: '', at: 0 };
  const into = {
    reply,
    log: { grow: nothing },
    status: { running: nothing, finished: nothing },
    attention: { speed: nothing },
  };
  await streamReply(model as never, [], {}, into as never);
  expect(reply).toMatchObject({ reasoning: 'Hm.', text: 'Yes', ended: 'stop' });
});

it('calls of tools are run, and the model is told what came of them', async () => {
  const rounds = [
    [
      'Let me see. ',
      '<tool_call>\n{"name": "calculator", "arguments": {"expression": "2 * 21"}}\n</tool_call>',
    ],
    ['It is 42.'],
  ];
  const asked: unknown[] = [];
  const model = {
    info: { contextLength: 9 },
    async *generate(prompt: unknown) {
      asked.push(prompt);
      for (const text of rounds.shift()!) yield { text };
      return { finishReason: 'stop', timings: {} };
    },
  };
  const nothing = (): void => {};
  const reply: ChatMessage = { id: 'r', role: 'assistant', mode: 'chat', text: '', at: 0 };
  const into = {
    reply,
    log: { grow: nothing },
    status: { running: nothing, finished: nothing },
    attention: { speed: nothing },
  };
  await streamReply(model as never, [message('user', 'Six by seven?')], { tools: [{}] }, into as never);
  const call = { name: 'calculator', arguments: '{"expression": "2 * 21"}' };
  expect(reply).toMatchObject({
    text: 'It is 42.',
    calls: [{ said: 'Let me see.', ...call, result: '42' }],
  });
  expect(asked[1]).toEqual([
    message('user', 'Six by seven?'),
    {
      role: 'assistant',
      content: 'Let me see.',
      tool_calls: [
        { type: 'function', function: { name: 'calculator', arguments: { expression: '2 * 21' } } },
      ],
    },
    { role: 'tool', name: 'calculator', content: '42' },
  ]);
});
