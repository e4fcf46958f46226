import type { Tokenizer } from './tokenizer.ts';

/** Tokens before the newest that are decoded again; a character takes at most 4 tokens (bytes). */
const WINDOW = 8;
/** Most tokens kept from the beginning of the stream. */
const MAX_HEAD = 32;
const HALF = '\ufffd';

/**
 * Decodes a reply token by token: all pushes and the flush together give `decode(all ids)`, and no push ends in half
 * a character. Each push decodes a few tokens only.
 *
 * A token's text depends on those before it (bytes of one character, the space that decoders strip from the very
 * first token), so the last few tokens are decoded with and without the new one, after the stream's first ones.
 */
export class TokenStream {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecialTokens: boolean;
  #head: number[] = [];
  #headDone = false;
  #window: number[] = [];
  /** `decode(head + window)`. */
  #text = '';

  constructor(tokenizer: Tokenizer, { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}) {
    this.#tokenizer = tokenizer;
    this.#skipSpecialTokens = skipSpecialTokens;
  }

  /** The text that this token completes; empty while a character is incomplete. */
  push(id: number): string {
    if (this.#skipSpecialTokens && this.#tokenizer.isSilent(id)) return '';
    const shown = whole(this.#text).length;
    (this.#headDone ? this.#window : this.#head).push(id);
    this.#text = this.#decode();
    const text = whole(this.#text).slice(shown);
    const settled = this.#text !== '' && !this.#text.endsWith(HALF);
    this.#headDone ||= settled || this.#head.length === MAX_HEAD;
    if (this.#window.length === 2 * WINDOW) {
      this.#window = this.#window.slice(WINDOW);
      this.#text = this.#decode();
    }
    return text;
  }

  /** U+FFFD for a character that stays incomplete, or nothing. The text goes on. */
  cut(): string {
    const rest = this.#text.slice(whole(this.#text).length);
    if (rest === '') return '';
    if (!this.#headDone) this.#head = [];
    this.#window = [];
    this.#text = this.#decode();
    return rest;
  }

  /** What is left at the end: U+FFFD for an incomplete character, or nothing. The stream is empty afterwards. */
  flush(): string {
    const rest = this.#text.slice(whole(this.#text).length);
    this.#head = [];
    this.#headDone = false;
    this.#window = [];
    this.#text = '';
    return rest;
  }

  #decode(): string {
    const ids = this.#head.concat(this.#window);
    return this.#tokenizer.decode(ids, { skipSpecialTokens: this.#skipSpecialTokens });
  }
}

/** Text without the sign at its end that the next token may still replace. */
function whole(text: string): string {
  return text.endsWith(HALF) ? text.slice(0, -1) : text;
}
