import { importModule } from '../lazy.ts';
import type { ChatTemplate, TemplateText, Warn } from './chat-template.ts';
import { isObject, type Json, readOptionalJson } from './json.ts';
import { otherKind } from './other-kind.ts';
import { readOptional, type Source } from './source.ts';

const CONFIG = 'tokenizer_config.json';
const PLAIN = 'chat_template.jinja';
const LEGACY = 'chat_template.json';
/** Beside the one for all conversations, in a folder whose files servers do not list; for conversations with tools. */
const TOOL_USE = 'additional_chat_templates/tool_use.jinja';

type Named = Map<string, TemplateText>;

/**
 * Finds the templates in `chat_template.jinja`, `chat_template.json` or the tokenizer's config, in that order, and the one for
 * tools in `additional_chat_templates/`. A template that cannot be used is reported at its first use, so that prompts as
 * strings work all the same.
 * @returns undefined when the model has none.
 * @throws ShishuError `io`, `bad-tokenizer`.
 */
export async function readChatTemplate(
  source: Source,
  tokenizerConfig: Promise<Json | undefined>,
  signal?: AbortSignal,
  warn?: Warn,
): Promise<ChatTemplate | undefined> {
  const [config = {}, plain, json, tools] = await Promise.all([
    tokenizerConfig,
    readOptional(source, PLAIN, signal),
    readOptionalJson(source, LEGACY, { code: 'bad-tokenizer' }, signal),
    readOptional(source, TOOL_USE, signal),
  ]);
  const named: Named = plain
    ? new Map([['default', fromFile(PLAIN, plain)]])
    : json?.chat_template
      ? fromJson(LEGACY, json.chat_template)
      : fromJson(CONFIG, config.chat_template);
  if (tools) named.set('tool_use', fromFile(TOOL_USE, tools));
  if (named.size === 0) return undefined;
  const choose = (withTools: boolean): TemplateText | undefined =>
    (withTools ? named.get('tool_use') : undefined) ?? named.get('default');
  // Models without a template have no use for what runs it.
  return (await importModule(() => import('./chat-template.ts'))).chatTemplate(choose, config, warn);
}

function fromFile(file: string, bytes: Uint8Array): TemplateText {
  const other = otherKind(bytes);
  if (other) return { file, text: '', wrong: `it is ${other.what}` };
  try {
    return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { file, text: '', wrong: 'it is not UTF-8' };
  }
}

/** A template is a text; or a list of named ones, or an object of them by name. */
function fromJson(file: string, value: unknown): Named {
  if (value === undefined || value === null) return new Map();
  if (typeof value === 'string') return new Map([['default', { file, text: value }]]);
  const entries = Array.isArray(value)
    ? value.filter(isObject).map(({ name, template }): [unknown, unknown] => [name, template])
    : isObject(value)
      ? Object.entries(value)
      : [];
  const named: Named = new Map();
  for (const [name, text] of entries)
    named.set(
      String(name),
      typeof text === 'string' ? { file, text } : { file, text: '', wrong: `"${name}" is no text` },
    );
  const wrong = '"chat_template" is neither a text nor a list or an object of texts';
  return named.size > 0 ? named : new Map([['default', { file, text: '', wrong }]]);
}
