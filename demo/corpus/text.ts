import { MEASURING_SEED_OFFSET } from '../../src/train/chat-corpus.ts';
import { textOf } from '../../src/train/chat-format.ts';
import { chatAt } from './chats.ts';

/**
 * At least so many characters of chats that training with this seed does not draw, to measure models of the corpus on.
 * @param chatFormat with the chat format's special tokens, for tokenizers that know them; else as plain lines
 */
export function chatText(seed: number, characters: number, chatFormat: boolean): string {
  const parts: string[] = [];
  for (let i = 0, length = 0; length < characters; i++) {
    const { turns } = chatAt(seed + MEASURING_SEED_OFFSET, i);
    const part = chatFormat ? textOf(turns) : `${turns.map(({ content }) => content).join('\n')}\n\n`;
    parts.push(part);
    length += part.length;
  }
  return parts.join('');
}
