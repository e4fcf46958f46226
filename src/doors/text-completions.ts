// OpenAI's older completions, of texts instead of conversations: what tools for evaluation ask for.
import { begun } from '../api/begun.ts';
import type { Model } from '../api/model.ts';
import type { CallOptions } from '../api/openai.ts';
import {
  checkFlag,
  checkStreaming,
  checkText,
  chooseByModel,
  fieldError,
  refuse,
  refuseUnknown,
} from '../api/request-fields.ts';
import type { GenerateChunk, GenerateOptions, GenerateResult } from '../engine/types.ts';
import { abortedError, anySignal } from '../errors.ts';
import { addToken, type CompletionLogprobs, logprobsOf, noLogprobs } from './completion-logprobs.ts';

export type { CompletionLogprobs };

/** What completions need of a model. */
export type CompletionModel = Pick<Model, 'encode' | 'decode' | 'logits'> & {
  generate(
    prompt: string | readonly number[],
    options?: GenerateOptions,
  ): AsyncGenerator<GenerateChunk, GenerateResult, undefined>;
  readonly info?: { readonly adapters?: readonly { readonly name: string }[] };
};

/** A request in OpenAI's names. `null` and left out are the same. Fields that are not here are refused. */
export interface CompletionRequest {
  /** A text, its token ids, or a list of either: as many choices as there are prompts, times `n`. */
  prompt: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  model?: string | null;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
  n?: number | null;
  /** The prompt comes first in the answer; with `logprobs`, with those of its tokens. Not with `stream`. */
  echo?: boolean | null;
  /** Log-probabilities of the tokens, and of this many likeliest ones (at most 20). */
  logprobs?: number | null;
  /** Default 16, as OpenAI's. 0 only echoes. */
  max_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  repetition_penalty?: number | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  logit_bias?: Record<string, number> | null;
  seed?: number | null;
  stop?: string | readonly string[] | null;
  /** Taken and not used. */
  user?: string | null;
}

export interface TextChoice {
  index: number;
  text: string;
  logprobs: CompletionLogprobs | null;
  finish_reason: 'stop' | 'length' | null;
}

export interface TextCompletion {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: TextChoice[];
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number } | null;
}

export type TextStream = AsyncIterable<TextCompletion> & { readonly controller: AbortController };

/** The engine's options by the request's fields; it judges their values. */
const PASSED = new Map<string, keyof GenerateOptions>([
  ['max_tokens', 'maxTokens'],
  ['temperature', 'temperature'],
  ['top_p', 'topP'],
  ['top_k', 'topK'],
  ['min_p', 'minP'],
  ['repetition_penalty', 'repetitionPenalty'],
  ['frequency_penalty', 'frequencyPenalty'],
  ['presence_penalty', 'presencePenalty'],
  ['logit_bias', 'logitBias'],
  ['seed', 'seed'],
  ['stop', 'stop'],
]);
const FIELDS = new Map([...PASSED].map(([field, option]) => [option as string, field]));
const OWN = ['prompt', 'model', 'stream', 'stream_options', 'n', 'echo', 'logprobs', 'user'];

interface Checked {
  prompts: (string | readonly number[])[];
  options: GenerateOptions;
  n: number;
  echo: boolean;
  logprobs: number | undefined;
  stream: boolean;
  includeUsage: boolean;
}

const isIds = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((each) => Number.isInteger(each));

function promptsOf({ prompt }: CompletionRequest): (string | readonly number[])[] {
  const list: readonly unknown[] = typeof prompt === 'string' || isIds(prompt) ? [prompt] : (prompt ?? []);
  if (
    !Array.isArray(list) ||
    list.length === 0 ||
    !list.every((each) => typeof each === 'string' || isIds(each))
  )
    refuse('prompt', prompt, 'a text, token ids or a list of them, not empty');
  return list as (string | readonly number[])[];
}

function checked(request: CompletionRequest): Checked {
  if (typeof request !== 'object' || request === null) refuse('request', request, 'an object');
  const options: Record<string, unknown> = { temperature: 1, maxTokens: 16 };
  for (const [field, value] of Object.entries(request)) {
    if (value === undefined || value === null) continue;
    const option = PASSED.get(field);
    if (option) options[option] = value;
    else if (!OWN.includes(field)) refuseUnknown(field, [...OWN, ...PASSED.keys()]);
  }
  const { n, echo, logprobs, stream, stream_options: streaming, model, user } = request;
  for (const [field, value] of Object.entries({ echo, stream })) checkFlag(field, value);
  for (const [field, value] of Object.entries({ model, user })) checkText(field, value);
  const whole = (field: string, value: number | null | undefined, from: number, to: number): void => {
    if (value !== undefined && value !== null && !(Number.isInteger(value) && value >= from && value <= to))
      refuse(field, value, `a whole number from ${from} to ${to}`);
  };
  whole('n', n, 1, 128);
  whole('logprobs', logprobs, 0, 20);
  if (echo && stream) refuse('echo', echo, 'not to be used with "stream": true');
  if (options.maxTokens === 0 && !echo) refuse('max_tokens', 0, 'more than 0 without "echo": true');
  checkStreaming(request);
  return {
    prompts: promptsOf(request),
    options: {
      ...options,
      ...(logprobs !== undefined && logprobs !== null && { logprobs: true, topLogprobs: logprobs }),
    },
    n: n ?? 1,
    echo: echo ?? false,
    logprobs: logprobs ?? undefined,
    stream: stream ?? false,
    includeUsage: streaming?.include_usage ?? false,
  };
}

