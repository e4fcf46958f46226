import type { ModeSetting } from '../engine/modes.ts';
import type { GenerateOptions, Message } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { ToolFormat } from '../formats/chat-template.ts';
import { markedValue } from '../formats/json-text.ts';
import type { ThoughtTags } from '../formats/reasoning.ts';
import type { TemplateVariables } from '../formats/template-variables.ts';
import type { Constraint } from '../grammar/constraint.ts';
import { refuseDeep } from '../grammar/depth.ts';
import {
  checkFlag,
  checkStreaming,
  checkText,
  describe,
  isObject,
  onlyFields,
  refuse,
  refuseUnknown,
} from './request-fields.ts';
import { type ChatTool, callConstraint, objectSchema } from './tool-calls.ts';

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
  /** The name of an adapter that is loaded chooses it; others are only repeated in the answer. */
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
  modes?: ModeSetting | null;
  /** As vLLM has it: further variables of the chat template, as `{ enable_thinking: false }`. */
  chat_template_kwargs?: TemplateVariables | null;
  /** As vLLM has it: most tokens of reasoning, as `GenerateOptions.reasoningBudget`. */
  thinking_token_budget?: number | null;
  /** Not OpenAI's: as `GenerateOptions.reasoningTags`. */
  reasoning_tags?: ThoughtTags | false | null;
  adapter?: string | null;
  /** `json_schema` and `json_object` constrain the reply: a whole one always parses, and validates. */
  response_format?: ResponseFormat | null;
  /** Functions that the model may call, where its chat template knows tools. */
  tools?: readonly ChatTool[] | null;
  /**
   * `auto` (the default with tools) leaves it to the model; `none` keeps the tools from it; `required`, or a function by
   * name, makes the whole reply one call, with arguments by its schema.
   */
  tool_choice?: 'none' | 'auto' | 'required' | { type: 'function'; function: { name: string } } | null;
  /** False keeps only the first call of a reply. */
  parallel_tool_calls?: boolean | null;
  /** Taken and not used: they are for the account or the bill. */
  user?: string | null;
  metadata?: Record<string, string> | null;
  store?: boolean | null;
}

/**
 * The schema's supported keywords are those of `GenerateOptions.constraint`; name, description and strict change nothing. The
 * schema of a `json_object`, which is not OpenAI's, is that of the object.
 */
export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json_object'; schema?: object | null }
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
  /** Names of the functions that may be called, at most how many calls are told, and whether the reply must be one. */
  tools: { names: readonly string[]; most: number; demanded: boolean } | undefined;
  /** The request's names of options, by the engine's. */
  fields: ReadonlyMap<string, string>;
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
  modes: 'modes',
  chat_template_kwargs: 'templateVariables',
  thinking_token_budget: 'reasoningBudget',
  reasoning_tags: 'reasoningTags',
  adapter: 'adapter',
} as const;

const OWN = [
  'messages',
  'model',
  'stream',
  'stream_options',
  'n',
  'response_format',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'user',
  'metadata',
  'store',
];

/**
 * @param toolFormat how the model has tools called
 * @throws ShishuError `bad-argument` naming a field that is unknown or has no sense, `unsupported` for tools without a form
 */
