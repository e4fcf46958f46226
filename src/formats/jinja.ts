import { Template } from '@huggingface/jinja';
import { ShishuError } from '../errors.ts';
import type { ChatTemplate, ChatTemplateOptions, ChatTurn, Chooser, ToolFormat } from './chat-template.ts';
import { isObject, type Json } from './json.ts';

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
