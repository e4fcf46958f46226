import { type HandlerOptions, openaiHandler, type ServedModel } from './openai-http.ts';

export type { HandlerOptions, ServedModel };

/**
 * A `fetch` for OpenAI's client, which then runs on models in this page: `new OpenAI({ apiKey: 'none', baseURL:
 * 'http://local/v1', fetch: openaiFetch(model) })`. No request leaves the page, whatever its address.
 * @param models one model, that answers to every name; or some, by the names that requests call them
 */
export function openaiFetch(
  models: HandlerOptions['models'],
  options: Omit<HandlerOptions, 'models'> = {},
): typeof fetch {
  const handle = openaiHandler({ ...options, models });
  return async (input, init) => {
    const request = new Request(input, init);
    request.signal.throwIfAborted();
    const response = await handle(request);
    // As a fetch that was aborted rejects.
    request.signal.throwIfAborted();
    return response;
  };
}