export function checkRequest(request: ChatRequest, toolFormat: ToolFormat | undefined): CheckedRequest {
  if (!isObject(request)) refuse('request', request, 'an object');
  const given = Object.entries(request).filter(([, value]) => value !== undefined && value !== null);
  const options: Record<string, unknown> = { temperature: 1 };
  const fields = new Map<string, string>();
  for (const [field, value] of given) {
    if (Object.hasOwn(PASSED, field)) {
      const option = PASSED[field as keyof typeof PASSED];
      const other = fields.get(option);
      if (other !== undefined && options[option] !== value)
        refuse(field, value, `${describe(options[option])}, as "${other}" has it, or only one of the two`);
      options[option] = value;
      fields.set(option, field);
    } else if (!OWN.includes(field)) refuseUnknown(field, [...OWN, ...Object.keys(PASSED)]);
  }
  const { messages, model, stream, stream_options: streaming, n, response_format: format } = request;
  const tools = checkTools(request);
  const offered = tools.offered.length > 0;
  if (offered && !toolFormat)
    throw new ShishuError(
      'unsupported',
      "The model's chat template has no tools, or has them called in a form that is not known.",
      { details: { field: 'tools' }, mend: 'Describe the tools in a message, and ask for JSON.' },
    );
  const call = tools.demanded.length > 0 ? callConstraint(toolFormat!, tools.demanded) : undefined;
  const asked = format ? constraintOf(format) : undefined;
  fields.set('constraint', asked ? 'response_format' : 'tools');
  if (asked && call) refuse('response_format', format, 'none beside a demanded tool call');
  const constraint = asked ?? call;
  const replies = n ?? 1;
  if (!Number.isInteger(replies) || replies < 1 || replies > 128)
    refuse('n', n, 'a whole number from 1 to 128');
  for (const field of ['stream', 'store', 'parallel_tool_calls'] as const) checkFlag(field, request[field]);
  for (const field of ['model', 'user'] as const) checkText(field, request[field]);
  if (!isObject(request.metadata ?? {})) refuse('metadata', request.metadata, 'an object of texts');
  for (const [name, value] of Object.entries(request.metadata ?? {})) checkText(`metadata.${name}`, value);
  checkStreaming(request);
  return {
    messages: checkMessages(messages),
    model: model ?? undefined,
    stream: stream ?? false,
    includeUsage: streaming?.include_usage ?? false,
    n: replies,
    options: { ...options, ...(constraint && { constraint }), ...(offered && { tools: tools.offered }) },
    tools: offered
      ? {
          names: tools.offered.map(({ function: { name } }) => name),
          most: request.parallel_tool_calls === false ? 1 : Number.POSITIVE_INFINITY,
          demanded: call !== undefined,
        }
      : undefined,
    fields,
  };
}

function constraintOf(format: ResponseFormat): Constraint | undefined {
  const path = 'response_format';
  if (format.type === 'text') {
    onlyFields(format, ['type'], path);
    return undefined;
  }
  if (format.type === 'json_object') {
    onlyFields(format, ['type', 'schema'], path);
    const { schema } = format;
    if (schema === undefined || schema === null) return { jsonSchema: { type: 'object' } };
    if (!isObject(schema)) refuse(`${path}.schema`, schema, 'a JSON schema');
    refuseDeep(schema, `${path}.schema`, 'field');
    return { jsonSchema: objectSchema(schema, path) };
  }
  if (format.type === 'json_schema' && isObject(format.json_schema)) {
    onlyFields(format, ['type', 'json_schema'], path);
    onlyFields(format.json_schema, ['name', 'description', 'schema', 'strict'], `${path}.json_schema`);
    const { name, description, schema, strict } = format.json_schema;
    checkText(`${path}.json_schema.name`, name);
    checkText(`${path}.json_schema.description`, description);
    checkFlag(`${path}.json_schema.strict`, strict);
    if (isObject(schema)) {
      refuseDeep(schema, `${path}.json_schema.schema`, 'field');
      return { jsonSchema: schema };
    }
  }
  return refuse(
    path,
    format,
    '{ type: "text" }, { type: "json_object" } or { type: "json_schema", json_schema: { schema } }',
  );
}

