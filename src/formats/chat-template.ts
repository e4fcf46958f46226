import { Template } from '@huggingface/jinja';
import { ShishuError } from '../errors.ts';
import { isObject, type Json } from './json.ts';
import { unmarked } from './json-text.ts';

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

/** What stands around a model's thought. */
export interface ThoughtTags {
  open: string;
  close: string;
}

/** A model's Jinja template: the text of a conversation. */
export interface ChatTemplate {
  (messages: readonly ChatTurn[], options?: ChatTemplateOptions): string;
  /** Undefined when it has no tools, or calls in a form that is not known. */
  readonly toolFormat: ToolFormat | undefined;
  /** Those that it shows. */
  readonly thoughtTags: readonly ThoughtTags[];
}

/** The text of a template, which may be another one where there are tools. */
export type Chooser = (withTools: boolean) => string;

/** A template that runs; it is parsed when first used. */
export function chatTemplate(choose: Chooser, tokenizerConfig: Json): ChatTemplate {
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
      unmarked(template.render(context)),
    );
  };
  return Object.assign(render, {
    toolFormat: toolFormatOf(choose(true)),
    thoughtTags: thoughtTagsOf(choose(true)),
  });
}

function toolFormatOf(template: string): ToolFormat | undefined {
  if (!/\btools\b/.test(template)) return undefined;
  // Some write the same tags around XML.
  if (template.includes('<tool_call>')) return template.includes('<function=') ? undefined : 'hermes';
  return template.includes('"parameters"') ? 'llama' : undefined;
}

const THOUGHT_TAGS: readonly ThoughtTags[] = [
  ...['think', 'thinking', 'thought', 'thoughts', 'reasoning', 'seed:think'].map((name) => ({
    open: `<${name}>`,
    close: `</${name}>`,
  })),
  { open: '[THINK]', close: '[/THINK]' },
  { open: '<|START_THINKING|>', close: '<|END_THINKING|>' },
  { open: '<|begin_of_thought|>', close: '<|end_of_thought|>' },
];

const thoughtTagsOf = (template: string): ThoughtTags[] =>
  THOUGHT_TAGS.filter(({ open, close }) => template.includes(open) || template.includes(close));

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
