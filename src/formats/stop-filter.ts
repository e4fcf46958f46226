import { ShishuError } from '../errors.ts';

/**
 * Cuts a streamed text before the first of some stop strings, wherever the pieces' borders fall: the stop string
 * that is complete first wins, and text that may begin one is held back.
 */
export class StopFilter {
  readonly #stops: readonly string[];
  #held = '';
  #stopped = false;

  /** @throws ShishuError `bad-argument` for an empty stop string. */
  constructor(stops: readonly string[]) {
    if (stops.some((stop) => typeof stop !== 'string' || stop === ''))
      throw new ShishuError('bad-argument', 'A stop string is empty.', { details: { option: 'stop' } });
    this.#stops = stops;
  }

  /** Text that is now sure to be shown; `stopped` once a stop string is complete. */
  push(text: string): { text: string; stopped: boolean } {
    if (this.#stopped) return { text: '', stopped: true };
    const all = this.#held + text;
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
    const shown = this.#stopped ? start : all.length - heldLength(all, this.#stops);
    this.#held = this.#stopped ? '' : all.slice(shown);
    return { text: all.slice(0, shown), stopped: this.#stopped };
  }

  /** At the end of the text: what was held back in vain. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
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
