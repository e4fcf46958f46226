import { ANALYSIS_FILE, readAnalysis } from '../../src/convert/analysis-file.ts';
import { openSource } from '../../src/formats/open-source.ts';
import type { Model } from '../../src/index.ts';
import { hubOfPage } from '../hub.ts';
import { text } from '../text/index.ts';
import { byId, el } from './dom.ts';
import { Estimate, type Estimated } from './estimate.ts';
import { bytes, digits } from './format.ts';
import type { ModelChoice } from './model-choice.ts';

/** How many of the model's attention blocks attend: a slider, and what that does to speed, memory and perplexity. */
export class Attention {
  readonly #place = byId('attention', HTMLDivElement);
  readonly #slider = byId('attention-level', HTMLInputElement);
  readonly #kept = byId('attention-kept', HTMLOutputElement);
  readonly #figures = byId('attention-figures', HTMLUListElement);
  readonly #hint = byId('attention-hint', HTMLParagraphElement);
  readonly #onChange: () => void;
  readonly #fail: (error: unknown) => void;
  readonly #estimate: Estimate;
  #model: Model | undefined;
  /** Tokens that the model has read and written, `[]` before its first reply. */
  #conversation: readonly number[] = [];
  #order = text.fromTop;
  #speed = '';
  #estimated: Estimated = { figure: '', basis: '' };
  /** A reply is under way. */
  #busy = false;
  /** A change is on its way to the model; the last one asked for follows it. */
  #moving = false;

  /** @param onChange called when the model's sizes and modes are others */
  constructor(onChange: () => void, fail: (error: unknown) => void) {
    this.#onChange = onChange;
    this.#fail = fail;
    this.#estimate = new Estimate((estimated) => {
      this.#estimated = estimated;
      this.draw();
    });
    this.#slider.addEventListener('input', () => {
      this.#label();
      void this.#move();
    });
  }

  /** Shows the slider of a model that was just loaded, with all of its attention; without a model nothing. */
  async show(loaded: { model: Model; choice: ModelChoice } | undefined): Promise<void> {
    this.#estimate.stop();
    this.#model = loaded?.model;
    this.#conversation = [];
    this.#speed = '';
    this.#place.hidden = !loaded;
    if (!loaded) return;
    const { model, choice } = loaded;
    const layers = Object.keys(model.info.modes).length;
    this.#slider.max = String(layers);
    this.#slider.value = String(layers);
    this.#slider.disabled = true;
    this.#order = text.fromTop;
    this.draw();
    if (layers === 0) return;
    try {
      const analysis = await analysisOf(choice);
      if (analysis) {
        const mapped = Object.keys(analysis.maps).length > 0;
        if (mapped) await model.setLinearMaps(analysis.maps);
        await model.setPruneOrder(analysis);
        this.#order = mapped ? text.inOrderMapped(ANALYSIS_FILE) : text.inOrder(ANALYSIS_FILE);
      }
    } catch (error) {
      if (this.#model === model) this.#fail(error);
    }
    if (this.#model !== model) return;
    this.#slider.disabled = false;
    this.draw();
  }

  /** A reply begins: the estimate waits, as it would hold the reply up. */
  begin(): void {
    this.#busy = true;
    this.#estimate.stop();
  }

  /** Speed of the reply under way, or of the one that ended; tokens a second, if known. */
  speed(tokensPerSecond: number | undefined): void {
    this.#speed =
      tokensPerSecond && Number.isFinite(tokensPerSecond) ? text.perSecond(digits(tokensPerSecond)) : '';
    this.draw();
  }

  /** No reply is under way any more. @param conversation what the model has read and written, where that changed */
  end(conversation = this.#conversation): void {
    this.#conversation = conversation;
    this.draw();
    this.#busy = false;
    if (this.#model) this.#estimate.start(this.#model, conversation);
  }

  /** Takes the model to where the slider is. */
  async #move(): Promise<void> {
    const model = this.#model;
    if (this.#moving || !model) return;
    this.#moving = true;
    this.#estimate.stop();
    try {
      // The slider may have gone on meanwhile.
      for (let kept = -1; kept !== this.#slider.valueAsNumber; ) {
        kept = this.#slider.valueAsNumber;
        await model.setModes({ level: kept / Number(this.#slider.max) });
        if (this.#model !== model) return;
        this.#changed();
      }
      void this.#release(model);
    } catch (error) {
      if (this.#model !== model) return;
      this.#slider.value = String(attending(model).length);
      this.#fail(error);
    } finally {
      this.#moving = false;
    }
    this.#changed();
    if (!this.#busy) this.#estimate.start(model, this.#conversation);
  }

  /** Frees what the modes leave unused; the model does so behind the reply under way. */
  async #release(model: Model): Promise<void> {
    // A model that is gone has none.
    await model.releaseUnusedKv().catch(() => {});
    if (this.#model === model) this.#changed();
  }

  #changed(): void {
    this.draw();
    this.#onChange();
  }

  #label(): void {
    const { value, max } = this.#slider;
    this.#kept.textContent = text.keptBlocks(value, max);
    this.#slider.setAttribute('aria-valuetext', text.attendingBlocks(value, max));
  }

  draw(): void {
    const model = this.#model;
    if (!model) return;
    this.#label();
    const { modes, bytes: sizes } = model.info;
    const without = Object.keys(modes).filter((layer) => modes[Number(layer)] !== 'attention');
    const { figure, basis } = this.#estimated;
    this.#hint.textContent =
      this.#slider.max === '0'
        ? text.noAttention
        : without.length === 0
          ? text.allAttend(this.#order)
          : `${text.without(without, this.#order)} ${basis}`;
    const figures = [this.#speed, `${bytes(sizes.kv)} KV`, without.length > 0 ? figure : text.asFull];
    this.#figures.replaceChildren(...figures.filter(Boolean).map((figure) => el('li', {}, figure)));
  }
}

const attending = ({ info }: Model): string[] =>
  Object.keys(info.modes).filter((layer) => info.modes[Number(layer)] === 'attention');

/** The order that came with the model, and its maps. Included ones are asked only when their list says so. */
const analysisOf = async ({ source, analysed = true }: ModelChoice): ReturnType<typeof readAnalysis> =>
  analysed ? readAnalysis(openSource(source, { cache: true, hub: hubOfPage() })) : undefined;
