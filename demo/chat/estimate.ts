import type { Model } from '../../src/index.ts';
import { text as words } from '../text/index.ts';
import { digits } from './format.ts';

/** Stands in for a conversation that has not begun. */
const TEXT =
  'Once upon a time there was a little bear. His name was Tom, and he lived in a cave by the river. One day Tom met Lily the owl. Lily had a red kite. They played with the kite all day, and they were happy.';

/** Most tokens that are scored, the latest ones. */
const MOST_TOKENS = 512;

/** Milliseconds without another change before it begins. */
const PAUSE = 300;

/** The estimate in words: a figure, and what it was made on. */
export interface Estimated {
  figure: string;
  basis: string;
}

/** How much more a text surprises the model in the modes that are set than with all of its attention. */
export class Estimate {
  readonly #tell: (estimated: Estimated) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #abort: AbortController | undefined;
  /** The text that was last scored with all attention. */
  #full: { model: Model; text: string; nll: number } | undefined;

  constructor(tell: (estimated: Estimated) => void) {
    this.#tell = tell;
  }

  /** Begins anew, when nothing more changes. With all attention there is nothing to compare. */
  start(model: Model, conversation: readonly number[]): void {
    this.stop();
    if (Object.values(model.info.modes).every((mode) => mode === 'attention')) return;
    this.#tell({ figure: words.perplexing, basis: '' });
    this.#timer = setTimeout(async () => {
      const abort = new AbortController();
      this.#abort = abort;
      const found = await this.#run(model, conversation, abort.signal).catch(
        (error: unknown): Estimated => ({ figure: words.notKnown, basis: messageOf(error) }),
      );
      if (!abort.signal.aborted) this.#tell(found);
    }, PAUSE);
  }

  /** Ends it, so that the model is free. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#tell({ figure: '', basis: '' });
  }

  async #run(model: Model, conversation: readonly number[], signal: AbortSignal): Promise<Estimated> {
    const most = Math.min(MOST_TOKENS, model.info.contextLength);
    const begun = conversation.length > 1;
    const ids = (begun ? conversation : await model.encode(TEXT)).slice(-most);
    const text = ids.join();
    if (this.#full?.model !== model || this.#full.text !== text) {
      try {
        const { nll } = await model.score(ids, { modes: {}, signal });
        this.#full = { model, text, nll };
      } finally {
        // All attention took all of the KV cache.
        await model.releaseUnusedKv();
      }
    }
    const { nll } = await model.score(ids, { signal });
    const ratio = digits(Math.exp(nll - this.#full.nll));
    return {
      figure: words.perplexity(digits(Math.exp(nll)), ratio),
      basis: words.perplexityOn(ids.length - 1, begun),
    };
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
