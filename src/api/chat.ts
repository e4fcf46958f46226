import { part } from '../part.ts';
import type { CallOptions, ChatCompletions, ChatModel } from './openai.ts';
import type { ChatRequest } from './openai-request.ts';

/** OpenAI's shape of a client. */
export interface Chat {
  readonly completions: ChatCompletions;
}

/** The chat of a model; its code is fetched with the first request. */
export function chatOf(model: ChatModel): Chat {
  let made: Promise<ChatCompletions> | undefined;
  const create = async (request: ChatRequest, call?: CallOptions) => {
    made ??= part(() => import('./openai.ts')).then(({ chatCompletions }) => chatCompletions(model));
    return (await made).create(request, call);
  };
  return { completions: { create } as ChatCompletions };
}
