// The shapes of OpenAI's chat completions, as far as they are filled here. Source: its API reference.

export interface ChatLogprobEntry {
  token: string;
  /** Nats. */
  logprob: number;
  /** UTF-8 of the token, which may be part of a character; null where the tokenizer does not tell. */
  bytes: number[] | null;
}

export interface ChatLogprob extends ChatLogprobEntry {
  top_logprobs: ChatLogprobEntry[];
}

/** Of the tokens of the answer: those of reasoning are not among them. */
export interface ChatLogprobs {
  content: ChatLogprob[] | null;
  refusal: null;
}

export interface ChatUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** Prompt tokens whose K and V were in the cache already. */
  prompt_tokens_details: { cached_tokens: number };
  /** Where the model reasoned before it answered. */
  completion_tokens_details?: { reasoning_tokens: number };
}

export interface ChatToolCall {
  /** For the `tool_call_id` of the answer. */
  id: string;
  type: 'function';
  /** `arguments` is JSON, by a model: check it before use. */
  function: { name: string; arguments: string };
}

/** `tool_calls`: the reply holds calls, whether they were demanded or not. */
export type ChatFinishReason = 'stop' | 'length' | 'tool_calls';

export interface CompletionChoice {
  index: number;
  message: {
    role: 'assistant';
    /** Null where the reply is nothing but calls. */
    content: string | null;
    refusal: null;
    /** As vLLM has it: what the model thought before its answer; absent where it did not. Templates read it in earlier turns. */
    reasoning_content?: string;
    tool_calls?: ChatToolCall[];
  };
  logprobs: ChatLogprobs | null;
  finish_reason: ChatFinishReason;
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  /** Unix seconds. */
  created: number;
  model: string;
  choices: CompletionChoice[];
  usage: ChatUsage;
}

export interface ChunkChoice {
  index: number;
  delta: {
    role?: 'assistant';
    content?: string | null;
    refusal?: null;
    reasoning_content?: string;
    /** One call, whole; `index` counts the calls of the reply. */
    tool_calls?: (ChatToolCall & { index: number })[];
  };
  logprobs: ChatLogprobs | null;
  finish_reason: ChatFinishReason | null;
}

export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: ChunkChoice[];
  /** With `stream_options.include_usage`: null but in the last chunk, which has no choices. */
  usage?: ChatUsage | null;
}
