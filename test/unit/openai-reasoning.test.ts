// Reasoning in OpenAI's shapes, as vLLM has it there: whole, streamed, with tools and log-probabilities, through OpenAI's client.
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { type Said, sayingModel } from '../support/saying-model.ts';
import { itemsOf } from '../support/streams.ts';

const messages = [{ role: 'user', content: 'Hi' }];
const HM: Said[] = [
  { text: '' },
  { text: '', reasoning: '' },
  { text: '', reasoning: 'Hm' },
  { text: '', reasoning: ', so.' },
  { text: '', reasoning: '' },
  { text: 'Y' },
  { text: 'es' },
];

describe('reasoning', () => {
  it('stands beside the content of a whole answer', async () => {
    const { chat } = sayingModel(HM);
    const { choices, usage } = await chat.create({ messages });
    expect(choices[0]!.message).toEqual({
      role: 'assistant',
      content: 'Yes',
      refusal: null,
      reasoning_content: 'Hm, so.',
    });
    expect(usage.completion_tokens_details).toEqual({ reasoning_tokens: 4 });
    const plain = await sayingModel([{ text: 'Yes' }]).chat.create({ messages });
    expect(plain.choices[0]!.message).not.toHaveProperty('reasoning_content');
    expect(plain.usage).not.toHaveProperty('completion_tokens_details');
  });

  it('is all there is of an answer that was cut in it', async () => {
    const { chat } = sayingModel([{ text: '', reasoning: 'Hm' }]);
    expect((await chat.create({ messages })).choices[0]!.message).toMatchObject({
      content: '',
      reasoning_content: 'Hm',
    });
  });

  it('is streamed as it comes', async () => {
    const { chat } = sayingModel(HM);
    const chunks = await itemsOf(await chat.create({ messages, stream: true }));
    expect(chunks.map(({ choices }) => choices[0]!.delta)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { reasoning_content: 'Hm' },
      { reasoning_content: ', so.' },
      { content: 'Y' },
      { content: 'es' },
      {},
    ]);
  });

  it('has no part in the log-probabilities of the content', async () => {
    const { chat } = sayingModel(HM);
    const { choices } = await chat.create({ messages, logprobs: true });
    expect(choices[0]!.logprobs!.content!.map(({ token }) => token)).toEqual(['<5>', '<6>']);
    // What might have begun a tag, and did not.
    const plain = sayingModel([{ text: '' }, { text: '' }, { text: '<b>' }, { text: '' }]).chat;
    const all = await plain.create({ messages, logprobs: true });
    expect(all.choices[0]!.logprobs!.content).toHaveLength(4);
    // Of tags that the caller names, for a model of which none are known.
    const named = sayingModel([{ text: '' }, ...HM], { thoughtTags: [] }).chat;
    const own = { messages, logprobs: true, reasoning_tags: { open: '((', close: '))' } } as const;
    const told = await itemsOf(await named.create({ ...own, stream: true }));
    expect(told.flatMap(({ choices }) => choices[0]!.logprobs?.content ?? [])).toHaveLength(2);
    expect((await named.create(own)).choices[0]!.logprobs!.content).toHaveLength(2);
    const cut = await sayingModel([{ text: '' }]).chat.create({ messages, logprobs: true });
    expect(cut.choices[0]!.logprobs!.content).toHaveLength(1);
  });

  it('holds no calls, and calls behind it are found', async () => {
    const tools = [{ type: 'function' as const, function: { name: 'now' } }];
    const call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>';
    const said = [{ text: '', reasoning: call }, { text: call }];
    const { chat, templated } = sayingModel(said, { toolFormat: 'hermes' });
    const variables = { enable_thinking: true };
    const { choices } = await chat.create({ messages, tools, chat_template_kwargs: variables });
    expect(choices[0]!.message).toMatchObject({ reasoning_content: call, content: null });
    expect(choices[0]!.message.tool_calls).toHaveLength(1);
    expect(choices[0]!.finish_reason).toBe('tool_calls');
    expect(templated).toEqual([{ tools, templateVariables: variables }]);
    // Of an engine that does not tell reasoning apart, the prompt's tag is still looked for.
    const other = sayingModel([{ text: `${call}</think>no call` }], { toolFormat: 'hermes' }).chat;
    expect((await other.create({ messages, tools })).choices[0]!.message.tool_calls).toBeUndefined();
  });
});

