/** What may stand in JSON outside of strings. */
const OUTSIDE = /[\s{}[\],:0-9+\-.eEtrufalsn]/;

/** Finds where the JSON object that a text begins with ends, as the text comes; it judges no more than brackets and strings. */
export class ObjectScanner {
  /** Characters that were read so far; where the text turned out to be none, those before the first that does not fit. */
  #at = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  get at(): number {
    return this.#at;
  }

  /** The first characters of the text are gone from it, as many as were read or fewer. */
  drop(count: number): void {
    this.#at -= count;
  }

  /**
   * @param text all of it so far, white space before the object included
   * @returns one past the object's end; `undefined` while it is open, -1 when it is none
   */
  scan(text: string): number | undefined {
    for (; this.#at < text.length; this.#at++) {
      const char = text[this.#at]!;
      if (this.#inString) {
        if (char < ' ') return -1;
        if (this.#escaped) this.#escaped = false;
        else if (char === '\\') this.#escaped = true;
        else if (char === '"') this.#inString = false;
      } else if (char === '{' || char === '[') {
        if (this.#depth === 0 && char === '[') return -1;
        this.#depth++;
      } else if (char === '}' || char === ']') {
        if (--this.#depth === 0) return ++this.#at;
        if (this.#depth < 0) return -1;
      } else if (this.#depth === 0) {
        if (char.trim() !== '') return -1;
      } else if (char === '"') this.#inString = true;
      else if (!OUTSIDE.test(char)) return -1;
    }
    return undefined;
  }
}
