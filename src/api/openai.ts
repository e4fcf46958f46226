import type {
  BatchChunk,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  Message,
  TokenChance,
  Usage,
} from '../engine/types.ts';
import { abortedError } from '../errors.ts';
import type { ChatTemplateOptions, ToolFormat } from '../formats/chat-template.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import { begun } from './begun.ts';
import { type ChatRequest, type CheckedRequest, checkRequest } from './openai-request.ts';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatFinishReason,
  ChatLogprob,
  ChatLogprobEntry,
  ChatUsage,
  ChunkChoice,
  CompletionChoice,
} from './openai-types.ts';
import { type CallOptions, chooseByModel, fieldError } from './request-fields.ts';
import { type ChatTool, type ParserOptions, type ReplyPart, THINK, ToolCallParser } from './tool-calls.ts';

export { embeddings } from './embeddings.ts';
export type { ChatRequest, ResponseFormat } from './openai-request.ts';
export type * from './openai-types.ts';
export type { BatchChunk, CallOptions, ChatTool, ThoughtTags, ToolFormat };

/** What a chat needs of a model: less than a `Model`, so that it also goes over another engine. */
export interface ChatModel {
  generate(
    prompt: readonly Message[],
    options?: GenerateOptions,
  ): AsyncGenerator<GenerateChunk, GenerateResult, undefined>;
  /** Replies that decode together, where there is a batch for them. */
  generateBatch?(
    prompt: readonly Message[],
    n: number,
    options?: GenerateOptions,
  ): AsyncGenerator<BatchChunk, GenerateResult[], undefined>;
  readonly info?: { readonly batch: number; readonly adapters?: readonly { readonly name: string }[] };
  decode(tokenIds: readonly number[]): Promise<string>;
  /** How the model has tools called; without it, requests with tools are refused. */
  readonly toolFormat?: ToolFormat | undefined;
  /** What stands around its thoughts, in which nothing is a call, beside `<think>`. */
  readonly thoughtTags?: readonly ThoughtTags[];
  /** Asked whether a prompt opens a thought. */
  applyChatTemplate?(
    messages: readonly Message[],
    options?: Pick<ChatTemplateOptions, 'tools' | 'templateVariables'>,
  ): Promise<string>;
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

export interface ChatCompletions {
  create(request: ChatRequest & { stream: true }, call?: CallOptions): Promise<ChatStream>;
  create(request: ChatRequest & { stream?: false | null }, call?: CallOptions): Promise<ChatCompletion>;
  create(request: ChatRequest, call?: CallOptions): Promise<ChatCompletion | ChatStream>;
}

const reasonOf = (result: GenerateResult): 'stop' | 'length' =>
  result.finishReason === 'length' ? 'length' : 'stop';

/**
 * OpenAI's chat completions over a model: `create({messages, stream, ...})` answers in its shapes. A field that is not
 * supported is an error that names it. `n` replies decode together when the model was loaded with `batch: n` or more; otherwise
 * they are made one after the other. Either way the prompt runs once, unless another call takes its place in the cache between two.
 * @throws ShishuError from `create`: `bad-argument`, and those of `Model.generate`
 */
export function chatCompletions(model: ChatModel, { name = 'shishulm' }: ChatOptions = {}): ChatCompletions {
  let made = 0;
  const create = async (
    request: ChatRequest,
    { signal }: CallOptions = {},
  ): Promise<ChatCompletion | ChatStream> => {
    const checked = checkRequest(request, model.toolFormat);
    chooseByModel(checked.options, checked.model, model.info);
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

/** The chunks of a stream, put together. */
async function complete(model: ChatModel, request: CheckedRequest, head: Head): Promise<ChatCompletion> {
  const choices: CompletionChoice[] = [];
  let usage: ChatUsage | null | undefined;
  const chunks = chunksOf(model, { ...request, includeUsage: true }, head);
  for await (const chunk of chunks) {
    usage = chunk.usage;
    for (const { index, delta, logprobs, finish_reason } of chunk.choices) {
      choices[index] ??= {
        index,
        message: { role: 'assistant', content: null, refusal: null },
        logprobs: request.options.logprobs ? { content: [], refusal: null } : null,
        finish_reason: 'stop',
      };
      const choice = choices[index];
      const { message } = choice;
      if (delta.reasoning_content)
        message.reasoning_content = (message.reasoning_content ?? '') + delta.reasoning_content;
      if (delta.content) message.content = (message.content ?? '') + delta.content;
      for (const { index: _, ...call } of delta.tool_calls ?? [])
        message.tool_calls = [...(message.tool_calls ?? []), call];
      choice.logprobs?.content?.push(...(logprobs?.content ?? []));
      if (finish_reason) choice.finish_reason = finish_reason;
    }
  }
  for (const { message } of choices) if (!message.tool_calls) message.content ??= '';
  return { ...head, object: 'chat.completion', choices, usage: usage! };
}

async function openStream(model: ChatModel, request: CheckedRequest, head: Head): Promise<ChatStream> {
  const controller = new AbortController();
  const iterator = await begun(chunksOf(model, request, head, controller.signal));
  return { controller, [Symbol.asyncIterator]: () => iterator };
}

type ReplyEvent = { index: number } & ({ chunk: GenerateChunk } | { result: GenerateResult });

/** The replies of a request: together where the model's batch holds them, else one after the other. */
async function* repliesOf(
  model: ChatModel,
  request: CheckedRequest,
  signal?: AbortSignal,
): AsyncGenerator<ReplyEvent, void, undefined> {
  const { n } = request;
  if (n > 1 && model.generateBatch && (model.info?.batch ?? 1) >= n) {
    const replies = model.generateBatch(request.messages, n, optionsOf(request, 0, signal));
    try {
      let next = await replies.next();
      for (; !next.done; next = await replies.next()) {
        const { index, ...chunk } = next.value;
        yield { index, chunk };
      }
      for (const [index, result] of next.value.entries()) yield { index, result };
    } finally {
      await replies.return(undefined as never);
    }
    return;
  }
  for (let index = 0; index < n; index++) {
    const replies = model.generate(request.messages, optionsOf(request, index, signal));
    try {
      let next = await replies.next();
      for (; !next.done; next = await replies.next()) yield { index, chunk: next.value };
      yield { index, result: next.value };
    } finally {
      await replies.return(undefined as never);
    }
  }
}

/** Errors of the engine speak of its options: here, of the request's fields. */
async function* inFields<T>(request: CheckedRequest, events: AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    yield* events;
  } catch (error) {
    throw fieldError(request.fields, error);
  }
}

/** What is told of one reply so far. */
interface Telling {
  /** From the first chunk on, where there are tools. */
  parser: ToolCallParser | undefined;
  calls: number;
  /** Of tokens that may yet turn out to begin reasoning. */
  held: ChatLogprob[];
  /** Some of the answer was told. */
  said: boolean;
}

async function* chunksOf(
  model: ChatModel,
  request: CheckedRequest,
  head: Head,
  signal?: AbortSignal,
): AsyncGenerator<ChatCompletionChunk, void, undefined> {
  const { tools } = request;
  const usages: Usage[] = [];
  const chunk = (choices: ChunkChoice[], usage?: ChatUsage): ChatCompletionChunk => ({
    ...head,
    object: 'chat.completion.chunk',
    choices,
    ...(request.includeUsage && { usage: usage ?? null }),
  });
  const one = (
    index: number,
    delta: ChunkChoice['delta'],
    {
      logprobs: content = [],
      reason = null,
    }: { logprobs?: ChatLogprob[]; reason?: ChatFinishReason | null } = {},
  ): ChatCompletionChunk => {
    const logprobs = content.length > 0 ? { content, refusal: null } : null;
    return chunk([{ index, delta, logprobs, finish_reason: reason }]);
  };
  const deltaOf = (part: ReplyPart, index: number, telling: Telling): ChunkChoice['delta'] | undefined => {
    if ('text' in part) return { content: part.text };
    const at = telling.calls;
    if (at >= tools!.most) return undefined;
    telling.calls++;
    const id = `call_${head.id}-${index}-${at}`;
    return { tool_calls: [{ index: at, id, type: 'function', function: part.call }] };
  };
  const tellings = new Map<number, Telling>();
  const thoughts = tools && (await thoughtsOf(model, request));
  const mayReason = Boolean(request.options.reasoningTags ?? model.thoughtTags?.length);
  for await (const event of inFields(request, repliesOf(model, request, signal))) {
    const { index } = event;
    const telling = tellings.get(index) ?? { parser: undefined, calls: 0, held: [], said: false };
    if (!tellings.has(index)) yield one(index, { role: 'assistant', content: '', refusal: null });
    tellings.set(index, telling);
    if ('chunk' in event) {
      const { text, reasoning } = event.chunk;
      // An engine that tells reasoning apart has none of it in the text.
      telling.parser ??=
        tools &&
        new ToolCallParser(
          tools.names,
          reasoning === undefined ? thoughts : { thoughts: thoughts!.thoughts },
        );
      const { parser } = telling;
      const logprob = await logprobOf(model, event.chunk);
      if (reasoning !== undefined) telling.held = [];
      if (logprob && (reasoning === undefined || text !== '')) telling.held.push(logprob);
      if (reasoning) yield one(index, { reasoning_content: reasoning });
      const parts = parser ? parser.push(text) : text ? [{ text }] : [];
      const deltas = parts
        .map((part) => deltaOf(part, index, telling))
        .filter((delta) => delta !== undefined);
      telling.said ||= text !== '';
      const waits = mayReason && !telling.said;
      // A token has log-probabilities even where its text is held back.
      if (deltas.length === 0 && telling.held.length > 0 && !waits) deltas.push({ content: '' });
      for (const delta of deltas) {
        const logprobs = telling.held;
        telling.held = [];
        yield one(index, delta, { logprobs });
      }
      continue;
    }
    const { parser, held } = telling;
    if (held.length > 0) yield one(index, { content: '' }, { logprobs: held });
    const { result } = event;
    // As with OpenAI's client: who aborted the stream's controller is told nothing more, others are.
    if (signal?.aborted) return;
    if (result.finishReason === 'aborted') throw abortedError();
    usages.push(result.usage);
    for (const part of parser?.flush() ?? []) {
      const delta = deltaOf(part, index, telling);
      if (delta) yield one(index, delta);
    }
    const called = telling.calls > 0 && result.finishReason === 'stop';
    yield one(index, {}, { reason: called ? 'tool_calls' : reasonOf(result) });
  }
  if (request.includeUsage) yield chunk([], usageOf(usages));
}

/** What stands around thoughts, and the tag that ends the one which the prompt has opened; a demanded call is none. */
async function thoughtsOf(
  model: ChatModel,
  { messages, tools, options }: CheckedRequest,
): Promise<ParserOptions> {
  const thoughts = [THINK, ...(model.thoughtTags ?? []).filter(({ open }) => open !== THINK.open)];
  if (!model.applyChatTemplate || tools!.demanded) return { thoughts };
  const { templateVariables } = options;
  const prompt = await model.applyChatTemplate(messages, {
    tools: options.tools!,
    ...(templateVariables && { templateVariables }),
  });
  return { thoughts, thinking: thoughts.find(({ open }) => prompt.trimEnd().endsWith(open))?.close };
}

/** Usage of all replies: the prompt counts once, as the first found it; later ones have it from the cache. */
function usageOf(usages: readonly Usage[]): ChatUsage {
  const { promptTokens, cachedTokens } = usages[0]!;
  const reasoned = usages.flatMap(({ reasoningTokens = [] }) => reasoningTokens);
  const completion = usages.reduce((sum, usage) => sum + usage.completionTokens, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completion,
    total_tokens: promptTokens + completion,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    ...(reasoned.length > 0 && {
      completion_tokens_details: { reasoning_tokens: reasoned.reduce((sum, each) => sum + each, 0) },
    }),
  };
}

async function logprobOf(model: ChatModel, chunk: GenerateChunk): Promise<ChatLogprob | undefined> {
  const { logprob: found, tokenId } = chunk;
  if (!found) return undefined;
  const entry = async (id: number, { logprob, bytes }: TokenChance): Promise<ChatLogprobEntry> =>
    bytes
      ? { token: tokenText(bytes), logprob, bytes: [...bytes] }
      : { ...(await decoded(model, id)), logprob };
  const top = await Promise.all(found.top.map((each) => entry(each.tokenId, each)));
  return { ...(await entry(tokenId, found)), top_logprobs: top };
}

/** The text of a token; of one that is a part of a character, its bytes in OpenAI's way of writing them. */
function tokenText(bytes: readonly number[]): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}`;
  }
}

/** What the tokens of models that tell no bytes decode to, each asked once. */
const decodedTokens = new WeakMap<
  ChatModel,
  Map<number, Promise<{ token: string; bytes: number[] | null }>>
>();

function decoded(model: ChatModel, id: number): Promise<{ token: string; bytes: number[] | null }> {
  const known = decodedTokens.get(model) ?? new Map();
  decodedTokens.set(model, known);
  const decode = async () => {
    const token = await model.decode([id]);
    // A token that is part of a character has no text of its own, and which bytes it stands for is not known here.
    const bytes = token.includes('\ufffd') ? null : [...new TextEncoder().encode(token)];
    return { token, bytes };
  };
  if (!known.has(id)) known.set(id, decode());
  return known.get(id);
}
