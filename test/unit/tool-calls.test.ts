// Tool calls: out of replies in the forms that models write, and into the template.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it, test } from 'vitest';
import { type ChatModel, chatCompletions } from '../../src/api/openai.ts';
import { type ChatTool, callConstraint, type ReplyPart, ToolCallParser } from '../../src/api/tool-calls.ts';
import type { GenerateOptions, GenerateResult, Message } from '../../src/engine/types.ts';
import type { ToolFormat } from '../../src/formats/chat-template.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { Masks } from '../../src/grammar/constraint.ts';
import { Vocabulary } from '../../src/grammar/vocabulary.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { randomReply, tokensOfTexts } from '../support/grammar-replies.ts';
import { memorySource } from '../support/memory-source.ts';
import { mulberry32 } from '../support/random.ts';

const TOOLS: ChatTool[] = [
  {
    type: 'function',
    function: {
      name: 'weather',
      description: 'Tells the weather.',
      parameters: {
        type: 'object',
        properties: { city: { $ref: '#/$defs/name' }, days: { type: 'integer', minimum: 1, maximum: 7 } },
        required: ['city'],
        $defs: { name: { type: 'string', maxLength: 5 } },
      },
    },
  },
  { type: 'function', function: { name: 'now' } },
];
const NAMES = TOOLS.map((tool) => tool.function.name);
const CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>';

/** Parts of a reply given in pieces of some length, with neighbouring texts joined. */
function parse(reply: string, length: number): ReplyPart[] {
  const parser = new ToolCallParser(NAMES);
  const parts: ReplyPart[] = [];
  for (let at = 0; at < reply.length; at += length) parts.push(...parser.push(reply.slice(at, at + length)));
  parts.push(...parser.flush());
  const joined: ReplyPart[] = [];
  for (const part of parts) {
    const last = joined[joined.length - 1];
    if ('text' in part && last && 'text' in last) joined[joined.length - 1] = { text: last.text + part.text };
    else joined.push(part);
  }
  return joined;
}

const weather = { call: { name: 'weather', arguments: '{"city": "Köln"}' } };
const now = { call: { name: 'now', arguments: '{}' } };

describe.each([1, 3, 1000])('replies in pieces of %i', (length) => {
  test.each<[string, ReplyPart[]]>([
    ['Hello < you', [{ text: 'Hello < you' }]],
    [' \n ', [{ text: ' \n ' }]],
    ['', []],
    [CALL, [weather]],
    [
      `Let me see.\n${CALL}\n<tool_call>{"name":"now"}</tool_call>\n`,
      [{ text: 'Let me see.' }, weather, now],
    ],
    [`${CALL} Done. `, [weather, { text: ' Done.' }]],
    [CALL.replace('\n</tool_call>', ''), [weather]],
    ['<tool_call>{"name":"weather"', [{ text: '<tool_call>{"name":"weather"' }]],
    [
      'a <tool_call>{"name":"other"}</tool_call> b',
      [{ text: 'a <tool_call>{"name":"other"}</tool_call> b' }],
    ],
    ['{"name": "weather", "parameters": {"city": "Köln"}}', [weather]],
    ['\n{"name": "weather", "arguments": "{\\"city\\": \\"Köln\\"}"}; {"name": "now"}\n', [weather, now]],
    ['{"name": "weather"', [{ text: '{"name": "weather"' }]],
    ['{"answer": 1}', [{ text: '{"answer": 1}' }]],
  ])('%j', (reply, parts) => {
    expect(parse(reply, length)).toEqual(parts);
  });
});

