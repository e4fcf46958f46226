import { piecesOf } from './chat-format.ts';
import { chatAt } from './corpus.ts';

/** So that no chat is one of those that a model of the same seed was trained on. */
export const OTHER_SEED = 1_000_003;

/**
 * Text of the built-in corpus, of chats that training with this seed does not draw: what models of it are measured on.
 * @param marked with the marks of the chat format, for tokenizers that know them; else as plain lines
 */
export function chatText(seed: number, characters: number, marked: boolean): string {
  const parts: string[] = [];
  for (let i = 0, length = 0; length < characters; i++) {
    const { turns } = chatAt(seed + OTHER_SEED, i);
    const part = marked
      ? piecesOf(turns)
          .map(({ text }) => text)
          .join('')
      : `${turns.map(({ content }) => content).join('\n')}\n\n`;
    parts.push(part);
    length += part.length;
  }
  return parts.join('');
}
