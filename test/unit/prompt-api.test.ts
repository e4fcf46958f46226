import { describe, expect, it, vi } from 'vitest';
import { type PromptModel, promptApi } from '../../src/doors/prompt-api.ts';
import { checkOptions } from '../../src/engine/options.ts';
import type { GenerateChunk, GenerateOptions, GenerateResult, Message } from '../../src/engine/types.ts';
import { ShishuError } from '../../src/errors.ts';

/** Says back what was said last, a letter a token; a token is a letter, a message takes one more. */
function echoing(contextLength = 100) {
  const calls: { prompt: readonly Message[]; options: GenerateOptions }[] = [];
  const rendered = (messages: readonly Message[]): string =>
    messages.map(({ content }) => `${content}|`).join('');
  const model = {
    info: { contextLength, sampling: { temperature: 0.5, topK: 40 } },
    applyChatTemplate: async (messages: readonly Message[], { addGenerationPrompt = true } = {}) =>
      rendered(messages) + (addGenerationPrompt ? '>' : ''),
    encode: async (text: string) => Array.from(text, (_, i) => i),
    dispose: async () => {},
    async *generate(
      prompt: readonly Message[],
      options: GenerateOptions = {},
    ): AsyncGenerator<GenerateChunk, GenerateResult> {
      checkOptions(options, 100);
      calls.push({ prompt, options });
      const said = prompt.at(-1)!.content;
      if (said === 'fail') throw new ShishuError('device-lost', 'The GPU is gone.');
      for (const text of said) {
        await Promise.resolve();
        if (options.signal?.aborted) return { text: '', finishReason: 'aborted' } as GenerateResult;
        yield { text, tokenId: 1 };
      }
      return { text: said, finishReason: 'stop' } as GenerateResult;
    },
  } as unknown as PromptModel;
  return { model, calls, api: promptApi(model) };
}

const textsOf = async (stream: ReadableStream<string>): Promise<string[]> => {
  const texts: string[] = [];
  for await (const text of stream as unknown as AsyncIterable<string>) texts.push(text);
  return texts;
};