/** The tools that the model is told of, and those of which it must call one. */
function checkTools({ tools, tool_choice: choice }: ChatRequest): {
  offered: readonly ChatTool[];
  demanded: readonly ChatTool[];
} {
  if (!Array.isArray(tools ?? [])) refuse('tools', tools, 'a list');
  const all = tools ?? [];
  for (const [i, tool] of all.entries()) checkTool(tool, `tools[${i}]`);
  const wanted = choice ?? (all.length > 0 ? 'auto' : 'none');
  if (wanted === 'none') return { offered: [], demanded: [] };
  if (all.length === 0) refuse('tool_choice', choice, 'to be used with tools');
  if (wanted === 'auto') return { offered: all, demanded: [] };
  if (wanted === 'required') return { offered: all, demanded: all };
  const { type, function: named } = isObject(wanted) ? wanted : {};
  const demanded = all.filter((tool) => tool.function.name === named?.name);
  if (type !== 'function' || demanded.length === 0)
    refuse(
      'tool_choice',
      choice,
      'none, auto, required or { type: "function", function: { name } } of a tool',
    );
  onlyFields(wanted, ['type', 'function'], 'tool_choice');
  onlyFields(named!, ['name'], 'tool_choice.function');
  return { offered: all, demanded };
}

function checkTool(tool: ChatTool, path: string): void {
  const { name, description, parameters, strict } = tool?.function ?? {};
  if (
    tool?.type !== 'function' ||
    typeof name !== 'string' ||
    !((parameters ?? true) === true || isObject(parameters))
  )
    refuse(path, tool, '{ type: "function", function: { name, parameters } }');
  onlyFields(tool, ['type', 'function'], path);
  onlyFields(tool.function, ['name', 'description', 'parameters', 'strict'], `${path}.function`);
  checkText(`${path}.function.description`, description);
  checkFlag(`${path}.function.strict`, strict);
  const type = isObject(parameters) ? (parameters as { type?: unknown }).type : undefined;
  if (type !== undefined && ![type].flat().includes('object'))
    refuse(`${path}.function.parameters.type`, type, '"object"');
  refuseDeep(tool, path, 'field');
}

function checkMessages(messages: unknown): Message[] {
  if (!Array.isArray(messages) || messages.length === 0)
    return refuse('messages', messages, 'a list of messages, not empty');
  return messages.map((message: ChatMessage, i) => {
    const field = `messages[${i}]`;
    if (typeof message?.role !== 'string') refuse(`${field}.role`, message?.role, 'a role');
    const { tool_calls: calls, content, ...rest } = message;
    checkText(`${field}.reasoning_content`, rest.reasoning_content);
    if (calls === undefined || calls === null)
      return { ...rest, content: textOf(content, `${field}.content`) };
    if (!Array.isArray(calls)) refuse(`${field}.tool_calls`, calls, 'a list');
    const text = content === null || content === undefined ? '' : textOf(content, `${field}.content`);
    const made = (calls as unknown[]).map((call, j) => templateCall(call, `${field}.tool_calls[${j}]`));
    return { ...rest, content: text, tool_calls: made };
  });
}

/**
 * A call of an earlier turn as templates write it: with arguments as a value, not as the text of one. Templates also read calls
 * that are the function itself.
 */
function templateCall(call: unknown, field: string): object {
  if (!isObject(call)) refuse(field, call, '{ id, type: "function", function: { name, arguments } }');
  const { function: made, ...rest } = call as { function?: unknown };
  if (made === undefined || made === null) return calledFunction(call, field);
  if (!isObject(made)) refuse(`${field}.function`, made, '{ name, arguments }');
  return { ...rest, function: calledFunction(made, `${field}.function`) };
}

function calledFunction(made: { name?: unknown; arguments?: unknown }, field: string): object {
  if (typeof made.name !== 'string') refuse(`${field}.name`, made.name, 'the name of a function');
  return { ...made, arguments: argumentValue(made.arguments, `${field}.arguments`) };
}

/** Arguments as a value; none are an empty object. */
function argumentValue(given: unknown, field: string): unknown {
  if (given === undefined || given === null) return {};
  let value: unknown = given;
  if (typeof given === 'string') {
    if (given.trim() === '') return {};
    try {
      JSON.parse(given);
    } catch {
      return given;
    }
    value = markedValue(given);
  }
  refuseDeep(value, field, 'field');
  return value;
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
