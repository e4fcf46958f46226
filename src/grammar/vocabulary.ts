import type { Automaton, State } from './automaton.ts';

/** Tokens sorted by their bytes: tokens with a common prefix are neighbours, so that each prefix is tried once. */
export class Vocabulary {
  readonly size: number;
  readonly #tokens: readonly (Uint8Array | undefined)[];
  /** Ids, sorted by their bytes. */
  readonly #sorted: readonly number[];
  /** By place in `#sorted`: bytes in common with the token before. */
  readonly #common: Uint16Array;

  /** @param tokens by id: a token's bytes; undefined for those that are never part of a constrained reply */
  constructor(tokens: readonly (Uint8Array | undefined)[]) {
    this.size = tokens.length;
    this.#tokens = tokens;
    this.#sorted = tokens
      .flatMap((bytes, id) => (bytes && bytes.length > 0 ? [id] : []))
      .sort((a, b) => compare(tokens[a]!, tokens[b]!));
    this.#common = new Uint16Array(this.#sorted.length);
    for (let i = 1; i < this.#sorted.length; i++)
      this.#common[i] = commonLength(tokens[this.#sorted[i - 1]!]!, tokens[this.#sorted[i]!]!);
  }

  bytes(id: number): Uint8Array | undefined {
    return this.#tokens[id];
  }

  /** Calls `found` with each token that may follow `state`, and the state after it. */
  traverse(automaton: Automaton, state: State, found: (id: number, end: State) => void): void {
    /** By depth: the state after so many bytes of the present token. */
    const path: State[] = [state];
    /** Length of the prefix that no text of the grammar has. */
    let dead = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#sorted.length; i++) {
      const common = this.#common[i]!;
      if (common >= dead) continue;
      dead = Number.POSITIVE_INFINITY;
      const id = this.#sorted[i]!;
      const bytes = this.#tokens[id]!;
      for (let at = common; at < bytes.length; at++) {
        const next = automaton.next(path[at]!, bytes[at]!);
        if (!next) {
          dead = at + 1;
          break;
        }
        path[at + 1] = next;
      }
      if (dead > bytes.length) found(id, path[bytes.length]!);
    }
  }
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  let same = 0;
  while (same < most && a[same] === b[same]) same++;
  return same;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const same = commonLength(a, b);
  return (a[same] ?? -1) - (b[same] ?? -1);
}
