// The shapes of OpenAI's chat completions, as far as they are filled here. Source: its API reference.

export interface ChatLogprobEntry {
  token: string;
  /** Nats. */
  logprob: number;
  /** UTF-8 of the token; null where the token is part of a character. */
  bytes: number[] | null;
}

export interface ChatLogprob extends ChatLogprobEntry {
  top_logprobs: ChatLogprobEntry[];
}

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
}

export interface CompletionChoice {
  index: number;
  message: { role: 'assistant'; content: string | null; refusal: null };
  logprobs: ChatLogprobs | null;
  finish_reason: 'stop' | 'length';
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
  delta: { role?: 'assistant'; content?: string | null; refusal?: null };
  logprobs: ChatLogprobs | null;
  finish_reason: 'stop' | 'length' | null;
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
