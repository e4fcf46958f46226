/** Lets one holder in at a time, in the order they came. */
export class Queue {
  #last: Promise<void> = Promise.resolve();

  /** Waits for its turn; the result ends it. */
  async enter(): Promise<() => void> {
    const before = this.#last;
    let release!: () => void;
    this.#last = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    return release;
  }
}
