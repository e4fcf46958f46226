import { ShishuError } from '../errors.ts';
import type { ChatTurn } from '../formats/chat-template.ts';
import { isObject } from '../formats/json.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';
import { shuffled } from '../train/random.ts';

/** A text to convert or heal with. */
export type TextPart = {
  /** What messages call it. */
  name: string;
  /** Its share of the tokens, against the other parts' (default 1). */
  weight?: number | undefined;
} & (
  | { kind: 'text'; texts: readonly string[] }
  /** Conversations, which go through the model's chat template. */
  | { kind: 'chats'; chats: readonly (readonly ChatTurn[])[] }
  /** What the model samples by itself, half of it chats. */
  | { kind: 'own' }
);

/** A text is tokenized in pieces of about so many characters, whose order is drawn: held-out windows come from all of it. */
const PIECE = 2048;

/** Pieces of texts, cut where a line ends, or a word. */
function piecesOf(texts: readonly string[]): string[] {
  const pieces: string[] = [];
  for (const text of texts)
    for (let at = 0; at < text.length; ) {
      let end = Math.min(at + PIECE, text.length);
      if (end < text.length) {
        const cut = ['\n', ' ']
          .map((mark) => text.lastIndexOf(mark, end))
          .find((cut) => cut > at + PIECE / 2);
        if (cut !== undefined) end = cut;
        // Never between the halves of a character.
        else if (/[\udc00-\udfff]/.test(text[end]!)) end++;
      }
      pieces.push(text.slice(at, end));
      at = end;
    }
  return pieces;
}

/**
 * Token ids of a part piece by piece, or chat by chat, in an order drawn by the seed: one more piece asked for changes none before.
 * @throws ShishuError `unsupported`, `bad-argument` for chats that the model's template does not write
 */
export function* tokensOf(
  part: Exclude<TextPart, { kind: 'own' }>,
  tokenizer: Tokenizer,
  seed: number,
): Generator<number[]> {
  if (part.kind === 'text')
    for (const piece of shuffled(piecesOf(part.texts), seed))
      yield tokenizer.encode(piece, { addSpecialTokens: false });
  else
    for (const chat of shuffled(part.chats, seed))
      yield tokenizer.encodeChat(chat, { addGenerationPrompt: false });
}

/**
 * Conversations of a JSONL file: an object with `messages` a line.
 * @throws ShishuError `bad-argument` naming file and line
 */
export function chatsOf(name: string, text: string): ChatTurn[][] {
  const fail = (line: number, what: string): never => {
    throw new ShishuError('bad-argument', `${name}, line ${line}: ${what}.`, {
      details: { file: name, line },
      mend: 'Give a JSON object a line, with "messages": a list of {role, content}, both texts.',
    });
  };
  const chats = text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return [];
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      return fail(i + 1, `not JSON (${(cause as Error).message})`);
    }
    const messages = isObject(value) ? value.messages : undefined;
    if (!Array.isArray(messages) || messages.length === 0) return fail(i + 1, 'there are no "messages"');
    for (const turn of messages)
      if (!isObject(turn) || typeof turn.role !== 'string' || typeof turn.content !== 'string')
        return fail(i + 1, 'a message has no text for role or content');
    return [messages as ChatTurn[]];
  });
  if (chats.length === 0)
    throw new ShishuError('bad-argument', `${name} has no conversations.`, { details: { file: name } });
  return chats;
}
