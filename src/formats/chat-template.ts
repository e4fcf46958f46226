import { ShishuError } from '../errors.ts';
import { Refusal, TemplateFault } from './jinja/faults.ts';
import { Template } from './jinja/template.ts';
import { isObject, type Json } from './json.ts';
import { unmarked } from './json-text.ts';
import { THOUGHT_TAGS, type ThoughtTags } from './reasoning.ts';
import {
  checkTemplateVariables,
  isReserved,
  type TemplateVariables,
  unreadVariables,
} from './template-variables.ts';

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
  /** Further variables of the template, as `enable_thinking`: JSON values. One that it does not read is warned of. */
  templateVariables?: TemplateVariables;
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
  /** Those that it shows. */
  readonly thoughtTags: readonly ThoughtTags[];
  /** Variables that it reads of `templateVariables`. */
  variables(): readonly string[];
}

/** A template as its file holds it. */
export interface TemplateText {
  file: string;
  text: string;
  /** Why the file holds none. */
  wrong?: string;
}

/** The template for conversations with or without tools; undefined where there is none. */
export type Chooser = (withTools: boolean) => TemplateText | undefined;

export type Warn = (message: string) => void;

/**
 * A template that runs; it is parsed when first used.
 * @param warn told of variables that it does not read, once of each set
 */
export function chatTemplate(choose: Chooser, tokenizerConfig: Json, warn: Warn = () => {}): ChatTemplate {
  const specialTokens = specialTokensOf(tokenizerConfig);
  const parsed = new Map<string, Template>();
  const parse = ({ text, wrong }: TemplateText): Template => {
    if (wrong) throw new TemplateFault(wrong);
    const template = parsed.get(text) ?? new Template(text);
    parsed.set(text, template);
    return template;
  };
  const namesOf = (text: TemplateText): string[] => {
    try {
      return [...parse(text).variables];
    } catch {
      // Reported when a conversation uses it.
      return [];
    }
  };
  let names: string[] | undefined;
  const variables = (): readonly string[] => {
    names ??= [...new Set([choose(false), choose(true)].flatMap((each) => (each ? namesOf(each) : [])))]
      .filter((name) => !isReserved(name))
      .sort();
    return names;
  };
  const warned = new Set<string>();
  const warnOnce = (message: string | undefined): void => {
    if (message === undefined || warned.has(message)) return;
    warned.add(message);
    warn(message);
  };
  const render = (
    messages: readonly ChatTurn[],
    { addGenerationPrompt = true, tools, templateVariables }: ChatTemplateOptions = {},
  ): string => {
    checkMessages(messages);
    if (templateVariables !== undefined) checkTemplateVariables('templateVariables', templateVariables);
    const chosen = choose(tools !== undefined);
    if (!chosen)
      throw new ShishuError(
        'unsupported',
        'The model has chat templates, but none for conversations without tools.',
        {
          mend: 'Give tools, or pass the prompt as a string.',
        },
      );
    if (tools && !chosen.wrong && !/\btools\b/.test(chosen.text))
      throw new ShishuError('unsupported', 'The chat template of the model has no tools.', {
        details: { option: 'tools' },
        mend: 'Describe the tools in a message.',
      });
    const context = {
      ...specialTokens,
      documents: null,
      ...templateVariables,
      messages: messages.map(withoutNulls),
      tools: tools ?? null,
      add_generation_prompt: addGenerationPrompt,
    };
    if (templateVariables !== undefined) warnOnce(unreadVariables(templateVariables, variables()));
    try {
      return unmarked(parse(chosen).render(context));
    } catch (error) {
      throw explained(error, chosen.file);
    }
  };
  const withTools = choose(true)?.text ?? '';
  return Object.assign(render, {
    toolFormat: toolFormatOf(withTools),
    thoughtTags: thoughtTagsOf(withTools),
    variables,
  });
}

/** Fields that are null are left out, as transformers does: many templates would write "None". */
const withoutNulls = (turn: ChatTurn): Json =>
  Object.fromEntries(Object.entries(turn).filter(([, value]) => value !== null && value !== undefined));

/** Whose fault it is: the template's own, or that of the messages. */
function explained(cause: unknown, file: string): ShishuError {
  const said = cause instanceof Error ? cause.message.replace(/\.$/, '') : cause;
  if (cause instanceof TemplateFault)
    return new ShishuError('bad-tokenizer', `The chat template in ${file} cannot be read: ${said}.`, {
      details: { file },
      mend: 'Pass the prompt as a string.',
      cause,
    });
  const what =
    cause instanceof Refusal
      ? 'The chat template of the model refuses these messages'
      : `The chat template in ${file} cannot write these messages`;
  return new ShishuError('bad-argument', `${what}: ${said}.`, {
    details: { file },
    mend: 'Check roles and their order, and the fields of the messages.',
    cause,
  });
}

function toolFormatOf(template: string): ToolFormat | undefined {
  if (!/\btools\b/.test(template)) return undefined;
  // Some write the same tags around XML.
  if (template.includes('<tool_call>')) return template.includes('<function=') ? undefined : 'hermes';
  return template.includes('"parameters"') ? 'llama' : undefined;
}

const thoughtTagsOf = (template: string): ThoughtTags[] =>
  THOUGHT_TAGS.filter(({ open, close }) => template.includes(open) || template.includes(close));

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
