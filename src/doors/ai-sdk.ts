// A provider for the AI SDK (version 4 of its provider interface). Source: the package @ai-sdk/provider
import type {
  EmbeddingModelV4,
  LanguageModelV4,
  LanguageModelV4CallOptions,
  LanguageModelV4Content,
  LanguageModelV4FinishReason,
  LanguageModelV4StreamPart,
  LanguageModelV4Usage,
} from '@ai-sdk/provider';
import { begun } from '../api/begun.ts';
import type { Model } from '../api/model.ts';
import { type ChatFinishReason, type ChatModel, type ChatUsage, chatCompletions } from '../api/openai.ts';
import { requestOf } from './ai-sdk-prompt.ts';

const PROVIDER = 'shishulm';

export interface AiSdkOptions {
  /** The model's name, for logs (default `shishulm`). */
  name?: string;
}

const reasonOf = (reason: ChatFinishReason | null | undefined): LanguageModelV4FinishReason => ({
  unified: reason === 'tool_calls' ? 'tool-calls' : (reason ?? 'other'),
  raw: reason ?? undefined,
});

function usageOf(usage: ChatUsage | null | undefined): LanguageModelV4Usage {
  const cached = usage?.prompt_tokens_details.cached_tokens;
  const prompt = usage?.prompt_tokens;
  const completion = usage?.completion_tokens;
  const reasoning = usage && (usage.completion_tokens_details?.reasoning_tokens ?? 0);
  return {
    inputTokens: {
      total: prompt,
      noCache: prompt === undefined || cached === undefined ? undefined : prompt - cached,
      cacheRead: cached,
      cacheWrite: undefined,
    },
    outputTokens: {
      total: completion,
      text: completion === undefined ? undefined : completion - reasoning!,
      reasoning: reasoning ?? undefined,
    },
  };
}

/** The reply's parts as the AI SDK streams them. */
async function* partsOf(
  model: ChatModel,
  options: LanguageModelV4CallOptions,
  name: string,
): AsyncGenerator<LanguageModelV4StreamPart, void, undefined> {
  const { request, warnings } = requestOf(options);
  const { abortSignal: signal } = options;
  const chunks = await chatCompletions(model, { name }).create(
    { ...request, stream: true, stream_options: { include_usage: true } },
    signal ? { signal } : {},
  );
  let open: 'text' | 'reasoning' | undefined;
  let parts = 0;
  let reason: ChatFinishReason | null | undefined;
  let usage: ChatUsage | null | undefined;
  function* into(kind: typeof open): Iterable<LanguageModelV4StreamPart> {
    if (open === kind) return;
    if (open) yield { type: `${open}-end`, id: String(parts++) };
    open = kind;
    if (kind) yield { type: `${kind}-start`, id: String(parts) };
  }
  let told = false;
  for await (const { id, created, choices, usage: counted, model: modelId } of chunks) {
    if (!told) {
      yield { type: 'stream-start', warnings };
      yield { type: 'response-metadata', id, timestamp: new Date(1000 * created), modelId };
    }
    told = true;
    usage = counted ?? usage;
    const [{ delta, finish_reason } = { delta: {}, finish_reason: null }] = choices;
    reason = finish_reason ?? reason;
    for (const [kind, text] of [
      ['reasoning', delta.reasoning_content],
      ['text', delta.content],
    ] as const)
      if (text) {
        yield* into(kind);
        yield { type: `${kind}-delta`, id: String(parts), delta: text };
      }
    for (const { id: callId, function: made } of delta.tool_calls ?? []) {
      yield* into(undefined);
      yield { type: 'tool-input-start', id: callId, toolName: made.name };
      yield { type: 'tool-input-delta', id: callId, delta: made.arguments };
      yield { type: 'tool-input-end', id: callId };
      yield { type: 'tool-call', toolCallId: callId, toolName: made.name, input: made.arguments };
    }
  }
  yield* into(undefined);
  signal?.throwIfAborted();
  yield { type: 'finish', usage: usageOf(usage), finishReason: reasonOf(reason) };
}

/**
 * A language model for `generateText`, `streamText` and what else the AI SDK makes of one: text, tools, structured output and
 * reasoning. Fields of ours go as `providerOptions: { shishulm: { ... } }`, in the names of `chat.completions.create`.
 */
export function languageModel(model: ChatModel, { name = PROVIDER }: AiSdkOptions = {}): LanguageModelV4 {
  return {
    specificationVersion: 'v4',
    provider: PROVIDER,
    modelId: name,
    supportedUrls: {},
    async doGenerate(options) {
      const content: LanguageModelV4Content[] = [];
      let finish: Extract<LanguageModelV4StreamPart, { type: 'finish' }> | undefined;
      const warnings = [];
      for await (const part of partsOf(model, options, name)) {
        if (part.type === 'stream-start') warnings.push(...part.warnings);
        else if (part.type === 'text-start') content.push({ type: 'text', text: '' });
        else if (part.type === 'reasoning-start') content.push({ type: 'reasoning', text: '' });
        else if (part.type === 'text-delta' || part.type === 'reasoning-delta')
          (content.at(-1) as { text: string }).text += part.delta;
        else if (part.type === 'tool-call') content.push(part);
        else if (part.type === 'finish') finish = part;
      }
      return { content, finishReason: finish!.finishReason, usage: finish!.usage, warnings };
    },
    async doStream(options) {
      const parts = await begun(partsOf(model, options, name));
      const stream = new ReadableStream<LanguageModelV4StreamPart>({
        async pull(stream) {
          try {
            const { done, value } = await parts.next();
            if (done) stream.close();
            else stream.enqueue(value);
          } catch (error) {
            stream.error(error);
          }
        },
        async cancel() {
          await parts.return!();
        },
      });
      return { stream };
    },
  };
}

/** An embedding model for `embed` and `embedMany` of the AI SDK. */
export function embeddingModel(
  model: Pick<Model, 'embed'>,
  { name = PROVIDER }: AiSdkOptions = {},
): EmbeddingModelV4 {
  return {
    specificationVersion: 'v4',
    provider: PROVIDER,
    modelId: name,
    maxEmbeddingsPerCall: Number.POSITIVE_INFINITY,
    supportsParallelCalls: false,
    async doEmbed({ values, abortSignal: signal, providerOptions }) {
      const own = providerOptions?.shishulm as Parameters<Model['embed']>[1];
      const { embeddings, tokens } = await model.embed(values, { ...own, ...(signal && { signal }) });
      return {
        embeddings: embeddings.map((vector) => Array.from(vector)),
        usage: { tokens: tokens.reduce((sum, count) => sum + count, 0) },
        warnings: [],
      };
    },
  };
}
