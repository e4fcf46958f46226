import { throwIfAborted } from '../errors.ts';

interface Waiting {
  count: number;
  /** False where it gave up. */
  enter: (given: boolean) => void;
}

/** A number of places; who wants some waits for those who came before. */
export class Places {
  readonly size: number;
  #free: number;
  #closed = false;
  #waiting: Waiting[] = [];
  /** Those who come when nobody else is there or waits. */
  #late: (() => void)[] = [];

  constructor(size: number) {
    this.size = size;
    this.#free = size;
  }

  /**
   * Waits for places (default: all of them); the result gives as many back, or some of them.
   * @throws ShishuError `aborted`
   */
  async enter(count = this.size, signal?: AbortSignal): Promise<(leaving?: number) => void> {
    throwIfAborted(signal);
    let giveUp = (): void => {};
    const given = await new Promise<boolean>((enter) => {
      const mine = { count, enter };
      giveUp = () => this.#giveUp(mine);
      this.#waiting.push(mine);
      signal?.addEventListener('abort', giveUp);
      this.#admit();
    });
    signal?.removeEventListener('abort', giveUp);
    // Who is let in and aborted in one moment has the places: it is to give them back.
    if (!given) throwIfAborted(signal);
    return (leaving = count) => {
      this.#free += leaving;
      this.#admit();
    };
  }

  /** Waits until all places are free and nobody waits for them: whoever asks for them at once gets them. */
  async idle(): Promise<void> {
    while (!this.#isIdle()) await new Promise<void>((resolve) => this.#late.push(resolve));
  }

  #isIdle(): boolean {
    return this.#closed || (this.#free === this.size && this.#waiting.length === 0);
  }

  /** Lets all in who wait, now and later: there is nothing here any more that they could take from one another. */
  close(): void {
    this.#closed = true;
    this.#admit();
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      if (!this.#closed && first.count > this.#free) return;
      this.#waiting.shift();
      this.#free -= first.count;
      first.enter(true);
    }
    if (this.#isIdle()) for (const come of this.#late.splice(0)) come();
  }

  #giveUp(mine: Waiting): void {
    const at = this.#waiting.indexOf(mine);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    mine.enter(false);
    this.#admit();
  }
}
