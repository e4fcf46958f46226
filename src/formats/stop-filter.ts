import { ShishuError } from '../errors.ts';

/** A part of the text in which stop strings are looked for. */
interface Piece {
  text: string;
  /** It is looked through, and not part of the reply's text: a control token. */
  hidden: boolean;
}

/**
 * Cuts a streamed text before the first of some stop strings, wherever the pieces' borders fall: the stop string
 * that is complete first wins, and text that may begin one is held back. Control tokens count as they are written.
 */
export class StopFilter {
  readonly #stops: readonly string[];
  #held: Piece[] = [];
  #stopped = false;

  /** @throws ShishuError `bad-argument` for an empty stop string. */
  constructor(stops: readonly string[]) {
    if (stops.some((stop) => typeof stop !== 'string' || stop === ''))
      throw new ShishuError('bad-argument', 'A stop string is empty.', { details: { option: 'stop' } });
    this.#stops = stops;
  }

  /** Text that is now sure to be shown; `stopped` once a stop string is complete. */
  push(text: string, hidden = false): { text: string; stopped: boolean } {
    if (this.#stopped) return { text: '', stopped: true };
    this.#held.push({ text, hidden });
    const all = this.#held.map((piece) => piece.text).join('');
    let start = -1;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const at = all.indexOf(stop);
      const stopEnd = at + stop.length;
      if (at >= 0 && (stopEnd < end || (stopEnd === end && at < start))) {
        start = at;
        end = stopEnd;
      }
    }
    this.#stopped = start >= 0;
    const shown = this.#release(this.#stopped ? start : all.length - heldLength(all, this.#stops));
    if (this.#stopped) this.#held = [];
    return { text: shown, stopped: this.#stopped };
  }

  /** At the end of the text: what was held back in vain. */
  flush(): string {
    return this.#release(Number.POSITIVE_INFINITY);
  }

  /** Takes so many characters from what is held; what may be shown of them. */
  #release(length: number): string {
    let shown = '';
    const held: Piece[] = [];
    let at = 0;
    for (const { text, hidden } of this.#held) {
      const cut = Math.min(text.length, Math.max(0, length - at));
      if (!hidden) shown += text.slice(0, cut);
      if (cut < text.length) held.push({ text: text.slice(cut), hidden });
      at += text.length;
    }
    this.#held = held;
    return shown;
  }
}

/** Length of the longest end of a text that begins one of some strings, without being it. */
export function heldLength(text: string, strings: readonly string[]): number {
  const longest = Math.max(0, ...strings.map((each) => each.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(-length);
    if (strings.some((each) => each.startsWith(end))) return length;
  }
  return 0;
}
