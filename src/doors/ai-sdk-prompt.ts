// What the AI SDK asks a model, as a request in OpenAI's shapes.
import type {
  LanguageModelV4CallOptions,
  LanguageModelV4Message,
  LanguageModelV4ToolResultPart,
  SharedV4Warning,
} from '@ai-sdk/provider';
import type { ChatMessage, ChatRequest } from '../api/openai-request.ts';
import { ShishuError } from '../errors.ts';

const unsupported = (what: string): never => {
  throw new ShishuError('unsupported', `${what} is not supported: models here read text alone.`, {
    details: { option: 'prompt' },
  });
};

function resultText({ output }: LanguageModelV4ToolResultPart): string {
  if (output.type === 'text' || output.type === 'error-text') return output.value;
  if (output.type === 'execution-denied') return output.reason ?? 'The call was not allowed.';
  if (output.type !== 'content') return JSON.stringify(output.value);
  return output.value
    .map((part) => (part.type === 'text' ? part.text : unsupported(`A result of type "${part.type}"`)))
    .join('');
}

function messagesOf(message: LanguageModelV4Message): ChatMessage[] {
  const { role, content } = message;
  if (role === 'system') return [{ role, content }];
  if (role === 'tool')
    return content.map((part) =>
      part.type === 'tool-result'
        ? { role, tool_call_id: part.toolCallId, name: part.toolName, content: resultText(part) }
        : unsupported(`A message part of type "${part.type}"`),
    );
  const found = { text: '', reasoning: '', calls: [] as object[] };
  for (const part of content) {
    if (part.type === 'text') found.text += part.text;
    else if (part.type === 'reasoning') found.reasoning += part.text;
    else if (part.type === 'tool-call') {
      const made = { name: part.toolName, arguments: JSON.stringify(part.input ?? {}) };
      found.calls.push({ id: part.toolCallId, type: 'function', function: made });
    } else unsupported(`A message part of type "${part.type}"`);
  }
  return [
    {
      role,
      content: found.text,
      ...(found.reasoning && { reasoning_content: found.reasoning }),
      ...(found.calls.length > 0 && { tool_calls: found.calls }),
    },
  ];
}

/** Fields of requests that `providerOptions.shishulm` may hold, beside those that the AI SDK has names for. */
type OwnOptions = Partial<ChatRequest>;

/**
 * @returns the request, and what the AI SDK is warned of
 * @throws ShishuError `unsupported` for what is not text
 */
export function requestOf(options: LanguageModelV4CallOptions): {
  request: ChatRequest;
  warnings: SharedV4Warning[];
} {
  const { responseFormat: format, tools = [], toolChoice: choice, reasoning } = options;
  const warnings: SharedV4Warning[] = [];
  const offered = tools.flatMap((tool) => {
    if (tool.type !== 'function') {
      warnings.push({ type: 'unsupported', feature: `provider tool "${tool.id}"` });
      return [];
    }
    const { name, description, inputSchema: parameters } = tool;
    const made = {
      name,
      parameters: parameters as Record<string, unknown>,
      ...(description !== undefined && { description }),
    };
    return [{ type: 'function' as const, function: made }];
  });
  if (reasoning !== undefined && !['provider-default', 'none'].includes(reasoning))
    warnings.push({
      type: 'unsupported',
      feature: 'reasoning',
      details: 'Give providerOptions.shishulm.thinking_token_budget or chat_template_kwargs.',
    });
  const request: ChatRequest = {
    messages: options.prompt.flatMap(messagesOf),
    max_tokens: options.maxOutputTokens ?? null,
    temperature: options.temperature ?? null,
    stop: options.stopSequences ?? null,
    top_p: options.topP ?? null,
    top_k: options.topK ?? null,
    presence_penalty: options.presencePenalty ?? null,
    frequency_penalty: options.frequencyPenalty ?? null,
    seed: options.seed ?? null,
    ...(reasoning === 'none' && { chat_template_kwargs: { enable_thinking: false } }),
    ...(offered.length > 0 && {
      tools: offered,
      tool_choice:
        choice?.type === 'tool'
          ? { type: 'function', function: { name: choice.toolName } }
          : (choice?.type ?? null),
    }),
    ...(format?.type === 'json' && {
      response_format: format.schema
        ? { type: 'json_schema', json_schema: { schema: format.schema as object } }
        : { type: 'json_object' },
    }),
    ...(options.providerOptions?.shishulm as OwnOptions | undefined),
  };
  return { request, warnings };
}