describe('a session', () => {
  it('holds a conversation, with its initial prompts', async () => {
    const { api, calls } = echoing();
    expect(await api.availability()).toBe('available');
    const session = await api.create({ initialPrompts: [{ role: 'system', content: 'Be brief.' }] });
    expect([session.contextUsage, session.contextWindow]).toEqual([10, 100]);
    expect(await session.prompt('one')).toBe('one');
    expect(session.contextUsage).toBe(18);
    await session.append([{ role: 'user', content: [{ type: 'text', value: 'two' }] }]);
    expect(session.contextUsage).toBe(22);
    expect(await textsOf(session.promptStreaming('abc'))).toEqual(['a', 'b', 'c']);
    expect(calls[1]!.prompt).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'one' },
      { role: 'assistant', content: 'one' },
      { role: 'user', content: 'two' },
      { role: 'user', content: 'abc' },
    ]);
    expect(calls[0]!.options).toMatchObject({ temperature: 0.5, topK: 40 });
  });

  it('chooses tokens as it was told, and matches constraints', async () => {
    const { api, calls } = echoing();
    const session = await api.create({ temperature: 0, topK: 3 });
    expect([session.temperature, session.topK]).toEqual([0, 3]);
    await session.prompt('x', { responseConstraint: { type: 'object' } });
    await session.prompt('x', { responseConstraint: /a+/ });
    expect(calls.map(({ options }) => options.constraint)).toEqual([
      { jsonSchema: { type: 'object' } },
      { regex: 'a+' },
    ]);
    expect(calls[0]!.options).toMatchObject({ temperature: 0, topK: 3 });
    await expect(session.prompt('x', { responseConstraint: 5 as never })).rejects.toThrow(TypeError);
  });

  it('runs prompts in their order', async () => {
    const { api, calls } = echoing();
    const session = await api.create();
    expect(await Promise.all([session.prompt('a'), session.prompt('b')])).toEqual(['a', 'b']);
    expect(calls[1]!.prompt.map(({ content }) => content)).toEqual(['a', 'a', 'b']);
  });

  it('drops the oldest exchanges when it is full, never the initial ones', async () => {
    const { api, calls } = echoing(24);
    const session = await api.create({ initialPrompts: [{ role: 'system', content: 'S' }] });
    const [listener, handler] = [vi.fn(), vi.fn()];
    session.addEventListener('contextoverflow', listener);
    session.oncontextoverflow = handler;
    await session.prompt('aaaa');
    await session.prompt('b');
    expect(listener).not.toHaveBeenCalled();
    await session.prompt('cccccc');
    expect([listener.mock.calls.length, handler.mock.calls.length]).toEqual([1, 1]);
    expect(calls[2]!.prompt.map(({ content }) => content)).toEqual(['S', 'b', 'b', 'cccccc']);
    const long = session.prompt('x'.repeat(30));
    await expect(long).rejects.toMatchObject({ name: 'QuotaExceededError', requested: 34, quota: 23 });
    await expect(
      api.create({ initialPrompts: [{ role: 'user', content: 'x'.repeat(30) }] }),
    ).rejects.toMatchObject({
      name: 'QuotaExceededError',
    });
  });

  it('measures what a prompt would take', async () => {
    const { api } = echoing();
    const session = await api.create();
    expect(await session.measureContextUsage('four')).toBe(6);
    expect(session.contextUsage).toBe(0);
  });

  it('is cloned with what was said so far', async () => {
    const { api, calls } = echoing();
    const session = await api.create();
    await session.prompt('a');
    const clone = await session.clone();
    await session.prompt('b');
    session.destroy();
    await clone.prompt('c');
    expect(calls[2]!.prompt.map(({ content }) => content)).toEqual(['a', 'a', 'c']);
    await expect(session.prompt('d')).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('forgets what was aborted, cancelled or failed', async () => {
    const { api, calls } = echoing();
    const session = await api.create();
    const reason = new Error('enough');
    await expect(session.prompt('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const reader = session.promptStreaming('long text').getReader();
    await reader.read();
    await reader.cancel();
    await expect(session.prompt('fail')).rejects.toMatchObject({ name: 'OperationError' });
    expect(await session.prompt('b')).toBe('b');
    expect(calls.at(-1)!.prompt).toEqual([{ role: 'user', content: 'b' }]);
    expect(session.contextUsage).toBe(4);
    const running = session.prompt('another long text');
    session.destroy();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
  });

  it.each([
    [[{ role: 'tool', content: 'a' }], 'TypeError'],
    [[], 'TypeError'],
    [[{ role: 'user', content: 5 }], 'TypeError'],
    [[{ role: 'user', content: [{ type: 'image', value: {} }] }], 'NotSupportedError'],
    [[{ role: 'assistant', content: 'a', prefix: true }], 'NotSupportedError'],
    [
      [
        { role: 'user', content: 'a' },
        { role: 'system', content: 'b' },
      ],
      'NotSupportedError',
    ],
  ])('refuses %o', async (input, name) => {
    const session = await echoing().api.create();
    await expect(session.prompt(input as never)).rejects.toMatchObject({ name });
  });
});

describe('making sessions', () => {
  it.each([
    { expectedInputs: [{ type: 'image' }] },
    { expectedOutputs: [{ type: 'audio' }] },
    { topK: 3 },
    { tools: [{ name: 'clock' }] },
  ])('%o is not available', async (options) => {
    const { api } = echoing();
    expect(await api.availability(options as never)).toBe('unavailable');
    await expect(api.create(options as never)).rejects.toMatchObject({ name: 'NotSupportedError' });
  });

  it('tells what stands in the way of loading', async () => {
    const source = { read: async () => new ArrayBuffer(0), size: async () => undefined };
    const api = promptApi(source as never, { worker: false });
    expect(await api.availability()).toBe('unavailable');
    await expect(api.create()).rejects.toBeInstanceOf(DOMException);
    await expect(api.create({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
  });
});