test.each<ToolFormat>(['hermes', 'llama'])(
  'a demanded call in the form of %s is one that parses',
  (format) => {
    const validate = new Ajv2020().compile(TOOLS[0]!.function.parameters!);
    const tokens = tokensOfTexts(['<tool_call>', '{"name', '": "', 'weather', '"}', '","']);
    const vocabulary = new Vocabulary([...tokens, undefined]);
    const masks = new Masks(callConstraint(format, TOOLS), vocabulary, Math.ceil((tokens.length + 1) / 32));
    const random = mulberry32(8);
    const seen = new Set<string>();
    for (let run = 0; run < 30; run++) {
      const reply = masks.reply([tokens.length]);
      const text = randomReply(reply, tokens, { end: tokens.length, random })!;
      const [part, ...rest] = parse(text, 4);
      const { call } = part as Extract<ReplyPart, { call: unknown }>;
      expect(rest).toEqual([]);
      seen.add(call.name);
      if (call.name === 'weather') expect(validate(JSON.parse(call.arguments)), text).toBe(true);
      else expect(JSON.parse(call.arguments)).toEqual({});
    }
    expect([...seen].sort()).toEqual(['now', 'weather']);
  },
);

/** A model that says one text, a character at a time. */
function sayingModel(text: string, toolFormat?: ToolFormat, result: Partial<GenerateResult> = {}) {
  const asked: { prompt: readonly Message[]; options: GenerateOptions }[] = [];
  const model: ChatModel = {
    ...(toolFormat && { toolFormat }),
    async *generate(prompt, options = {}) {
      asked.push({ prompt, options });
      for (const char of text)
        yield { text: char, tokenId: 1, ...(options.logprobs && { logprob: { logprob: -1, top: [] } }) };
      const usage = {
        promptTokens: 3,
        completionTokens: text.length,
        totalTokens: 3 + text.length,
        cachedTokens: 0,
      };
      return { text, usage, finishReason: 'stop', ...result } as GenerateResult;
    },
    decode: async () => 'x',
  };
  return { chat: chatCompletions(model), asked };
}

const messages = [{ role: 'user', content: 'Weather?' }];

