// Conversations of the chat page: versions, deletion, titles, search, and what is exported and taken back.
import { expect, it } from 'vitest';
import {
  addMessage,
  type Conversation,
  contentOf,
  exchangesOf,
  fenced,
  matches,
  newConversation,
  removeMessage,
  titleOf,
  turnVersion,
  versionsOf,
} from '../../demo/chat/conversation.ts';
import { messagesOf } from '../../demo/chat/reply.ts';
import { conversationOf, exportJson, exportMarkdown, importChats } from '../../demo/chat/transfer.ts';

function ask(conversation: Conversation, text: string, parent?: string) {
  return addMessage(conversation, { role: 'user', mode: 'chat', text, ...(parent && { parent }) });
}
function answer(conversation: Conversation, text: string, parent: string) {
  return addMessage(conversation, { role: 'assistant', mode: 'chat', text, parent, ended: 'stop' });
}
const shown = (conversation: Conversation): string =>
  exchangesOf(conversation)
    .map(({ question, reply }) => `${question.text} ${reply?.text ?? '-'}`)
    .join(', ');

function talk() {
  const conversation = newConversation();
  const q1 = ask(conversation, 'one?');
  const a1 = answer(conversation, 'first', q1.id);
  const q2 = ask(conversation, 'two?', a1.id);
  const a2 = answer(conversation, 'second', q2.id);
  return { conversation, q1, a1, q2, a2 };
}

it('versions of a reply keep what followed each', () => {
  const { conversation, q1, a1 } = talk();
  const other = answer(conversation, 'FIRST', q1.id);
  expect(shown(conversation)).toBe('one? FIRST');
  expect(versionsOf(conversation, other).map(({ text }) => text)).toEqual(['first', 'FIRST']);
  turnVersion(conversation, other, -1);
  expect(shown(conversation)).toBe('one? first, two? second');
  turnVersion(conversation, a1, -1);
  expect(shown(conversation)).toBe('one? first, two? second');
});

it('an edited question begins a branch, and the old one stays', () => {
  const { conversation, a1, q2 } = talk();
  const edited = ask(conversation, 'zwei?', a1.id);
  answer(conversation, 'zweitens', edited.id);
  expect(shown(conversation)).toBe('one? first, zwei? zweitens');
  turnVersion(conversation, edited, -1);
  expect(shown(conversation)).toBe('one? first, two? second');
  expect(versionsOf(conversation, q2)).toHaveLength(2);
});

it('a message is deleted with what followed it, its versions stay, and all of it can come back', () => {
  const { conversation, q1, a1 } = talk();
  answer(conversation, 'FIRST', q1.id);
  turnVersion(conversation, conversation.messages.at(-1)!, -1);
  const undo = removeMessage(conversation, a1);
  expect(shown(conversation)).toBe('one? FIRST');
  expect(conversation.messages).toHaveLength(2);
  undo();
  expect(shown(conversation)).toBe('one? first, two? second');
  expect(conversation.messages).toHaveLength(5);
});

it('the title is the first line of the first question, until it is given', () => {
  const { conversation } = talk();
  expect(conversation.title).toBe('one?');
  expect(titleOf('\n  two\twords \nmore')).toBe('two words');
  expect(titleOf(`${'word '.repeat(30)}`)).toMatch(/^(word ){11}word…$/);
  expect(titleOf('x'.repeat(200)).length).toBeLessThan(65);
  Object.assign(conversation, { title: 'Mine', named: true });
  ask(conversation, 'another first?');
  expect(conversation.title).toBe('Mine');
});

it('a search finds all its words in titles and messages', () => {
  const { conversation } = talk();
  expect(matches(conversation, 'SECOND one')).toBe(true);
  expect(matches(conversation, 'second three')).toBe(false);
  expect(matches(conversation, ' ')).toBe(true);
});

it('files stand before the message, in fences that they do not close', () => {
  const files = [{ name: 'a"b.md', text: 'x\n```\ny\n' }];
  const content = contentOf({ id: '', role: 'user', mode: 'chat', text: 'Why?', files, at: 0 });
  expect(content).toBe('File "a\\"b.md":\n````\nx\n```\ny\n````\n\nWhy?');
  expect(fenced('z')).toBe('```\nz\n```');
});

it('what the model is given: questions with a reply, calls, earlier reasoning, the system prompt', () => {
  const { conversation, a2 } = talk();
  a2.reasoning = 'hm';
  a2.calls = [{ said: '', name: 'clock', arguments: '', result: 'noon' }];
  const stopped = ask(conversation, 'stopped?', a2.id);
  const nothing = answer(conversation, '', stopped.id);
  ask(conversation, 'last?', nothing.id);
  expect(messagesOf(exchangesOf(conversation), 'SYS')).toEqual([
    { role: 'system', content: 'SYS' },
    { role: 'user', content: 'one?' },
    { role: 'assistant', content: 'first' },
    { role: 'user', content: 'two?' },
    {
      role: 'assistant',
      content: '',
      tool_calls: [{ type: 'function', function: { name: 'clock', arguments: {} } }],
    },
    { role: 'tool', name: 'clock', content: 'noon' },
    { role: 'assistant', content: 'second', reasoning_content: 'hm' },
    { role: 'user', content: 'last?' },
  ]);
});

it('what is exported as JSON comes back the same; Markdown is the branch that is chosen', () => {
  const { conversation, q1 } = talk();
  conversation.settings = { system: 'Be brief.' };
  expect(importChats(exportJson([conversation]))).toEqual([conversation]);
  answer(conversation, 'FIRST', q1.id);
  const names = { you: 'You', model: 'Model' };
  expect(exportMarkdown(conversation, names)).toBe(
    '# one?\n\n> Be brief.\n\n## You\n\none?\n\n## Model\n\nFIRST\n',
  );
});

it.each([
  '',
  '{}',
  '[]',
  'null',
  '{"format":"shishulm-chats","conversations":[]}',
  '{"format":"shishulm-chats","conversations":[{"id":1}]}',
])('a file that is no export is refused: %s', (text) => {
  expect(() => importChats(text)).toThrow(/no conversations of this page/);
});

it('of a conversation that was kept oddly, the odd parts are left out', () => {
  const message = { id: 'm', role: 'user', text: 'hi', at: 'x', files: [{ name: 1 }], extra: 1 };
  const orphan = { id: 'n', role: 'user', text: 'lost', parent: 'gone' };
  const kept = {
    id: 'c',
    title: 't',
    messages: [message, orphan, 7, { id: 'o' }],
    settings: { a: 1, b: 'c' },
  };
  expect(conversationOf(kept)).toEqual({
    id: 'c',
    title: 't',
    created: 0,
    updated: 0,
    settings: { b: 'c' },
    draft: '',
    messages: [{ id: 'm', role: 'user', mode: 'chat', text: 'hi', at: 0 }],
    chosen: {},
  });
  const circle = [
    { id: 'a', role: 'user', text: '', parent: 'b' },
    { id: 'b', role: 'assistant', text: '', parent: 'a' },
    { id: 'c', role: 'user', text: '', parent: 'c' },
  ];
  expect(exchangesOf(conversationOf({ id: 'x', title: '', messages: circle })!)).toEqual([]);
});
