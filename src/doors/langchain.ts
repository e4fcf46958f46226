// A chat model and embeddings for LangChain.js. Source: the package @langchain/core
import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import { Embeddings, type EmbeddingsParams } from '@langchain/core/embeddings';
import type {
  BaseLanguageModelInput,
  StructuredOutputMethodOptions,
} from '@langchain/core/language_models/base';
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BaseChatModelParams,
  type BindToolsInput,
} from '@langchain/core/language_models/chat_models';
import {
  assembleStructuredOutputPipeline,
  createContentParser,
} from '@langchain/core/language_models/structured_output';
import { type AIMessage, AIMessageChunk, type BaseMessage, type ToolMessage } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';
import type { Runnable } from '@langchain/core/runnables';
import { convertToOpenAITool } from '@langchain/core/utils/function_calling';
import { toJsonSchema } from '@langchain/core/utils/json_schema';
import type { InteropZodType } from '@langchain/core/utils/types';
import type { Model } from '../api/model.ts';
import { type ChatFinishReason, type ChatModel, type ChatUsage, chatCompletions } from '../api/openai.ts';
import type { ChatMessage, ChatRequest } from '../api/openai-request.ts';
import { ShishuError } from '../errors.ts';

/** Fields of a request, in the names of `chat.completions.create`. */
export type ChatFields = Omit<ChatRequest, 'messages' | 'stream' | 'stream_options' | 'n'>;

export interface ChatShishuLMParams extends BaseChatModelParams {
  /** A loaded model. */
  model: ChatModel;
  /** What requests ask for unless a call says otherwise, as `{ temperature: 0, max_tokens: 100 }`. */
  fields?: ChatFields;
}

export type ChatShishuLMCallOptions = BaseChatModelCallOptions & ChatFields;

/** Options of LangChain's own, which are no fields of a request. */
const OF_LANGCHAIN = [
  'stop',
  'signal',
  'timeout',
  'callbacks',
  'tags',
  'metadata',
  'runName',
  'runId',
  'configurable',
  'recursionLimit',
  'maxConcurrency',
  'store',
  'outputVersion',
  'ls_structured_output_format',
  'promptIndex',
];

const ROLES: Readonly<Record<string, string>> = {
  human: 'user',
  ai: 'assistant',
  system: 'system',
  tool: 'tool',
};

function messageOf(message: BaseMessage): ChatMessage {
  const type = message.getType();
  const role = ROLES[type];
  if (role === undefined)
    throw new ShishuError('unsupported', `A message of type "${type}" is not supported.`);
  const { content } = message;
  const text =
    typeof content === 'string'
      ? content
      : content
          .map((part) => {
            if (part.type === 'text') return String(part.text);
            if (part.type === 'tool_use' || part.type === 'tool_call' || part.type === 'reasoning') return '';
            throw new ShishuError('unsupported', `Content of type "${part.type}" is not supported.`, {
              mend: 'Models here read text alone.',
            });
          })
          .join('');
  const calls = role === 'assistant' ? ((message as AIMessage).tool_calls ?? []) : [];
  const reasoning = message.additional_kwargs.reasoning_content;
  return {
    role,
    content: text,
    ...(typeof reasoning === 'string' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, args }) => ({
        id,
        type: 'function',
        function: { name, arguments: JSON.stringify(args) },
      })),
    }),
    ...(role === 'tool' && {
      tool_call_id: (message as ToolMessage).tool_call_id,
      ...(message.name !== undefined && { name: message.name }),
    }),
  };
}

const usageOf = ({ prompt_tokens, completion_tokens, total_tokens, ...details }: ChatUsage) => ({
  input_tokens: prompt_tokens,
  output_tokens: completion_tokens,
  total_tokens,
  input_token_details: { cache_read: details.prompt_tokens_details.cached_tokens },
  output_token_details: { reasoning: details.completion_tokens_details?.reasoning_tokens ?? 0 },
});

// biome-ignore lint/suspicious/noExplicitAny: as LangChain has it
type Fields = Record<string, any>;
/** A schema of Zod, or a JSON schema. */
type OutputSchema<T extends Fields> = InteropZodType<T> | Fields;

/** LangChain's chat model over one of ours: streams, tools and structured output included. */
export class ChatShishuLM extends BaseChatModel<ChatShishuLMCallOptions, AIMessageChunk> {
  readonly #model: ChatModel;
  readonly #fields: ChatFields;

  constructor({ model, fields = {}, ...params }: ChatShishuLMParams) {
    super(params);
    this.#model = model;
    this.#fields = fields;
  }

  static lc_name(): string {
    return 'ChatShishuLM';
  }

  _llmType(): string {
    return 'shishulm';
  }

