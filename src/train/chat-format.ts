import type { Tokenizer } from '../formats/tokenizer.ts';
import type { Turn } from './corpus.ts';

/** Opens a text; also what separates chats. */
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

/** The same format in Jinja, for `tokenizer_config.json`. A user's words get a space, so that the first is like any other. */
export const CHAT_TEMPLATE =
  `{{ '${BEGIN}' }}{% for message in messages %}` +
  `{% if message['role'] == 'assistant' %}{{ '${ASSISTANT}' + message['content'] | trim }}` +
  `{% else %}{{ '${USER} ' + message['content'] | trim }}{% endif %}{{ '${END}' }}{% endfor %}` +
  `{% if add_generation_prompt %}{{ '${ASSISTANT}' }}{% endif %}`;

/** A piece of a formatted chat; the loss counts spoken pieces (the assistant's) in full. */
export interface Piece {
  text: string;
  spoken: boolean;
}

/** The pieces of a chat in order; joined they are what CHAT_TEMPLATE renders. */
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
