// OpenAI's HTTP API over loaded models: a `Request` in, a `Response` out, in a page, a worker or a server.
import { embeddings } from '../api/embeddings.ts';
import type { Model } from '../api/model.ts';
import { type CallOptions, type ChatModel, chatCompletions } from '../api/openai.ts';
import { decodeUri } from '../decode-uri.ts';
import { ShishuError } from '../errors.ts';
import { failureOf, ServiceFailure } from './service-errors.ts';
import { type CompletionModel, textCompletions } from './text-completions.ts';

/** What is served of a model: a `Model` has it all. */
export type ServedModel = ChatModel & CompletionModel & Pick<Model, 'embed'>;

export interface HandlerOptions {
  /** The models, by the names that requests call them; or one, that answers to every name. */
  models: ServedModel | Readonly<Record<string, ServedModel>>;
  /** The name of the one model (default `shishulm`). */
  name?: string;
  /** Most tokens of a reply that a request may ask for, and gets where it does not say (default: what the context holds). */
  maxTokens?: number;
}

/** What `create` of a client gives: an answer, or a stream of its pieces. */
type Answer = object | (AsyncIterable<object> & { readonly controller: AbortController });

/** A request's body is its own to judge; only `model` and that it is an object matter here. */
type Body = { model?: unknown } & Record<string, unknown>;

/** Paths that are posted to, and what answers there. */
const POSTS: Readonly<Record<string, 'chat' | 'text' | 'embed'>> = {
  '/chat/completions': 'chat',
  '/completions': 'text',
  '/embeddings': 'embed',
};

/** What answers for one model. */
interface Clients
  extends Record<'chat' | 'text' | 'embed', { create(body: never, call: CallOptions): Promise<Answer> }> {
  adapters(): string[];
}

const clientsOf = (model: ServedModel, name: string): Clients => ({
  chat: chatCompletions(model, { name }),
  text: textCompletions(model, { name }),
  embed: embeddings(model, { name }),
  adapters: () => (model.info?.adapters ?? []).map((adapter) => adapter.name),
});

const isModel = (models: HandlerOptions['models']): models is ServedModel =>
  typeof (models as Partial<ServedModel>).generate === 'function';

const json = (value: unknown, status = 200): Response => Response.json(value, { status });

/** An error as the service sends it. */
export const failed = (error: unknown): Response => {
  const { status, error: said } = failureOf(error);
  return json({ error: said }, status);
};

/** Server-sent events, one for each piece, as the service streams them. Who stops reading ends the reply. */
function eventStream(pieces: AsyncIterable<object> & { readonly controller: AbortController }): Response {
  const encoder = new TextEncoder();
  const iterator = pieces[Symbol.asyncIterator]();
  const event = (value: unknown): Uint8Array =>
    encoder.encode(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`);
  const body = new ReadableStream<Uint8Array>({
    async pull(stream) {
      try {
        const { done, value } = await iterator.next();
        if (!done) return stream.enqueue(event(value));
        stream.enqueue(event('[DONE]'));
      } catch (error) {
        stream.enqueue(event({ error: failureOf(error).error }));
      }
      stream.close();
    },
    async cancel() {
      pieces.controller.abort();
      await iterator.return?.();
    },
  });
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });
}

async function bodyOf(request: Request): Promise<Body> {
  let body: unknown;
  try {
    body = await request.json();
  } catch (cause) {
    if (request.signal.aborted) throw cause;
    throw new ServiceFailure(400, 'The body of the request is no JSON.');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new ServiceFailure(400, 'The body of the request is no JSON object.');
  return body as Body;
}

function limitTokens(body: Body, post: 'chat' | 'text', most: number): void {
  const fields = ['max_tokens', 'max_completion_tokens'].filter(
    (field) => (body[field] ?? undefined) !== undefined,
  );
  for (const field of fields)
    if (Number(body[field]) > most)
      throw new ServiceFailure(
        400,
        `Field "${field}" is ${body[field]}, this server gives at most ${most} tokens.`,
        {
          param: field,
        },
      );
  if (fields.length === 0 && post === 'chat') body.max_tokens = most;
}

/** The path behind `/v1`, wherever the address of the service is. */
const pathOf = (url: string): string =>
  new URL(url).pathname.replace(/^.*\/v1(?=\/)/, '').replace(/\/+$/, '');

/**
 * Answers requests of OpenAI's HTTP API: `POST /chat/completions`, `/completions` and `/embeddings`, `GET /models` and
 * `/models/NAME`, `GET /health`, each also behind `/v1`. Errors are answers, in the service's shapes: nothing is thrown.
 */
export function openaiHandler({
  models,
  name = 'shishulm',
  maxTokens,
}: HandlerOptions): (request: Request) => Promise<Response> {
  const given = isModel(models) ? { [name]: models } : models;
  const byName = new Map(Object.entries(given).map(([id, model]) => [id, clientsOf(model, id)]));
  const [first] = byName.keys();
  if (first === undefined)
    throw new ShishuError('bad-argument', 'There is no model to serve.', { details: { option: 'models' } });
  const created = Math.floor(Date.now() / 1000);
  const entry = (id: string) => ({ id, object: 'model', created, owned_by: 'shishulm' });

  /** What answers for the model, or the adapter, that a request names. */
  const find = ({ model: asked }: Body): Clients => {
    if (asked === undefined || asked === null) return byName.get(first)!;
    if (typeof asked !== 'string')
      throw new ServiceFailure(400, 'Field "model" is no text.', { param: 'model' });
    const found = byName.get(asked) ?? [...byName.values()].find((each) => each.adapters().includes(asked));
    if (found) return found;
    if (isModel(models)) return byName.get(first)!;
    throw new ServiceFailure(
      404,
      `The model "${asked}" does not exist. There is: ${[...byName.keys()].join(', ')}.`,
      { param: 'model', code: 'model_not_found' },
    );
  };
  const gets = (path: string): object | undefined => {
    if (path === '/health') return { status: 'ok' };
    const ids = [...byName].flatMap(([id, { adapters }]) => [id, ...adapters()]);
    if (path === '/models') return { object: 'list', data: ids.map(entry) };
    const id = path.startsWith('/models/') ? decodeUri(path.slice('/models/'.length)) : undefined;
    if (id === undefined) return undefined;
    find({ model: id });
    return entry(id);
  };

  return async (request) => {
    try {
      const path = pathOf(request.url);
      const post = POSTS[path];
      const { method } = request;
      if (method === 'GET' || method === 'HEAD') {
        const found = gets(path);
        if (found) return json(found);
      } else if (post && method === 'POST') {
        const body = await bodyOf(request);
        if (maxTokens !== undefined && post !== 'embed') limitTokens(body, post, maxTokens);
        const answer = await find(body)[post].create(body as never, { signal: request.signal });
        return Symbol.asyncIterator in answer ? eventStream(answer) : json(answer);
      }
      if (post || gets(path))
        throw new ServiceFailure(405, `${method} is not allowed for ${path}.`, {
          code: 'method_not_allowed',
        });
      throw new ServiceFailure(404, `Unknown request URL: ${method} ${path}.`, { code: 'unknown_url' });
    } catch (error) {
      return failed(error);
    }
  };
}