describe('chat completions', () => {
  it('answers with tool_calls, whole', async () => {
    const { chat, asked } = sayingModel(`Well.\n${CALL}${CALL}`, 'hermes');
    const { choices } = await chat.create({ messages, tools: TOOLS });
    expect(asked[0]!.options).toEqual({ temperature: 1, tools: TOOLS });
    expect(choices).toEqual([
      {
        index: 0,
        message: {
          role: 'assistant',
          content: 'Well.',
          refusal: null,
          tool_calls: [0, 1].map((i) => ({
            id: expect.stringMatching(new RegExp(`^call_.*-0-${i}$`)),
            type: 'function',
            function: { name: 'weather', arguments: '{"city": "Köln"}' },
          })),
        },
        logprobs: null,
        finish_reason: 'tool_calls',
      },
    ]);
    const single = await chat.create({ messages, tools: TOOLS, parallel_tool_calls: false });
    expect(single.choices[0]!.message.tool_calls).toHaveLength(1);
  });

  it('has no content beside calls, and says length where one was cut', async () => {
    const only = await sayingModel(CALL, 'hermes').chat.create({ messages, tools: TOOLS });
    expect(only.choices[0]!.message.content).toBeNull();
    const cut = sayingModel(CALL.slice(0, 30), 'hermes', { finishReason: 'length' });
    const { choices } = await cut.chat.create({ messages, tools: TOOLS });
    expect(choices[0]).toMatchObject({ message: { content: CALL.slice(0, 30) }, finish_reason: 'length' });
    expect(choices[0]!.message.tool_calls).toBeUndefined();
  });

  it('streams text as it comes and each call when it is whole', async () => {
    const { chat } = sayingModel(`Hm.\n${CALL}`, 'hermes');
    const stream = await chat.create({ messages, tools: TOOLS, stream: true, logprobs: true });
    const deltas = [];
    let logprobs = 0;
    for await (const { choices } of stream) {
      logprobs += choices[0]!.logprobs?.content?.length ?? 0;
      deltas.push(choices[0]!.delta);
    }
    expect(deltas.map(({ content }) => content ?? '').join('')).toBe('Hm.');
    expect(deltas.flatMap(({ tool_calls = [] }) => tool_calls)).toEqual([
      {
        index: 0,
        id: expect.stringMatching(/^call_/),
        type: 'function',
        function: { name: 'weather', arguments: '{"city": "Köln"}' },
      },
    ]);
    expect(logprobs).toBe(`Hm.\n${CALL}`.length);
  });

  it('demands a call by a constraint, or keeps the tools from the model', async () => {
    const { chat, asked } = sayingModel(CALL, 'hermes');
    await chat.create({ messages, tools: TOOLS, tool_choice: 'required' });
    const tool_choice = { type: 'function', function: { name: 'now' } } as const;
    await chat.create({ messages, tools: TOOLS, tool_choice });
    await chat.create({ messages, tools: TOOLS, tool_choice: 'none' });
    expect(asked.map(({ options }) => options.constraint)).toEqual([
      callConstraint('hermes', TOOLS),
      callConstraint('hermes', TOOLS.slice(1)),
      undefined,
    ]);
    expect(asked.map(({ options }) => options.tools)).toEqual([TOOLS, TOOLS, undefined]);
  });

  it('gives earlier calls and their results back to the template', async () => {
    const { chat, asked } = sayingModel('20 degrees.', 'hermes');
    const call = { id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Köln"}' } };
    await chat.create({
      messages: [
        ...messages,
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c1', content: '20' },
      ],
      tools: TOOLS,
    });
    expect(asked[0]!.prompt).toEqual([
      ...messages,
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ ...call, function: { name: 'weather', arguments: { city: 'Köln' } } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: '20' },
    ]);
  });

  it('refuses tools of a model without, and an unknown choice', async () => {
    const create = (format: ToolFormat | undefined, extra: object): Promise<unknown> =>
      sayingModel('', format).chat.create({ messages, tools: TOOLS, ...extra });
    await expect(create(undefined, {})).rejects.toMatchObject({
      code: 'unsupported',
      details: { field: 'tools' },
    });
    await expect(
      create('llama', { tool_choice: { type: 'function', function: { name: 'x' } } }),
    ).rejects.toMatchObject({
      code: 'bad-argument',
      details: { field: 'tool_choice' },
    });
    const response_format = { type: 'json_object' };
    await expect(create('llama', { tool_choice: 'required', response_format })).rejects.toMatchObject({
      details: { field: 'response_format' },
    });
  });
});

describe('templates', () => {
  const tokenizerOf = (chat_template: string) =>
    loadTokenizer(
      memorySource({ ...byteTokenizerFiles(), 'tokenizer_config.json': JSON.stringify({ chat_template }) }),
      400,
    );
  const HERMES =
    '{% for t in tools %}{{ t | tojson }}{% endfor %}{% for m in messages %}[{{ m.role }}]{{ m.content }}' +
    '{% for c in m.tool_calls %}<tool_call>{{ c.function.arguments | tojson }}</tool_call>{% endfor %}{% endfor %}';

  test('their form of calls is found', async () => {
    expect((await tokenizerOf(HERMES)).toolFormat).toBe('hermes');
    expect((await tokenizerOf('{{ tools }} {"name": f, "parameters": p}')).toolFormat).toBe('llama');
    expect((await tokenizerOf('{{ tools }}<tool_call><function=f>')).toolFormat).toBeUndefined();
    expect((await tokenizerOf('{{ messages }}')).toolFormat).toBeUndefined();
  });

  test('get tools and calls, or an error where they have no place for them', async () => {
    const tools = [{ type: 'function', function: { name: 'now' } }];
    const call = { function: { name: 'now', arguments: { a: 1 } } };
    const turns = [{ role: 'assistant', content: '', tool_calls: [call] }];
    expect((await tokenizerOf(HERMES)).applyChatTemplate(turns, { tools })).toBe(
      '{"type": "function", "function": {"name": "now"}}[assistant]<tool_call>{"a": 1}</tool_call>',
    );
    const plain = await tokenizerOf('{{ messages }}');
    expect(() => plain.applyChatTemplate(turns, { tools })).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
  });
});
