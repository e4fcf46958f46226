import { lazy } from '../lazy.ts';
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
