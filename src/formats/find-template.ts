import { ShishuError } from '../errors.ts';
import { part } from '../part.ts';
import type { ChatTemplate, Chooser } from './chat-template.ts';
import { isObject, type Json, readOptionalJson } from './json.ts';
import { readOptional, type Source } from './source.ts';

const CONFIG = 'tokenizer_config.json';

/**
 * Finds the template in `chat_template.jinja`, `chat_template.json` or the tokenizer's config, in that order.
 * It is parsed at its first use, so that a broken one does not keep string prompts from working.
 * @returns undefined when the model has none.
 * @throws ShishuError `io`, `bad-tokenizer`.
 */
export async function readChatTemplate(
  source: Source,
  tokenizerConfig: Promise<Json | undefined>,
  signal?: AbortSignal,
): Promise<ChatTemplate | undefined> {
  const file = 'chat_template.json';
  const [config = {}, jinja, json] = await Promise.all([
    tokenizerConfig,
    readOptional(source, 'chat_template.jinja', signal),
    readOptionalJson(source, file, { code: 'bad-tokenizer' }, signal),
  ]);
  const choose = jinja
    ? () => new TextDecoder().decode(jinja)
    : json?.chat_template
      ? templateChooser(json.chat_template, file)
      : templateChooser(config.chat_template, CONFIG);
  // Models without a template have no use for what runs it.
  return choose && (await part(() => import('./chat-template.ts'))).chatTemplate(choose, config);
}

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
