import { ShishuError } from '../../src/errors.ts';
import { isObject, type Json } from '../../src/formats/json.ts';
import {
  type Attached,
  type Call,
  type ChatMessage,
  type Conversation,
  contentOf,
  exchangesOf,
  fenced,
} from './conversation.ts';

const FORMAT = 'shishulm-chats';

const texts = (value: unknown, ...names: string[]): value is Json =>
  isObject(value) && names.every((name) => typeof value[name] === 'string');
const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

/** Whether a value is a list of objects with these texts. */
const isList = (value: unknown, ...names: string[]): value is Json[] =>
  Array.isArray(value) && value.every((item) => texts(item, ...names));

/** Conversations as a file that `importChats` takes. */
export const exportJson = (conversations: readonly Conversation[]): string =>
  `${JSON.stringify({ format: FORMAT, version: 1, conversations }, null, 1)}\n`;

/** What is chosen of a conversation, to be read. */
export function exportMarkdown(conversation: Conversation, names: { you: string; model: string }): string {
  const { system } = conversation.settings;
  const parts = [`# ${conversation.title.replace(/\s+/g, ' ')}`];
  if (system) parts.push(`> ${system.replaceAll('\n', '\n> ')}`);
  for (const { question, reply } of exchangesOf(conversation)) {
    parts.push(`## ${names.you}`, contentOf(question));
    if (!reply) continue;
    parts.push(`## ${reply.model ?? names.model}`);
    if (reply.reasoning) parts.push(`> ${reply.reasoning.replaceAll('\n', '\n> ')}`);
    for (const call of reply.calls ?? [])
      parts.push(
        ...(call.said ? [call.said] : []),
        fenced(`${call.name}(${call.arguments}) → ${call.result}`),
      );
    parts.push(reply.text);
  }
  return `${parts.join('\n\n')}\n`;
}

/**
 * The conversations of a file that `exportJson` wrote.
 * @throws ShishuError `bad-argument` for another file
 */
export function importChats(text: string): Conversation[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // As a file of another kind.
  }
  const list = isObject(value) && value.format === FORMAT ? value.conversations : undefined;
  const found = Array.isArray(list) ? list.map(conversationOf) : [];
  if (found.length === 0 || found.includes(undefined))
    throw new ShishuError('bad-argument', 'The file holds no conversations of this page.', {
      mend: 'Choose a JSON file that this page exported.',
    });
  return found as Conversation[];
}

/** A value that was kept or imported, as a conversation: what is odd in it is left out; undefined for what is none. */
export function conversationOf(value: unknown): Conversation | undefined {
  if (!texts(value, 'id', 'title') || !Array.isArray(value.messages)) return undefined;
  const { id, title, created, updated, settings, draft, chosen } = value;
  const known = new Map<string, ChatMessage>();
  for (const item of value.messages) {
    const message = messageOf(item);
    if (message) known.set(message.id, message);
  }
  const onlyTexts = (from: unknown): Record<string, string> =>
    Object.fromEntries(
      Object.entries(isObject(from) ? from : {}).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string',
      ),
    );
  const at = isNumber(created) ? created : 0;
  return {
    id: id as string,
    title: title as string,
    ...(value.named === true && { named: true as const }),
    created: at,
    updated: isNumber(updated) ? updated : at,
    settings: onlyTexts(settings),
    draft: typeof draft === 'string' ? draft : '',
    messages: [...known.values()].filter(({ parent }) => parent === undefined || known.has(parent)),
    chosen: onlyTexts(chosen),
  };
}

const ENDINGS = ['stop', 'length', 'aborted'];

function messageOf(value: unknown): ChatMessage | undefined {
  if (!texts(value, 'id', 'text')) return undefined;
  const { id, parent, role, mode, text, at, files, model, reasoning, reasoningSeconds, calls, ended } = value;
  if (role !== 'user' && role !== 'assistant') return undefined;
  const isText = (field: unknown): field is string => typeof field === 'string';
  return {
    id: id as string,
    ...(isText(parent) && { parent }),
    role,
    mode: mode === 'continue' ? 'continue' : 'chat',
    text: text as string,
    at: isNumber(at) ? at : 0,
    ...(isList(files, 'name', 'text') && { files: files as unknown as Attached[] }),
    ...(isText(model) && { model }),
    ...(isText(reasoning) && { reasoning }),
    ...(isNumber(reasoningSeconds) && { reasoningSeconds }),
    ...(isList(calls, 'said', 'name', 'arguments', 'result') && { calls: calls as unknown as Call[] }),
    // One without an end was cut off with its page.
    ...(role === 'assistant' && {
      ended: (ENDINGS.includes(ended as string) ? ended : 'aborted') as NonNullable<ChatMessage['ended']>,
    }),
  };
}