describe('requests', () => {
  it('hand template variables, budget and tags on', async () => {
    const { chat, calls } = sayingModel(HM);
    const tags = { open: '<a>', close: '</a>' };
    const kwargs = { enable_thinking: false, date_string: '1 May 2026' };
    await chat.create({
      messages,
      chat_template_kwargs: kwargs,
      thinking_token_budget: 7,
      reasoning_tags: tags,
    });
    expect(calls[0]!.options).toEqual({
      temperature: 1,
      templateVariables: kwargs,
      reasoningBudget: 7,
      reasoningTags: tags,
    });
  });

  it('hand the reasoning of earlier turns on to the template', async () => {
    const { chat, calls } = sayingModel(HM);
    const turn = { role: 'assistant', content: 'Yes', reasoning_content: 'Hm' };
    await chat.create({ messages: [...messages, turn, ...messages] });
    expect(calls[0]!.prompt[1]).toEqual(turn);
    const wrong = { ...turn, reasoning_content: 3 };
    await expect(chat.create({ messages: [wrong] })).rejects.toThrow('messages[0].reasoning_content');
  });

  it('are refused in their own names', async () => {
    const { chat } = sayingModel(HM);
    const create = (request: object) => chat.create({ messages, ...request });
    for (const [request, said] of [
      [{ chat_template_kwargs: [] }, '"chat_template_kwargs"'],
      [{ chat_template_kwargs: { messages: [] } }, 'cannot be named "messages"'],
      [{ chat_template_kwargs: { a: new Date() } }, '"chat_template_kwargs.a"'],
      [{ thinking_token_budget: -1 }, '"thinking_token_budget"'],
      [{ thinking_token_budget: 1.5 }, '"thinking_token_budget"'],
      [{ reasoning_tags: '<a>' }, '"reasoning_tags"'],
      [{ reasoning_tags: { open: '<a>' } }, '"reasoning_tags"'],
    ] as const)
      await expect(create(request), said).rejects.toThrow(said);
    await expect(create({ chat_template_kwargs: { messages: [] } })).rejects.toMatchObject({
      code: 'bad-argument',
      details: { field: 'chat_template_kwargs.messages' },
    });
  });
});

it("OpenAI's client reads the stream and the whole answer", async () => {
  const { chat } = sayingModel(HM);
  const client = new OpenAI({
    apiKey: 'none',
    baseURL: 'http://localhost/v1',
    async fetch(_, init) {
      const request = JSON.parse(String(init?.body));
      if (!request.stream) return Response.json(await chat.create(request));
      const events = (await itemsOf(await chat.create({ ...request, stream: true }))).map(
        (chunk) => `data: ${JSON.stringify(chunk)}\n\n`,
      );
      return new Response(`${events.join('')}data: [DONE]\n\n`, {
        headers: { 'Content-Type': 'text/event-stream' },
      });
    },
  });
  const body = { model: 'any', messages: [{ role: 'user' as const, content: 'Hi' }] };
  let [content, reasoning] = ['', ''];
  for await (const { choices } of await client.chat.completions.create({ ...body, stream: true })) {
    const delta = choices[0]!.delta as { content?: string; reasoning_content?: string };
    content += delta.content ?? '';
    reasoning += delta.reasoning_content ?? '';
  }
  expect([content, reasoning]).toEqual(['Yes', 'Hm, so.']);
  const whole = await client.chat.completions.create(body);
  expect(whole.choices[0]!.message).toMatchObject({ content: 'Yes', reasoning_content: 'Hm, so.' });
  const stream = client.chat.completions.stream(body);
  expect((await stream.finalChatCompletion()).choices[0]!.message.content).toBe('Yes');
});
