import { download } from '../save.ts';
import { text } from '../text/index.ts';
import { type Conversation, newId } from './conversation.ts';
import type { Library } from './library.ts';
import { showNote } from './notices.ts';
import { titleFor } from './sidebar.ts';
import { exportJson, exportMarkdown, importChats } from './transfer.ts';

/** Hands conversations to the browser's downloads: all of them as JSON, or the path of one that is chosen to be read. */
export async function exportChats(
  conversations: readonly Conversation[],
  kind: 'JSON' | 'Markdown',
): Promise<void> {
  const [first] = conversations;
  if (!first) return;
  const base = conversations.length === 1 ? fileName(titleFor(first)) : 'shishulm-chats';
  const file =
    kind === 'JSON'
      ? new File([exportJson(conversations)], `${base}.json`, { type: 'application/json' })
      : new File([exportMarkdown(first, { you: text.you, model: text.model })], `${base}.md`, {
          type: 'text/markdown',
        });
  await download([file]);
}

/** Takes the conversations of a file that was exported. @throws ShishuError `bad-argument` for another file */
export async function importFile(file: File, library: Library): Promise<Conversation> {
  const found = importChats(await file.text());
  for (const conversation of found) {
    // One that is here already stays as it is here.
    if (library.get(conversation.id)) conversation.id = newId();
    library.save(conversation);
  }
  showNote(text.imported(found.length));
  return found[0]!;
}

/** A title as the name of a file. */
const fileName = (title: string): string =>
  title
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .slice(0, 60) || 'chat';
