import type { GenerateOptions, Message } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { Constraint } from '../grammar/constraint.ts';

/** The text of a message; parts are joined. Only text is read. */
export type ChatContent = string | readonly { type: 'text'; text: string }[];

export interface ChatMessage {
  role: string;
  content: ChatContent | null;
  [field: string]: unknown;
}

/** A request in OpenAI's names. `null` and left out are the same. Fields that are not here are refused. */
export interface ChatRequest {
  messages: readonly ChatMessage[];
  /** Only repeated in the answer: the model is the one that is loaded. */
  model?: string | null;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
  /** Replies to the same messages (default 1, at most 128). */
  n?: number | null;
  stop?: string | readonly string[] | null;
  /** 0 is greedy (default 1, as OpenAI's). */
  temperature?: number | null;
  top_p?: number | null;
  max_tokens?: number | null;
  /** The newer name of `max_tokens`. */
  max_completion_tokens?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  /** Reply i is drawn with `seed + i`. */
  seed?: number | null;
  frequency_penalty?: number | null;
  presence_penalty?: number | null;
  logit_bias?: Record<string, number> | null;
  /** Not OpenAI's: as in `GenerateOptions`. */
  top_k?: number | null;
  min_p?: number | null;
  repetition_penalty?: number | null;
  /** `json_schema` and `json_object` constrain the reply: a whole one always parses, and validates. */
  response_format?: ResponseFormat | null;
  /** Taken and not used: they are for the account or the bill. */
  user?: string | null;
  metadata?: Record<string, string> | null;
  store?: boolean | null;
}

/** The schema's supported keywords are those of `GenerateOptions.constraint`; name, description and strict change nothing. */
export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema';
      json_schema: { name?: string; description?: string; schema?: object; strict?: boolean | null };
    };

export interface CheckedRequest {
  messages: Message[];
  model: string | undefined;
  stream: boolean;
  includeUsage: boolean;
  n: number;
  options: GenerateOptions;
}

/** OpenAI's names of options that pass through; `checkOptions` of the engine judges their values. */
const PASSED = {
  stop: 'stop',
  temperature: 'temperature',
  top_p: 'topP',
  max_tokens: 'maxTokens',
  max_completion_tokens: 'maxTokens',
  logprobs: 'logprobs',
  top_logprobs: 'topLogprobs',
  seed: 'seed',
  frequency_penalty: 'frequencyPenalty',
  presence_penalty: 'presencePenalty',
  logit_bias: 'logitBias',
  top_k: 'topK',
  min_p: 'minP',
  repetition_penalty: 'repetitionPenalty',
} as const;

const OWN = [
  'messages',
  'model',
  'stream',
  'stream_options',
  'n',
  'response_format',
  'user',
  'metadata',
  'store',
];

function refuse(field: string, value: unknown, wanted: string): never {
  throw new ShishuError('bad-argument', `Field "${field}" is ${describe(value)}, expected ${wanted}.`, {
    details: { field, value: describe(value) },
  });
}

function describe(value: unknown): string {
  return typeof value === 'object' ? (JSON.stringify(value)?.slice(0, 80) ?? 'an object') : String(value);
}

/** @throws ShishuError `bad-argument` naming a field that is unknown or has no sense. */
export function checkRequest(request: ChatRequest): CheckedRequest {
  if (typeof request !== 'object' || request === null) refuse('request', request, 'an object');
  const given = Object.entries(request).filter(([, value]) => value !== undefined && value !== null);
  const options: Record<string, unknown> = { temperature: 1 };
  for (const [field, value] of given) {
    if (Object.hasOwn(PASSED, field)) options[PASSED[field as keyof typeof PASSED]] = value;
    else if (!OWN.includes(field))
      throw new ShishuError('bad-argument', `The field "${field}" is not supported.`, {
        details: { field },
        mend: `Fields: ${[...OWN, ...Object.keys(PASSED)].join(', ')}.`,
      });
  }
  const { messages, model, stream, stream_options: streaming, n, response_format: format } = request;
  const constraint = format ? constraintOf(format) : undefined;
  const replies = n ?? 1;
  if (!Number.isInteger(replies) || replies < 1 || replies > 128)
    refuse('n', n, 'a whole number from 1 to 128');
  if (typeof (stream ?? false) !== 'boolean') refuse('stream', stream, 'true or false');
  for (const name of Object.keys(streaming ?? {}))
    if (name !== 'include_usage') refuse(`stream_options.${name}`, streaming, 'only include_usage');
  if (streaming && !stream) refuse('stream_options', streaming, 'to be used with "stream": true');
  return {
    messages: checkMessages(messages),
    model: model ?? undefined,
    stream: stream ?? false,
    includeUsage: streaming?.include_usage ?? false,
    n: replies,
    options: { ...options, ...(constraint && { constraint }) },
  };
}

function constraintOf(format: ResponseFormat): Constraint | undefined {
  if (format.type === 'text') return undefined;
  if (format.type === 'json_object') return { jsonSchema: { type: 'object' } };
  const { schema } = format.type === 'json_schema' ? (format.json_schema ?? {}) : {};
  if (typeof schema === 'object' && schema !== null) return { jsonSchema: schema };
  return refuse(
    'response_format',
    format,
    '{ type: "text" }, { type: "json_object" } or { type: "json_schema", json_schema: { schema } }',
  );
}

function checkMessages(messages: unknown): Message[] {
  if (!Array.isArray(messages) || messages.length === 0)
    return refuse('messages', messages, 'a list of messages, not empty');
  return messages.map((message: ChatMessage, i) => {
    if (typeof message?.role !== 'string') refuse(`messages[${i}].role`, message?.role, 'a role');
    return { ...message, content: textOf(message.content, `messages[${i}].content`) };
  });
}

function textOf(content: unknown, field: string): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return refuse(field, content, 'a text, or a list of text parts');
  return content
    .map((part, i) =>
      part?.type === 'text' && typeof part.text === 'string'
        ? part.text
        : refuse(`${field}[${i}]`, part, '{ type: "text", text }'),
    )
    .join('');
}