  override bindTools(
    tools: BindToolsInput[],
    options: Partial<ChatShishuLMCallOptions> = {},
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, ChatShishuLMCallOptions> {
    const offered = tools.map((tool) => convertToOpenAITool(tool as never)) as NonNullable<
      ChatFields['tools']
    >;
    const choice = options.tool_choice as unknown;
    // LangChain's `any` is the service's `required`; a name stands for the tool that has it.
    const chosen =
      choice === 'any'
        ? 'required'
        : typeof choice === 'string' && !['auto', 'none', 'required'].includes(choice)
          ? { type: 'function', function: { name: choice } }
          : choice;
    const bound = { ...options, tools: offered, ...(chosen !== undefined && { tool_choice: chosen }) };
    return this.withConfig(bound as Partial<ChatShishuLMCallOptions>);
  }

  override withStructuredOutput<T extends Fields = Fields>(
    schema: OutputSchema<T>,
    config?: StructuredOutputMethodOptions<false>,
  ): Runnable<BaseLanguageModelInput, T>;
  override withStructuredOutput<T extends Fields = Fields>(
    schema: OutputSchema<T>,
    config?: StructuredOutputMethodOptions<true>,
  ): Runnable<BaseLanguageModelInput, { raw: BaseMessage; parsed: T }>;
  /** The reply is held to the schema, so models without tools have it too. */
  override withStructuredOutput(
    schema: OutputSchema<Fields>,
    config: StructuredOutputMethodOptions<boolean> = {},
  ): Runnable<BaseLanguageModelInput, never> {
    if (config.method !== undefined && config.method !== 'jsonSchema')
      return super.withStructuredOutput(
        schema as Fields,
        config as StructuredOutputMethodOptions<false>,
      ) as never;
    const response_format = {
      type: 'json_schema',
      json_schema: { name: config.name ?? 'extract', schema: toJsonSchema(schema as never) },
    } as const;
    return assembleStructuredOutputPipeline(
      this.withConfig({ response_format } as Partial<ChatShishuLMCallOptions>),
      createContentParser(schema),
      config.includeRaw,
    ) as never;
  }

  async _generate(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): Promise<ChatResult> {
    let whole: ChatGenerationChunk | undefined;
    for await (const chunk of this._streamResponseChunks(messages, options, runManager))
      whole = whole?.concat(chunk) ?? chunk;
    return { generations: [whole!] };
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const { signal, stop } = options;
    const own = Object.entries(options).filter(([name]) => !OF_LANGCHAIN.includes(name));
    const stream = await chatCompletions(this.#model).create(
      {
        ...this.#fields,
        ...Object.fromEntries(own),
        ...(stop && { stop }),
        messages: messages.map(messageOf),
        stream: true,
        stream_options: { include_usage: true },
      },
      signal ? { signal } : {},
    );
    for await (const { choices, usage } of stream) {
      const [choice] = choices;
      const { content, reasoning_content: reasoning, tool_calls: calls = [] } = choice?.delta ?? {};
      const reason: ChatFinishReason | null | undefined = choice?.finish_reason;
      const text = content ?? '';
      if (!text && !reasoning && calls.length === 0 && !reason && !usage) continue;
      const message = new AIMessageChunk({
        content: text,
        tool_call_chunks: calls.map(({ id, index, function: made }) => ({
          type: 'tool_call_chunk',
          id,
          index,
          name: made.name,
          args: made.arguments,
        })),
        ...(reasoning && { additional_kwargs: { reasoning_content: reasoning } }),
        ...(reason && { response_metadata: { finish_reason: reason } }),
        ...(usage && { usage_metadata: usageOf(usage) }),
      });
      yield new ChatGenerationChunk({ message, text });
      await runManager?.handleLLMNewToken(text);
    }
    signal?.throwIfAborted();
  }
}

export interface ShishuLMEmbeddingsParams extends EmbeddingsParams {
  /** A loaded model. */
  model: Pick<Model, 'embed'>;
  /** Options of `model.embed` for queries and for documents, as `{ instruction: 'query' }`. */
  query?: Parameters<Model['embed']>[1];
  documents?: Parameters<Model['embed']>[1];
}

/** LangChain's embeddings over one of our models. */
export class ShishuLMEmbeddings extends Embeddings {
  readonly #params: ShishuLMEmbeddingsParams;

  constructor(params: ShishuLMEmbeddingsParams) {
    super(params);
    this.#params = params;
  }

  async embedQuery(text: string): Promise<number[]> {
    const { model, query } = this.#params;
    const { embeddings } = await this.caller.call(() => model.embed(text, query));
    return Array.from(embeddings[0]!);
  }

  async embedDocuments(texts: string[]): Promise<number[][]> {
    if (texts.length === 0) return [];
    const { model, documents } = this.#params;
    const { embeddings } = await this.caller.call(() => model.embed(texts, documents));
    return embeddings.map((vector) => Array.from(vector));
  }
}
