// Calls as models write them: strings that look like tags, thought, numbers past a double; and calls of earlier turns.
import { describe, expect, test } from 'vitest';
import { type ChatModel, chatCompletions } from '../../src/api/openai.ts';
import {
  callConstraint,
  type ParserOptions,
  type ReplyPart,
  ToolCallParser,
} from '../../src/api/tool-calls.ts';
import type { GenerateOptions, GenerateResult, Message } from '../../src/engine/types.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { compileConstraint } from '../../src/grammar/constraint.ts';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';

function parse(reply: string, length: number, options?: ParserOptions): ReplyPart[] {
  const parser = new ToolCallParser(['f'], options);
  const parts: ReplyPart[] = [];
  for (let at = 0; at < reply.length; at += length) parts.push(...parser.push(reply.slice(at, at + length)));
  parts.push(...parser.flush());
  const joined: ReplyPart[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if ('text' in part && last && 'text' in last) joined[joined.length - 1] = { text: last.text + part.text };
    else joined.push(part);
  }
  return joined;
}

const written = (args: string): string => `<tool_call>\n{"name": "f", "arguments": ${args}}\n</tool_call>`;
const call = (args: string): ReplyPart => ({ call: { name: 'f', arguments: args } });

describe.each([1, 2, 5, 1000])('in pieces of %i', (length) => {
  test.each([
    '{"x": "a </tool_call> b"}',
    '{"x":"<tool_call>{\\"name\\":\\"f\\"}</tool_call>"}',
    '{"x": "}}{{ \\" \\\\"}',
    '{"id":12345678901234567890,"z":1.0}',
    '{"2" :  1.50e+3, "1":-0,\n "b":[ ]}',
    '{"x": "<think>"}',
  ])('the arguments %s are told as they are written', (args) => {
    expect(parse(written(args) + written('{}'), length)).toEqual([call(args), call('{}')]);
    expect(parse(`{"name":"f","parameters":${args}}\n{"name":"f"}`, length)).toEqual([
      call(args),
      call('{}'),
    ]);
  });

  test.each(['""', '"  "', 'null', '"{}"'])('the arguments %s are an empty object', (args) => {
    expect(parse(written(args), length)).toEqual([call('{}')]);
  });

  const thought = (reply: string): string => `<think>${reply}</think>`;
  test.each<[string, ReplyPart[], ParserOptions?]>([
    [
      `${thought(written('{}'))}\n\n${written('{"a":1}')}`,
      [{ text: thought(written('{}')) }, call('{"a":1}')],
    ],
    [`<think>so ${written('{}')}`, [{ text: `<think>so ${written('{}')}` }]],
    [`<think a="b">${written('{}')}</think>!`, [{ text: `<think a="b">${written('{}')}</think>!` }]],
    [`${thought('x')}{"name":"f"}`, [{ text: thought('x') }, call('{}')]],
    [
      `${written('{}')}${thought(written('{}'))}${written('[1]')}`,
      [call('{}'), { text: thought(written('{}')) }, call('[1]')],
    ],
    [
      `so ${written('{}')}</think>${written('{"b":2}')}`,
      [{ text: `so ${written('{}')}</think>` }, call('{"b":2}')],
      { thinking: '</think>' },
    ],
    [
      `[THINK]${written('{}')}[/THINK]ok`,
      [{ text: `[THINK]${written('{}')}[/THINK]ok` }],
      { thoughts: [{ open: '[THINK]', close: '[/THINK]' }] },
    ],
  ])('thought holds no call: %s', (reply, parts, options) => {
    expect(parse(reply, length, options)).toEqual(parts);
  });

  test.each<[string, ReplyPart[]]>([
    [
      `<tool_call>{"name":"wea</tool_call>\n a ${written('{}')}`,
      [{ text: '<tool_call>{"name":"wea</tool_call>\n a' }, call('{}')],
    ],
    [`<tool_call>oops</tool_call> ${written('{}')}`, [{ text: '<tool_call>oops</tool_call>' }, call('{}')]],
    ['<tool_call>{"name":"f"}</tool_c', [call('{}')]],
    [
      '<tool_call>{"name":"g","x":"</tool_call>"}</tool_call>',
      [{ text: '<tool_call>{"name":"g","x":"</tool_call>"}</tool_call>' }],
    ],
  ])('a broken call is text, and no other is lost: %s', (reply, parts) => {
    expect(parse(reply, length)).toEqual(parts);
  });

  test.each<[string, ReplyPart[]]>([
    [`{"answer": 1}\n${written('{}')}`, [{ text: '{"answer": 1}' }, call('{}')]],
    [
      `{"name":"g","arguments":{}} ${written('{}')}!`,
      [{ text: '{"name":"g","arguments":{}}' }, call('{}'), { text: '!' }],
    ],
    // What looks like a call is none where more follows; the tag is.
    [`{"name":"f"}\n${written('[1]')}`, [{ text: '{"name":"f"}' }, call('[1]')]],
    [`{"name":"f"};{"name":"f"} so ${written('{}')}`, [{ text: '{"name":"f"};{"name":"f"} so' }, call('{}')]],
    [`{"name":"f"}{"a":${'{}'}}${written('{}')}`, [{ text: '{"name":"f"}{"a":{}}' }, call('{}')]],
    [`{ no JSON ${written('{}')}`, [{ text: '{ no JSON' }, call('{}')]],
    [`{"a": 1 ${written('{}')}`, [{ text: '{"a": 1' }, call('{}')]],
    [`{"a":1} <think>${written('{}')}</think>`, [{ text: `{"a":1} <think>${written('{}')}</think>` }]],
    // A tag in a string of the answer is the string's.
    [
      '{"a":"<tool_call>{\\"name\\":\\"f\\"}</tool_call>"} ok',
      [{ text: '{"a":"<tool_call>{\\"name\\":\\"f\\"}</tool_call>"} ok' }],
    ],
    ['{"name":"f","arguments":{"a', [{ text: '{"name":"f","arguments":{"a' }]],
    ['{"name":"f"}\n{"name":"f"', [{ text: '{"name":"f"}\n{"name":"f"' }]],
    ['{"type":"function","name":"f","parameters":{"a":1}}', [call('{"a":1}')]],
    ['{"parameters":{"a":1},"name":"f"} ', [call('{"a":1}')]],
    ['{"na\\u006de":"f"}', [call('{}')]],
    ['{', [{ text: '{' }]],
  ])('a reply that begins with a brace: %s', (reply, parts) => {
    expect(parse(reply, length)).toEqual(parts);
  });
});

