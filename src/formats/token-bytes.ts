import { ShishuError } from '../errors.ts';
import { isObject, type Json } from './json.ts';

/** The bytes that a token's written form stands for, in the middle of a text. */
export type TokenBytes = (token: string) => Uint8Array;

const FILE = 'tokenizer.json';
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The character that byte-level BPE writes for each byte: printable ones stay, others move past 255. */
export function byteCharacters(): string[] {
  let moved = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    return String.fromCharCode(printable ? byte : moved++);
  });
}

/**
 * How the decoder of `tokenizer.json` turns single tokens into bytes: byte-level (GPT-2, Llama 3, Qwen), or with a sign for
 * spaces and bytes as tokens (Llama 2).
 * @throws ShishuError `unsupported` for a decoder in which a token has no bytes of its own
 */
export function tokenBytes({ decoder }: Json): TokenBytes {
  const steps = isObject(decoder) && Array.isArray(decoder.decoders) ? decoder.decoders : [decoder];
  let bytes: TokenBytes = encode;
  for (const step of steps) {
    const { type, ...rest } = isObject(step) ? step : {};
    if (type === 'ByteLevel') {
      const byteOf = new Map(byteCharacters().map((char, byte) => [char, byte]));
      bytes = (token) => Uint8Array.from(token, (char) => byteOf.get(char) ?? 0x3f);
    } else if (type === 'Replace' && isObject(rest.pattern) && typeof rest.pattern.String === 'string') {
      const { String: from } = rest.pattern;
      const after = bytes;
      bytes = (token) => after(token.replaceAll(from, String(rest.content)));
    } else if (type === 'Metaspace') {
      const after = bytes;
      bytes = (token) => after(token.replaceAll(String(rest.replacement ?? '▁'), ' '));
    } else if (type === 'ByteFallback') {
      const after = bytes;
      bytes = (token) =>
        /^<0x[0-9A-F]{2}>$/i.test(token)
          ? Uint8Array.of(Number.parseInt(token.slice(3, 5), 16))
          : after(token);
    } else if (type !== 'Fuse' && type !== 'Strip')
      throw new ShishuError(
        'unsupported',
        `${FILE} has the decoder ${JSON.stringify(type ?? null)}, whose tokens have no bytes of their own.`,
        { details: { file: FILE }, mend: 'Leave the constraint out.' },
      );
  }
  return bytes;
}
