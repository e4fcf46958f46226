/** A call of a tool in a reply: what the model said before it, how it called, and what it was told. */
export interface Call {
  said: string;
  name: string;
  /** JSON, as the model wrote it. */
  arguments: string;
  result: string;
}

/** A text file that goes along with a message. */
export interface Attached {
  name: string;
  text: string;
}

/** In `continue` mode the reply goes on from the prompt as one text. */
export type ReplyMode = 'chat' | 'continue';

/** What a reader wrote, or one version of the reply to it. */
export interface ChatMessage {
  id: string;
  /** The message before it; the first have none. */
  parent?: string;
  role: 'user' | 'assistant';
  mode: ReplyMode;
  text: string;
  /** Milliseconds since 1970. */
  at: number;
  files?: Attached[];
  /** Label of the model that wrote it. */
  model?: string;
  /** What the model thought before the reply, and how long. */
  reasoning?: string;
  reasoningSeconds?: number;
  calls?: Call[];
  /** Why the reply ended; absent while it is being written. */
  ended?: 'stop' | 'length' | 'aborted';
}

/** Messages as a tree: versions of a reply, and of an edited question, are siblings, of which one is chosen. */
export interface Conversation {
  id: string;
  title: string;
  /** The reader gave the title. */
  named?: true;
  created: number;
  updated: number;
  /** Settings that are not the defaults, the system prompt among them. */
  settings: Record<string, string>;
  draft: string;
  messages: ChatMessage[];
  /** The child that is chosen, by the id of its parent; those of no parent by `FIRST`. */
  chosen: Record<string, string>;
}

/** A question with the version of its reply that is chosen, if there is one. */
export interface Exchange {
  question: ChatMessage;
  reply?: ChatMessage;
}

const FIRST = '';
const TITLE_LENGTH = 60;

const now = (): number => Date.now();
export const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join(
    '',
  );

export function newConversation(settings: Record<string, string> = {}): Conversation {
  const at = now();
  return {
    id: newId(),
    title: '',
    created: at,
    updated: at,
    settings,
    draft: '',
    messages: [],
    chosen: {},
  };
}

const parentOf = ({ parent = FIRST }: ChatMessage): string => parent;

/** The versions of a message, itself among them, from the oldest. */
export const versionsOf = ({ messages }: Conversation, message: ChatMessage): ChatMessage[] =>
  messages.filter((other) => parentOf(other) === parentOf(message));

/** The messages that are chosen, from the first. */
export function pathOf({ messages, chosen }: Conversation): ChatMessage[] {
  const children = new Map<string, ChatMessage[]>();
  for (const message of messages) {
    const siblings = children.get(parentOf(message));
    if (siblings) siblings.push(message);
    else children.set(parentOf(message), [message]);
  }
  const path: ChatMessage[] = [];
  for (let parent = FIRST; ; parent = path.at(-1)!.id) {
    const siblings = children.get(parent);
    if (!siblings) return path;
    path.push(siblings.find(({ id }) => id === chosen[parent]) ?? siblings.at(-1)!);
    // A file that was imported may say that a message follows itself.
    children.delete(parent);
  }
}

/** The path as questions and replies. */
export function exchangesOf(conversation: Conversation): Exchange[] {
  const exchanges: Exchange[] = [];
  for (const message of pathOf(conversation)) {
    const last = exchanges.at(-1);
    if (message.role === 'user') exchanges.push({ question: message });
    else if (last && !last.reply) last.reply = message;
  }
  return exchanges;
}

/** Adds a message behind another, and chooses it. */
export function addMessage(conversation: Conversation, fields: Omit<ChatMessage, 'id' | 'at'>): ChatMessage {
  const message = { id: newId(), at: now(), ...fields };
  conversation.messages.push(message);
  choose(conversation, message);
  if (!conversation.named && fields.role === 'user' && fields.parent === undefined)
    conversation.title = titleOf(fields.text);
  return message;
}

/** Chooses a message among its versions. */
export function choose(conversation: Conversation, message: ChatMessage): void {
  conversation.chosen[parentOf(message)] = message.id;
  touch(conversation);
}

/** Chooses the version that is so many before or after. */
export function turnVersion(conversation: Conversation, message: ChatMessage, by: 1 | -1): void {
  const versions = versionsOf(conversation, message);
  const other = versions[versions.indexOf(message) + by];
  if (other) choose(conversation, other);
}

/** Removes a message and all that follows it. @returns brings it back */
export function removeMessage(conversation: Conversation, message: ChatMessage): () => void {
  const { messages, chosen } = conversation;
  const doomed = new Set([message.id]);
  for (let before = 0; before !== doomed.size; ) {
    before = doomed.size;
    for (const { id, parent } of messages) if (parent !== undefined && doomed.has(parent)) doomed.add(id);
  }
  const versions = versionsOf(conversation, message);
  const neighbour = versions[versions.indexOf(message) - 1] ?? versions[versions.indexOf(message) + 1];
  conversation.messages = messages.filter(({ id }) => !doomed.has(id));
  conversation.chosen = { ...chosen };
  if (neighbour) choose(conversation, neighbour);
  touch(conversation);
  return () => {
    conversation.messages = [...messages.filter(({ id }) => doomed.has(id)), ...conversation.messages].sort(
      (a, b) => a.at - b.at,
    );
    conversation.chosen = { ...conversation.chosen, ...chosen };
    touch(conversation);
  };
}

export function touch(conversation: Conversation): void {
  // Two changes within a millisecond are two versions of the conversation.
  conversation.updated = Math.max(now(), conversation.updated + 1);
}

/** The first line of a text with something in it, cut between words. */
export function titleOf(text: string): string {
  const line =
    text
      .split('\n')
      .find((line) => line.trim() !== '')
      ?.trim()
      .replace(/\s+/g, ' ') ?? '';
  if (line.length <= TITLE_LENGTH) return line;
  const cut = line.slice(0, TITLE_LENGTH).replace(/\s+\S*$/, '');
  return `${[...cut].slice(0, TITLE_LENGTH).join('')}…`;
}

/** Whether all words of a search are in the title or the messages. */
export function matches({ title, messages }: Conversation, search: string): boolean {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [title, ...messages.map((message) => message.text)].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}

/** What a message is to the model: its files stand before it. */
export function contentOf({ text, files = [] }: ChatMessage): string {
  const blocks = files.map((file) => `File ${JSON.stringify(file.name)}:\n${fenced(file.text)}\n\n`);
  return blocks.join('') + text;
}

/** A text as a code block, whatever fences it holds. */
export function fenced(text: string, language = ''): string {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.replace(/\n$/, '')}\n${fence}`;
}