test.each([
  // A character of another key, or of another name, and the rest comes as it is said.
  ['{"answer": "yes, and more", "n": [1, 2]}\nSo it is.', '{"answer"'],
  ['{ "name": "Mia", "age": 3 }', '{ "name": "Mia"'],
  ['{"type": 5}', undefined],
  ['{oops, no JSON}', '{o'],
])('an answer in JSON is told as it comes: %s', (reply, held) => {
  const parser = new ToolCallParser(['f']);
  let said = '';
  for (const [i, char] of [...reply].entries()) {
    for (const part of parser.push(char)) if ('text' in part) said += part.text;
    const begun = held === undefined ? i === reply.length - 1 : i >= held.length - 1;
    expect(said.trimEnd()).toBe(begun ? reply.slice(0, i + 1).trimEnd() : '');
  }
  expect(parser.flush()).toEqual([]);
  expect(said).toBe(reply);
});

test.each<[string, Record<string, unknown> | true | null | undefined, string[], string[]]>([
  ['{}', {}, ['{}', '{"a":[1]}'], ['5', '[]', 'null', '"x"']],
  ['true', true, ['{}', '{"a":1}'], ['5', '[]', 'null']],
  ['none', undefined, ['{}'], ['{"a":1}', '[]']],
  ['null', null, ['{}'], ['{"a":1}', 'null']],
  ['an object of anything', { type: 'object' }, ['{}', '{"a":1}'], ['[]']],
  ['a description alone', { description: 'x' }, ['{}', '{"a":1}'], ['5', '[]', 'null']],
  ['several types', { type: ['object', 'null'] }, ['{}'], ['null']],
  [
    'alternatives',
    { anyOf: [{ type: 'null' }, { $ref: '#/$defs/o' }], $defs: { o: { required: ['a'] } } },
    ['{"a":1}'],
    ['null', '{}'],
  ],
])('the arguments of a tool whose parameters are %s are an object', (_, parameters, good, bad) => {
  const tool = {
    type: 'function' as const,
    function: { name: 'f', ...(parameters !== undefined && { parameters }) },
  };
  const automaton = compileConstraint(callConstraint('llama', [tool]));
  const allows = (args: string): boolean | undefined =>
    automaton.run(automaton.start, new TextEncoder().encode(`{"name":"f","parameters":${args}}`))?.accepting;
  for (const args of good) expect(allows(args), args).toBe(true);
  for (const args of bad) expect(allows(args) ?? false, args).toBe(false);
});

