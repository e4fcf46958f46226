// `tsc` is the judge: what we answer is what the types of OpenAI's client promise, and both take the same requests.
import type OpenAI from 'openai';
import { expectTypeOf, test } from 'vitest';
import type { EmbeddingResponse } from '../../src/api/embeddings.ts';
import type { ChatCompletion, ChatCompletionChunk } from '../../src/api/openai.ts';
import type { Model } from '../../src/index.ts';

const request = {
  model: 'any',
  messages: [
    { role: 'system' as const, content: 'Be brief.' },
    { role: 'user' as const, content: [{ type: 'text' as const, text: 'Hello' }] },
  ],
  temperature: 0,
  top_p: 1,
  n: 2,
  stop: ['\n'],
  seed: 1,
  max_completion_tokens: 5,
  logprobs: true,
  top_logprobs: 2,
  logit_bias: { 7: -1 },
};
type Request = typeof request;

/** What a program for the client needs of it, in the client's types. */
interface Chat {
  completions: {
    create(body: Request & { stream: false }): PromiseLike<OpenAI.ChatCompletion>;
    create(
      body: Request & { stream: true; stream_options: { include_usage: boolean } },
    ): PromiseLike<AsyncIterable<OpenAI.ChatCompletionChunk> & { controller: AbortController }>;
  };
}

test('whole answers and chunks have the types of the client', () => {
  expectTypeOf<ChatCompletion>().toExtend<OpenAI.ChatCompletion>();
  expectTypeOf<ChatCompletionChunk>().toExtend<OpenAI.ChatCompletionChunk>();
});

test('the chat of every model stands in for that of the client', () => {
  expectTypeOf<OpenAI['chat']>().toExtend<Chat>();
  expectTypeOf<Model['chat']>().toExtend<Chat>();
  // The check can fail.
  expectTypeOf<{ completions: { create(body: Request): Promise<string> } }>().not.toExtend<Chat>();
});

/** What a program for the client needs of its embeddings. */
interface Embeddings {
  create(body: {
    model: string;
    input: string | string[] | number[] | number[][];
    dimensions?: number;
    user?: string;
  }): PromiseLike<OpenAI.CreateEmbeddingResponse>;
}

test('embeddings have the types of the client, and stand in for its own', () => {
  expectTypeOf<EmbeddingResponse>().toExtend<OpenAI.CreateEmbeddingResponse>();
  expectTypeOf<OpenAI['embeddings']>().toExtend<Embeddings>();
  expectTypeOf<Model['embeddings']>().toExtend<Embeddings>();
});
