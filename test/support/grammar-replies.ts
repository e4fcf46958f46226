import type { ConstrainedReply } from '../../src/grammar/constraint.ts';

/**
 * A reply of random tokens that a constraint allows; `undefined` when it has not ended after `steps`. It likes to end:
 * a uniform choice would write strings for ever.
 */
export function randomReply(
  reply: ConstrainedReply,
  tokens: readonly (Uint8Array | undefined)[],
  { end, random, steps = 600 }: { end: number; random: () => number; steps?: number },
): string | undefined {
  let text = '';
  const pick = (from: readonly number[]): number => from[Math.floor(random() * from.length)]!;
  for (let step = 0; step < steps; step++) {
    const mask = reply.mask();
    const allowed = Array.from({ length: 32 * mask.length }, (_, id) => id).filter(
      (id) => (mask[id >> 5]! >> (id & 31)) & 1,
    );
    const closing = allowed.filter(
      (id) => id === end || /^[\]}",]/.test(String.fromCharCode(tokens[id]?.[0] ?? 0)),
    );
    const id = pick(closing.length > 0 && random() < 0.4 + step / steps ? closing : allowed);
    if (id === end) return text + reply.flush();
    text += reply.push(id);
    if (reply.finished) return text + reply.flush();
  }
  return undefined;
}

/** A vocabulary of all bytes and of the UTF-8 of some texts. */
export function tokensOfTexts(texts: readonly string[]): Uint8Array[] {
  const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  return [...bytes, ...texts.map((text) => new TextEncoder().encode(text))];
}
