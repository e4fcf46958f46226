import type { Message } from '../../src/engine/types.ts';
import type { Model } from '../../src/index.ts';
import { text } from '../text/index.ts';
import { byId } from './dom.ts';

/** Milliseconds without another change before tokens are counted. */
const PAUSE = 400;
/** From this share on, the page warns. */
const NEARLY_FULL = 0.8;

/** How much of the model's context the conversation takes, with what is being written. */
export class ContextMeter {
  readonly #place = byId('context', HTMLParagraphElement);
  readonly #meter = byId('context-meter', HTMLMeterElement);
  readonly #text = byId('context-text', HTMLSpanElement);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #count = 0;

  /** Nothing is known: there is no model. */
  hide(): void {
    clearTimeout(this.#timer);
    this.#count++;
    this.#place.hidden = true;
  }

  /** Counts soon what the model would be given. @param messages of the conversation and the draft, or a text that it goes on with */
  count(
    model: Model,
    messages: () => Message[] | string,
    options: Parameters<Model['applyChatTemplate']>[1],
  ): void {
    clearTimeout(this.#timer);
    const number = ++this.#count;
    this.#timer = setTimeout(async () => {
      try {
        const given = messages();
        const prompt =
          typeof given === 'string' || given.length === 0
            ? String(given)
            : await model.applyChatTemplate(given, options);
        const tokens = prompt === '' ? 0 : (await model.encode(prompt)).length;
        if (number === this.#count) this.#show(tokens, model.info.contextLength);
      } catch {
        // Of a model that is gone, or a template that refuses the messages; the reply says so.
        if (number === this.#count) this.hide();
      }
    }, PAUSE);
  }

  #show(used: number, length: number): void {
    const full = used > NEARLY_FULL * length;
    this.#place.hidden = used === 0;
    this.#place.classList.toggle('full', full);
    this.#meter.max = length;
    this.#meter.high = NEARLY_FULL * length;
    this.#meter.optimum = 0;
    this.#meter.value = Math.min(used, length);
    this.#meter.textContent = String(used);
    const said = text.contextOf(used, length);
    this.#text.textContent = full ? `${said}. ${text.nearlyFull(Math.max(0, length - used))}` : said;
  }
}
