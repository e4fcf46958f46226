import { Template } from '@huggingface/jinja';
import { ShishuError } from '../errors.ts';
import { isObject, type Json, readOptionalJson } from './json.ts';
import { readOptional, type Source } from './source.ts';

const CONFIG = 'tokenizer_config.json';

/** One turn of a conversation, as the template sees it. */
export interface ChatTurn {
  role: string;
  content: string;
  [field: string]: unknown;
}

export interface ChatTemplateOptions {
  /** End with the opening of the assistant's turn (default true). */
  addGenerationPrompt?: boolean;
  /** JSON schemas of functions, for templates that know them. */
  tools?: readonly unknown[];
}

/**
 * How a model's template has it write a call: `hermes` is `<tool_call>{"name", "arguments"}</tool_call>` (also Qwen's),
 * `llama` is `{"name", "parameters"}` alone (Llama 3).
 */
export type ToolFormat = 'hermes' | 'llama';

/** A model's Jinja template: the text of a conversation. */
export interface ChatTemplate {
  (messages: readonly ChatTurn[], options?: ChatTemplateOptions): string;
  /** Undefined when it has no tools, or calls in a form that is not known. */
  readonly toolFormat: ToolFormat | undefined;
}

/**
 * Finds the template in `chat_template.jinja`, `chat_template.json` or the tokenizer's config, in that order.
 * It is parsed at its first use, so that a broken one does not keep string prompts from working.
 * @returns undefined when the model has none.
 * @throws ShishuError `io`, `bad-tokenizer`.
 */
export async function readChatTemplate(
  source: Source,
  tokenizerConfig: Json,
  signal?: AbortSignal,
): Promise<ChatTemplate | undefined> {
  const jinja = await readOptional(source, 'chat_template.jinja', signal);
  if (jinja) return chatTemplate(() => new TextDecoder().decode(jinja), tokenizerConfig);
  const file = 'chat_template.json';
  const json = await readOptionalJson(source, file, { code: 'bad-tokenizer' }, signal);
  const choose = json?.chat_template
    ? templateChooser(json.chat_template, file)
    : templateChooser(tokenizerConfig.chat_template, CONFIG);
  return choose && chatTemplate(choose, tokenizerConfig);
}

type Chooser = (withTools: boolean) => string;

/** A template is a text, or a list of named ones of which `tool_use` is for calls with tools. */
function templateChooser(value: unknown, file: string): Chooser | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return () => value;
  const named = new Map<unknown, unknown>();
  if (Array.isArray(value)) for (const item of value) if (isObject(item)) named.set(item.name, item.template);
  const plain = named.get('default');
  const tools = named.get('tool_use') ?? plain;
  if (typeof plain === 'string' && typeof tools === 'string')
    return (withTools) => (withTools ? tools : plain);
  throw new ShishuError(
    'bad-tokenizer',
    `${file}: "chat_template" is neither a text nor a list with a default.`,
    {
      details: { file },
    },
  );
}

function chatTemplate(choose: Chooser, tokenizerConfig: Json): ChatTemplate {
  const specialTokens = specialTokensOf(tokenizerConfig);
  const parsed = new Map<string, Template>();
  const parse = (text: string): Template => {
    const template = parsed.get(text) ?? new Template(text);
    parsed.set(text, template);
    return template;
  };
  const render = (
    messages: readonly ChatTurn[],
    { addGenerationPrompt = true, tools }: ChatTemplateOptions = {},
  ): string => {
    checkMessages(messages);
    if (tools && !/\btools\b/.test(choose(true)))
      throw new ShishuError('unsupported', 'The chat template of the model has no tools.', {
        details: { option: 'tools' },
        mend: 'Describe the tools in a message.',
      });
    const template = wrapped('bad-tokenizer', 'The chat template of the model cannot be read', () =>
      parse(choose(tools !== undefined)),
    );
    const context = {
      ...specialTokens,
      messages,
      tools: tools ?? null,
      add_generation_prompt: addGenerationPrompt,
    };
    return wrapped('bad-argument', 'The chat template of the model refuses these messages', () =>
      template.render(context),
    );
  };
  return Object.assign(render, { toolFormat: toolFormatOf(choose(true)) });
}

function toolFormatOf(template: string): ToolFormat | undefined {
  if (!/\btools\b/.test(template)) return undefined;
  // Some write the same tags around XML.
  if (template.includes('<tool_call>')) return template.includes('<function=') ? undefined : 'hermes';
  return template.includes('"parameters"') ? 'llama' : undefined;
}

function wrapped<T>(code: 'bad-tokenizer' | 'bad-argument', what: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw new ShishuError(code, `${what}: ${cause instanceof Error ? cause.message : cause}.`, {
      mend: code === 'bad-argument' ? 'Check roles and their order.' : 'Pass the prompt as a string.',
      cause,
    });
  }
}

/** `bos_token`, `eos_token` and the like, which may be stored as objects. */
function specialTokensOf(tokenizerConfig: Json): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(tokenizerConfig)) {
    if (!/^[a-z]+_token$/.test(key)) continue;
    const content = isObject(value) ? value.content : value;
    if (typeof content === 'string') tokens[key] = content;
  }
  return tokens;
}

function checkMessages(messages: readonly ChatTurn[]): void {
  const fail = (message: string): never => {
    throw new ShishuError('bad-argument', message, { mend: 'Give a list of {role, content}, both texts.' });
  };
  if (!Array.isArray(messages) || messages.length === 0) fail('There are no messages.');
  messages.forEach((turn: unknown, i) => {
    if (!isObject(turn) || typeof turn.role !== 'string' || typeof turn.content !== 'string')
      fail(`Message ${i} has no text for role or content.`);
  });
}