/**
 * OpenAI's completions of texts over a model. A field that is not supported is an error that names it.
 * @throws ShishuError from `create`: `bad-argument`, and those of `Model.generate`
 */
export function textCompletions(model: CompletionModel, { name = 'shishulm' }: { name?: string } = {}) {
  let made = 0;
  const create = async (
    request: CompletionRequest,
    { signal }: CallOptions = {},
  ): Promise<TextCompletion | TextStream> => {
    const call = checked(request);
    chooseByModel(call.options as { adapter?: string }, request.model, model.info);
    const controller = new AbortController();
    call.options.signal = anySignal(controller.signal, signal);
    const head = {
      id: `cmpl-${Date.now().toString(36)}-${made++}`,
      object: 'text_completion' as const,
      created: Math.floor(Date.now() / 1000),
      model: request.model ?? name,
    };
    const pieces = piecesOf(model, call, controller.signal);
    if (!call.stream) return { ...head, ...(await whole(pieces)) };
    async function* chunks(): AsyncGenerator<TextCompletion> {
      for await (const { usage, ...choice } of pieces)
        if (choice.index >= 0)
          yield { ...head, choices: [choice], ...(call.includeUsage && { usage: null }) };
        else if (call.includeUsage) yield { ...head, choices: [], usage: usage! };
    }
    const iterator = await begun(chunks());
    return { controller, [Symbol.asyncIterator]: () => iterator };
  };
  return { create };
}

/** A piece of a choice; the last one, of index -1, has the usage of all. */
type Piece = TextChoice & { usage?: NonNullable<TextCompletion['usage']> };

async function whole(pieces: AsyncGenerator<Piece>): Promise<Pick<TextCompletion, 'choices' | 'usage'>> {
  const choices: TextChoice[] = [];
  let usage: TextCompletion['usage'];
  for await (const { usage: counted, ...piece } of pieces) {
    usage = counted;
    if (piece.index < 0) continue;
    choices[piece.index] ??= { index: piece.index, text: '', logprobs: null, finish_reason: null };
    const choice = choices[piece.index]!;
    choice.text += piece.text;
    choice.finish_reason = piece.finish_reason;
    if (!piece.logprobs) continue;
    choice.logprobs ??= noLogprobs();
    for (const key of Object.keys(piece.logprobs) as (keyof CompletionLogprobs)[])
      (choice.logprobs[key] as unknown[]).push(...piece.logprobs[key]);
  }
  return { choices, usage: usage! };
}

async function* piecesOf(
  model: CompletionModel,
  { prompts, options, n, echo, logprobs }: Checked,
  ended: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  const counts = { prompt_tokens: 0, completion_tokens: 0 };
  for (const [p, prompt] of prompts.entries()) {
    const ids = typeof prompt === 'string' ? await model.encode(prompt) : prompt;
    counts.prompt_tokens += ids.length;
    const text = !echo ? '' : typeof prompt === 'string' ? prompt : await model.decode(prompt);
    const told =
      echo && logprobs !== undefined ? await inFields(logprobsOf(model, ids, logprobs, options)) : undefined;
    for (let i = 0; i < n; i++) {
      const index = p * n + i;
      if (echo)
        yield {
          index,
          text,
          logprobs: told ?? null,
          finish_reason: options.maxTokens === 0 ? 'length' : null,
        };
      if (options.maxTokens === 0) continue;
      const { seed } = options;
      const replies = model.generate(prompt, { ...options, ...(seed !== undefined && { seed: seed + i }) });
      let offset = text.length;
      try {
        let next = await inFields(replies.next());
        for (; !next.done; next = await inFields(replies.next())) {
          const chunk = next.value;
          offset += chunk.text.length;
          const found = noLogprobs();
          await addToken(found, model, chunk, offset);
          const { text: said } = chunk;
          yield { index, text: said, logprobs: found.tokens.length > 0 ? found : null, finish_reason: null };
        }
        const { finishReason, usage } = next.value;
        if (ended.aborted) return;
        if (finishReason === 'aborted') throw abortedError();
        counts.completion_tokens += usage.completionTokens;
        yield { index, text: '', logprobs: null, finish_reason: finishReason };
      } finally {
        await replies.return(undefined as never);
      }
    }
  }
  const usage = { ...counts, total_tokens: counts.prompt_tokens + counts.completion_tokens };
  yield { index: -1, text: '', logprobs: null, finish_reason: null, usage };
}

/** Errors of the engine speak of its options: here, of the request's fields. */
const inFields = <T>(promise: Promise<T>): Promise<T> =>
  promise.catch((error) => {
    throw fieldError(FIELDS, error);
  });