const TEMPLATE =
  '{% if tools %}{% endif %}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}' +
  '<tool_call>{"arguments": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}{% endfor %}';

/** A model with a real tokenizer and template; its reply is given. */
async function chatWith(chat_template: string, reply: string) {
  const files = { ...byteTokenizerFiles(), 'tokenizer_config.json': JSON.stringify({ chat_template }) };
  const tokenizer = await loadTokenizer(memorySource(files), 400);
  const prompts: string[] = [];
  const model: ChatModel = {
    toolFormat: tokenizer.toolFormat,
    thoughtTags: tokenizer.thoughtTags,
    applyChatTemplate: async (messages, options) => tokenizer.applyChatTemplate([...messages], options),
    async *generate(prompt: readonly Message[], options: GenerateOptions = {}) {
      prompts.push(tokenizer.applyChatTemplate(structuredClone(prompt), options as object));
      yield { text: reply, tokenId: 1 };
      const usage = { promptTokens: 1, completionTokens: 1, totalTokens: 2, cachedTokens: 0 };
      return { text: reply, usage, finishReason: 'stop' } as GenerateResult;
    },
    decode: async () => '',
  };
  return { create: chatCompletions(model).create, prompts };
}

test.each([
  ['', '{}'],
  ['  ', '{}'],
  [undefined, '{}'],
  [null, '{}'],
  ['{"city":"Köln"}', '{"city": "Köln"}'],
  ['{"id":12345678901234567890,"z":1.0}', '{"id": 12345678901234567890, "z": 1.0}'],
  [
    '{"b":1,"2":[-0,{"1":1e400,"0":"1.0"}],"a":null}',
    '{"b": 1, "2": [-0, {"1": 1e400, "0": "1.0"}], "a": null}',
  ],
])('earlier arguments %j reach the template as they are', async (args, shown) => {
  const { create, prompts } = await chatWith(`${TEMPLATE}<tool_call>`, 'ok');
  const made = {
    id: 'c',
    type: 'function',
    function: { name: 'f', ...(args !== undefined && { arguments: args }) },
  };
  await create({ messages: [{ role: 'assistant', content: null, tool_calls: [made] }] });
  expect(prompts[0]).toBe(`<tool_call>{"arguments": ${shown}}</tool_call><tool_call>`);
});

test.each([
  [`${TEMPLATE}{% if add_generation_prompt %}<think>\n{% endif %}`, 0],
  [`${TEMPLATE}{% if add_generation_prompt %}<thinking>{% endif %}`, 0],
  [`${TEMPLATE}{% if add_generation_prompt %}<think>\n\n</think>\n\n{% endif %}`, 1],
])('a reply begins in thought where the template %s opens one', async (template, calls) => {
  const close = template.includes('<thinking>') ? '</thinking>' : '</think>';
  const { create } = await chatWith(template, `${written('{}')}${close}${written('{"b":1}')}`);
  const tools = [{ type: 'function' as const, function: { name: 'f' } }];
  const { choices } = await create({ messages: [{ role: 'user', content: 'x' }], tools });
  const found = choices[0]!.message.tool_calls!.map((each) => each.function.arguments);
  expect(found).toEqual(calls ? ['{}', '{"b":1}'] : ['{"b":1}']);
});
