import type { Tokenizer } from '../formats/tokenizer.ts';

/** One message of a chat. */
export interface Turn {
  role: 'user' | 'assistant';
  content: string;
  /** On an assistant's turn with exactly one right answer: what kind of question it answers. */
  asks?: string;
}

/** Opens a text, and so separates chats in a row of tokens. */
export const BEGIN = '<|begin|>';
export const USER = '<|user|>';
export const ASSISTANT = '<|assistant|>';
/** Closes a turn; a model stops here. */
export const END = '<|end|>';

/** In the order of their ids, from 0. */
export const SPECIAL_TOKENS: readonly string[] = [BEGIN, USER, ASSISTANT, END];

/** Whether a tokenizer has the format's special tokens, as those of `shishulm train` do. */
export function knowsChatFormat({ decode }: Pick<Tokenizer, 'decode'>): boolean {
  const ids = SPECIAL_TOKENS.map((_, id) => id);
  return decode(ids, { skipSpecialTokens: false }) === SPECIAL_TOKENS.join('');
}

/** The format as a Jinja template. A user's text gets a space in front, so that its first word is tokenized like any other. */
export const CHAT_TEMPLATE =
  `{{ '${BEGIN}' }}{% for message in messages %}` +
  `{% if message['role'] == 'assistant' %}{{ '${ASSISTANT}' + message['content'] | trim }}` +
  `{% else %}{{ '${USER} ' + message['content'] | trim }}{% endif %}{{ '${END}' }}{% endfor %}` +
  `{% if add_generation_prompt %}{{ '${ASSISTANT}' }}{% endif %}`;

/** A piece of a formatted chat. */
export interface Piece {
  text: string;
  /** The assistant's text, with the token that ends its turn: the loss counts it in full. */
  spoken: boolean;
}

/** The pieces of a chat in order. */
export function piecesOf(turns: readonly Turn[]): Piece[] {
  return [
    { text: BEGIN, spoken: false },
    ...turns.flatMap(({ role, content }): Piece[] =>
      role === 'assistant'
        ? [
            { text: ASSISTANT, spoken: false },
            { text: `${content}${END}`, spoken: true },
          ]
        : [{ text: `${USER} ${content}${END}`, spoken: false }],
    ),
  ];
}

/** A chat in the format, as CHAT_TEMPLATE renders it. */
export const textOf = (turns: readonly Turn[]): string =>
  piecesOf(turns)
    .map(({ text }) => text)
    .join('');
