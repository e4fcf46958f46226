import type { Tokenizer } from './tokenizer.ts';

/** Of tokenizers whose tokens were asked for; undefined where tokens have no bytes of their own. */
const tables = new WeakMap<Tokenizer, readonly (Uint8Array | undefined)[]>();

function tableOf(tokenizer: Tokenizer): readonly (Uint8Array | undefined)[] {
  let table = tables.get(tokenizer);
  if (!table) {
    try {
      table = tokenizer.tokenBytes();
    } catch {
      table = [];
    }
    tables.set(tokenizer, table);
  }
  return table;
}

/**
 * UTF-8 of a token, or of the part of a character that it is: those of a reply's tokens in a row are its text's. Control
 * tokens, which a text leaves out, are as they are written. Undefined where the tokenizer has no bytes for single tokens.
 * @param first in its text, where decoders drop a space
 */
export function writtenBytes(tokenizer: Tokenizer, id: number, first: boolean): number[] | undefined {
  const bytes = tableOf(tokenizer)[id];
  if (bytes && !(first && bytes[0] === 0x20)) return [...bytes];
  const alone = tokenizer.decode([id], { skipSpecialTokens: false });
  const decoded = [...new TextEncoder().encode(alone)];
  if (!bytes) return alone.includes('\ufffd') ? undefined : decoded;
  return decoded.length === bytes.length - 1 ? decoded : [...bytes];
}
