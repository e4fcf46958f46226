import { lazy } from '../lazy.ts';
import type { EmbeddingModel, EmbeddingRequest, EmbeddingsClient } from './embeddings.ts';
import type { CallOptions, ChatCompletions, ChatModel } from './openai.ts';
import type { ChatRequest } from './openai-request.ts';

/** OpenAI's shape of a client. */
export interface Chat {
  readonly completions: ChatCompletions;
}

/** The chat of a model; its code is fetched with the first request. */
export function chatOf(model: ChatModel): Chat {
  const completions = lazy(async () => (await import('./openai.ts')).chatCompletions(model));
  const create = async (request: ChatRequest, call?: CallOptions) =>
    (await completions()).create(request, call);
  return { completions: { create } as ChatCompletions };
}

function embeddingsOf(model: EmbeddingModel): EmbeddingsClient {
  const client = lazy(async () => (await import('./embeddings.ts')).embeddings(model));
  const create = async (request: EmbeddingRequest, call?: CallOptions) =>
    (await client()).create(request, call);
  return { create } as EmbeddingsClient;
}

/** A model with what OpenAI's client has of it. */
export const withClient = <T extends ChatModel & EmbeddingModel>(
  model: T,
): T & { chat: Chat; embeddings: EmbeddingsClient } =>
  Object.assign(model, { chat: chatOf(model), embeddings: embeddingsOf(model) });
