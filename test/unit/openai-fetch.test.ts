// OpenAI's own client over a model in this process.
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { openaiFetch } from '../../src/doors/openai-fetch.ts';
import { openaiHandler } from '../../src/doors/openai-http.ts';
import { fakeModel } from '../support/fake-model.ts';
import { itemsOf } from '../support/streams.ts';

const messages = [{ role: 'user' as const, content: 'Hi' }];

function client(models?: Parameters<typeof openaiFetch>[0]) {
  const fake = fakeModel();
  const fetch = openaiFetch(models ?? fake.model, { name: 'fake' });
  const openai = new OpenAI({ apiKey: 'none', baseURL: 'http://local.invalid/v1', fetch, maxRetries: 0 });
  return { ...fake, openai };
}

describe('chat completions', () => {
  it('answers whole', async () => {
    const { openai, calls } = client();
    const answer = await openai.chat.completions.create({ model: 'any', messages, max_tokens: 9 });
    expect(answer.choices[0]).toMatchObject({ message: { content: 'Hello!' }, finish_reason: 'stop' });
    expect(answer.model).toBe('any');
    expect(answer.usage).toMatchObject({ prompt_tokens: 12, completion_tokens: 4 });
    expect(calls[0]!.options).toMatchObject({ maxTokens: 9, temperature: 1 });
  });

  it('streams, with usage', async () => {
    const { openai } = client();
    const stream = await openai.chat.completions.create({
      model: 'fake',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await itemsOf(stream);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('Hello!');
    expect(chunks.at(-1)!.usage).toMatchObject({ completion_tokens: 4 });
    const said = await openai.chat.completions.stream({ model: 'fake', messages }).finalContent();
    expect(said).toBe('Hello!');
  });

  it('ends the reply when the loop over a stream is left, and when the call is aborted', async () => {
    const { openai, seen } = client();
    const stream = await openai.chat.completions.create({ model: 'fake', messages, stream: true });
    for await (const _ of stream) break;
    await expect.poll(() => seen.returned).toBe(1);
    const aborted = AbortSignal.abort();
    const late = openai.chat.completions.create({ model: 'fake', messages }, { signal: aborted });
    await expect(late).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
  });

  it('has the errors of the service', async () => {
    const { openai } = client();
    const wrong = openai.chat.completions.create({ model: 'fake', messages, temperature: -1 });
    await expect(wrong).rejects.toMatchObject({
      status: 400,
      param: 'temperature',
      type: 'invalid_request_error',
    });
    await expect(wrong).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    const unknown = openai.chat.completions.create({ model: 'fake', messages, audio: {} as never });
    await expect(unknown).rejects.toMatchObject({ status: 400, param: 'audio' });
  });

  it('tells an error in the middle of a stream', async () => {
    const { model } = fakeModel();
    const { generate } = model;
    async function* broken(...asked: Parameters<typeof generate>): ReturnType<typeof generate> {
      yield* generate(...asked);
      throw new Error('the GPU is gone');
    }
    const breaking = openaiFetch({ ...model, generate: broken as typeof generate });
    const response = await breaking('http://local/v1/chat/completions', {
      method: 'POST',
      body: JSON.stringify({ messages, stream: true }),
    });
    const text = await response.text();
    expect(text).toContain('"content":"lo"');
    expect(text).toMatch(/data: \{"error":\{"message":"the GPU is gone","type":"server_error"[^\n]*\n\n$/);
  });
});

describe('several models', () => {
  it('are chosen by name, and listed', async () => {
    const [a, b] = [fakeModel(), fakeModel()];
    Object.assign(b.model, { info: { batch: 1, adapters: [{ name: 'poet' }] } });
    const { openai } = client({ a: a.model, 'owner/b': b.model });
    await openai.chat.completions.create({ model: 'owner/b', messages });
    await openai.chat.completions.create({ model: 'poet', messages });
    expect([a.calls.length, b.calls.length]).toEqual([0, 2]);
    expect(b.calls[1]!.options.adapter).toBe('poet');
    const listed = await itemsOf(openai.models.list());
    expect(listed.map(({ id }) => id)).toEqual(['a', 'owner/b', 'poet']);
    expect(await openai.models.retrieve('owner/b')).toMatchObject({ id: 'owner/b', object: 'model' });
    await expect(openai.chat.completions.create({ model: 'c', messages })).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    await expect(openai.models.retrieve('c')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('must be some', () => {
    expect(() => openaiHandler({ models: {} })).toThrow('no model');
  });
});

describe('embeddings', () => {
  it('go through the client, which asks for base64', async () => {
    const { openai } = client();
    const { data, usage } = await openai.embeddings.create({ model: 'fake', input: ['abc', 'b'] });
    expect(data.map(({ embedding }) => embedding)).toEqual([
      [3, 0.5],
      [1, 0.5],
    ]);
    expect(usage.total_tokens).toBe(4);
  });
});

describe('completions of texts', () => {
  it('answer each prompt, n times', async () => {
    const { openai, calls } = client();
    const { choices, usage } = await openai.completions.create({
      model: 'fake',
      prompt: ['One', 'Two'],
      n: 2,
      seed: 5,
      stop: '\n',
    });
    expect(choices.map(({ index, text, finish_reason }) => [index, text, finish_reason])).toEqual([
      [0, 'Hello!', 'stop'],
      [1, 'Hello!', 'stop'],
      [2, 'Hello!', 'stop'],
      [3, 'Hello!', 'stop'],
    ]);
    expect(calls.map(({ prompt, options }) => [prompt, options.seed, options.maxTokens])).toEqual([
      ['One', 5, 16],
      ['One', 6, 16],
      ['Two', 5, 16],
      ['Two', 6, 16],
    ]);
    expect(usage).toEqual({ prompt_tokens: 6, completion_tokens: 16, total_tokens: 22 });
  });

  it('stream', async () => {
    const { openai } = client();
    const chunks = await itemsOf(
      await openai.completions.create({ model: 'fake', prompt: [1, 2], stream: true, logprobs: 1 }),
    );
    expect(chunks.map(({ choices }) => choices[0]!.text).join('')).toBe('Hello!');
    expect(chunks[0]!.choices[0]!.logprobs).toEqual({
      tokens: ['Hel'],
      token_logprobs: [-0.125],
      top_logprobs: [{ '\ufffd': -0.5 }],
      text_offset: [0],
    });
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe('stop');
  });

  it('echo a prompt with the log-probabilities of its tokens', async () => {
    const { openai, calls } = client();
    const { choices } = await openai.completions.create({
      model: 'fake',
      prompt: [2, 1, 4],
      echo: true,
      logprobs: 1,
      max_tokens: 0,
    });
    const { text, logprobs, finish_reason } = choices[0]!;
    expect([text, finish_reason, calls.length]).toEqual(['loHel!', 'length', 0]);
    expect(logprobs!.tokens).toEqual(['lo', 'Hel', '!']);
    expect(logprobs!.text_offset).toEqual([0, 2, 5]);
    const [none, likely, half] = logprobs!.token_logprobs!;
    expect(none).toBeNull();
    // 2 : 1, and four tokens of nearly nothing
    expect(likely).toBeCloseTo(Math.log(2 / (3 + 4 * Math.exp(-9))), 5);
    expect(half).toBeCloseTo(likely! - Math.log(2), 5);
    // The one that was there is told beside the likeliest.
    expect(logprobs!.top_logprobs!.map((top) => top && Object.keys(top).sort())).toEqual([
      null,
      ['Hel'],
      ['!', 'Hel'],
    ]);
    const more = await openai.completions.create({ model: 'fake', prompt: 'abc', echo: true, logprobs: 0 });
    expect(more.choices[0]).toMatchObject({ text: 'abcHello!', finish_reason: 'stop' });
    expect(more.choices[0]!.logprobs!.tokens).toHaveLength(7);
    expect(more.choices[0]!.logprobs!.text_offset!.at(-1)).toBe(8);
  });

  it.each([
    [{ prompt: [] }, 'prompt'],
    [{ prompt: [1, 'a'] }, 'prompt'],
    [{ prompt: 'a', best_of: 2 }, 'best_of'],
    [{ prompt: 'a', logprobs: 21 }, 'logprobs'],
    [{ prompt: 'a', max_tokens: 0 }, 'max_tokens'],
    [{ prompt: 'a', echo: true, stream: true }, 'echo'],
    [{ prompt: 'a', stream_options: {} }, 'stream_options'],
    [{ prompt: 'a', n: 0 }, 'n'],
    [{ prompt: 'a', temperature: 'hot' }, 'temperature'],
    [{ prompt: 'a', model: 5 }, 'model'],
  ])('refuse %o by name', async (body, param) => {
    const { openai } = client();
    await expect(openai.completions.create(body as never)).rejects.toMatchObject({ status: 400, param });
  });
});

describe('other requests', () => {
  const { model } = fakeModel();
  const handle = openaiHandler({ models: model, maxTokens: 20 });
  const ask = async (path: string, init?: RequestInit) => {
    const response = await handle(new Request(`http://x${path}`, init));
    return { status: response.status, body: (await response.json()) as Record<string, never> };
  };

  it.each([
    ['/v1/chat/completions', { method: 'GET' }, 405],
    ['/v1/models', { method: 'DELETE' }, 405],
    ['/v1/audio/speech', { method: 'POST', body: '{}' }, 404],
    ['/', {}, 404],
    ['/v1/chat/completions', { method: 'POST', body: '{' }, 400],
    ['/v1/chat/completions', { method: 'POST', body: '[]' }, 400],
    ['/chat/completions', { method: 'POST', body: '{"messages":[]}' }, 400],
    ['/v1/constructor', { method: 'POST', body: '{}' }, 404],
  ])('%s %o is %i, in the shape of an error', async (path, init, status) => {
    const found = await ask(path, init);
    expect(found).toEqual({
      status,
      body: {
        error: {
          message: expect.any(String),
          type: expect.any(String),
          param: expect.toBeOneOf([null, 'messages']),
          code: expect.toBeOneOf([null, expect.any(String)]),
        },
      },
    });
  });

  it('tells that it is well', async () => {
    expect(await ask('/health')).toEqual({ status: 200, body: { status: 'ok' } });
  });

  it('gives no more tokens than it may', async () => {
    const body = (more: object) => ({ method: 'POST', body: JSON.stringify({ messages, ...more }) });
    expect(await ask('/v1/chat/completions', body({ max_completion_tokens: 21 }))).toMatchObject({
      status: 400,
      body: { error: { param: 'max_completion_tokens' } },
    });
    const fake = fakeModel();
    const own = openaiHandler({ models: fake.model, maxTokens: 20 });
    await own(new Request('http://x/v1/chat/completions', body({})));
    await own(new Request('http://x/v1/chat/completions', body({ max_tokens: 3 })));
    expect(fake.calls.map(({ options }) => options.maxTokens)).toEqual([20, 3]);
  });
});
