import type { GenerateChunk, GenerateOptions, GenerateResult, Message, Usage } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import { type ChatRequest, type CheckedRequest, checkRequest } from './openai-request.ts';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatLogprob,
  ChatUsage,
  ChunkChoice,
  CompletionChoice,
} from './openai-types.ts';

export type { ChatRequest } from './openai-request.ts';
export type * from './openai-types.ts';

/** What a chat needs of a model: a `Model`, or one in a worker. */
export interface ChatModel {
  generate(
    prompt: readonly Message[],
    options?: GenerateOptions,
  ): AsyncGenerator<GenerateChunk, GenerateResult, undefined>;
  decode(tokenIds: readonly number[]): string | Promise<string>;
}

export interface ChatOptions {
  /** The `model` field of answers (default `shishulm`). */
  name?: string;
}

/** A stream of chunks that can be ended from outside, as the `openai` client gives. */
export interface ChatStream extends AsyncIterable<ChatCompletionChunk> {
  /** Aborting it ends the reply. */
  readonly controller: AbortController;
}

/** How one call is made. */
export interface CallOptions {
  signal?: AbortSignal;
}

export interface ChatCompletions {
  create(request: ChatRequest & { stream: true }, call?: CallOptions): Promise<ChatStream>;
  create(request: ChatRequest & { stream?: false | null }, call?: CallOptions): Promise<ChatCompletion>;
  create(request: ChatRequest, call?: CallOptions): Promise<ChatCompletion | ChatStream>;
}

const reasonOf = (result: GenerateResult): 'stop' | 'length' =>
  result.finishReason === 'length' ? 'length' : 'stop';

/**
 * OpenAI's chat completions over a model: `create({messages, stream, ...})` answers in its shapes. A field that is not
 * supported is an error that names it; with `n` above 1 the replies are made one after the other from one prefill.
 * @throws ShishuError from `create`: `bad-argument`, and those of `Model.generate`
 */
export function chatCompletions(model: ChatModel, { name = 'shishulm' }: ChatOptions = {}): ChatCompletions {
  let made = 0;
  const create = async (
    request: ChatRequest,
    { signal }: CallOptions = {},
  ): Promise<ChatCompletion | ChatStream> => {
    const checked = checkRequest(request);
    if (signal) checked.options.signal = signal;
    const head: Head = {
      id: `chatcmpl-${Date.now().toString(36)}-${made++}`,
      created: Math.floor(Date.now() / 1000),
      model: checked.model ?? name,
    };
    return checked.stream ? openStream(model, checked, head) : complete(model, checked, head);
  };
  return { create } as ChatCompletions;
}

interface Head {
  id: string;
  created: number;
  model: string;
}

/** The options of the i-th reply: each has a seed of its own. */
function optionsOf(
  { options, messages: _ }: CheckedRequest,
  index: number,
  signal?: AbortSignal,
): GenerateOptions {
  const { seed, signal: own } = options;
  const signals = [own, signal].filter((each) => each !== undefined);
  return {
    ...options,
    ...(seed !== undefined && { seed: seed + index }),
    ...(signals.length > 0 && { signal: signals.length === 1 ? signals[0]! : AbortSignal.any(signals) }),
  };
}

async function complete(model: ChatModel, request: CheckedRequest, head: Head): Promise<ChatCompletion> {
  const choices: CompletionChoice[] = [];
  const usages: Usage[] = [];
  for (let index = 0; index < request.n; index++) {
    const content: ChatLogprob[] = [];
    const replies = model.generate(request.messages, optionsOf(request, index));
    let next = await replies.next();
    for (; !next.done; next = await replies.next()) {
      const logprob = await logprobOf(model, next.value);
      if (logprob) content.push(logprob);
    }
    const result = next.value;
    if (result.finishReason === 'aborted') throw aborted();
    usages.push(result.usage);
    choices.push({
      index,
      message: { role: 'assistant', content: result.text, refusal: null },
      logprobs: request.options.logprobs ? { content, refusal: null } : null,
      finish_reason: reasonOf(result),
    });
  }
  return { ...head, object: 'chat.completion', choices, usage: usageOf(usages) };
}

/** Checks the first step before it answers, so that a bad request rejects here rather than in the loop. */
async function openStream(model: ChatModel, request: CheckedRequest, head: Head): Promise<ChatStream> {
  const controller = new AbortController();
  const chunks = chunksOf(model, request, head, controller.signal);
  const first = await chunks.next();
  async function* replay(): AsyncGenerator<ChatCompletionChunk> {
    try {
      if (!first.done) yield first.value;
      yield* chunks;
    } finally {
      await chunks.return(undefined);
    }
  }
  const iterator = replay();
  return {
    controller,
    [Symbol.asyncIterator]: () => iterator,
  };
}

async function* chunksOf(
  model: ChatModel,
  request: CheckedRequest,
  head: Head,
  signal: AbortSignal,
): AsyncGenerator<ChatCompletionChunk, void, undefined> {
  const usages: Usage[] = [];
  const chunk = (choices: ChunkChoice[], usage?: ChatUsage): ChatCompletionChunk => ({
    ...head,
    object: 'chat.completion.chunk',
    choices,
    ...(request.includeUsage && { usage: usage ?? null }),
  });
  for (let index = 0; index < request.n; index++) {
    const replies = model.generate(request.messages, optionsOf(request, index, signal));
    try {
      let next = await replies.next();
      yield chunk([
        {
          index,
          delta: { role: 'assistant', content: '', refusal: null },
          logprobs: null,
          finish_reason: null,
        },
      ]);
      for (; !next.done; next = await replies.next()) {
        const logprob = await logprobOf(model, next.value);
        if (!next.value.text && !logprob) continue;
        yield chunk([
          {
            index,
            delta: { content: next.value.text },
            logprobs: logprob ? { content: [logprob], refusal: null } : null,
            finish_reason: null,
          },
        ]);
      }
      const result = next.value;
      // As with OpenAI's client: who aborted the stream's controller is told nothing more, others are.
      if (signal.aborted) return;
      if (result.finishReason === 'aborted') throw aborted();
      usages.push(result.usage);
      yield chunk([{ index, delta: {}, logprobs: null, finish_reason: reasonOf(result) }]);
    } finally {
      await replies.return(undefined as never);
    }
  }
  if (request.includeUsage) yield chunk([], usageOf(usages));
}

const aborted = (): ShishuError => new ShishuError('aborted', 'The call was aborted.');

/** Usage of all replies: the prompt counts once, as the first found it; later ones have it from the cache. */
function usageOf(usages: readonly Usage[]): ChatUsage {
  const { promptTokens, cachedTokens } = usages[0]!;
  const completion = usages.reduce((sum, usage) => sum + usage.completionTokens, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completion,
    total_tokens: promptTokens + completion,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

async function logprobOf(model: ChatModel, chunk: GenerateChunk): Promise<ChatLogprob | undefined> {
  if (!chunk.logprob) return undefined;
  const entry = async (tokenId: number, logprob: number) => {
    const token = await model.decode([tokenId]);
    // A token that is part of a character has no text of its own, and which bytes it stands for is not known here.
    const bytes = token.includes('\ufffd') ? null : [...new TextEncoder().encode(token)];
    return { token, logprob, bytes };
  };
  const top = await Promise.all(chunk.logprob.top.map(({ tokenId, logprob }) => entry(tokenId, logprob)));
  return { ...(await entry(chunk.tokenId, chunk.logprob.logprob)), top_logprobs: top };
}
