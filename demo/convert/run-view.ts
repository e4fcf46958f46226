// A conversion while it runs: its stages, what was found, and the time that is left.
import type { ConvertEvent, ConvertStage } from '../../src/convert/events.ts';
import { percentText, type StageReport } from '../../src/convert/stages.ts';
import { clock } from '../../src/convert/time-left.ts';
import { type LivePlot, livePlot } from '../bench/plots.ts';
import { byId, el } from '../chat/dom.ts';
import { type DeviceSpeed, durationText, keepSpeed } from './device-speed.ts';
import type { Work } from './forecast.ts';

type Step = keyof Work | 'loading';

const NAMES: Record<Step, string> = {
  loading: 'Loading',
  text: 'Text',
  parent: 'Parent measured',
  choosing: 'Blocks chosen',
  dropped: 'Dropped',
  linear: 'Linear maps',
  written: 'Written',
  healing: 'Healed',
  speed: 'Speed',
};
/** How lines of the part of a stage begin that takes most of its time; others say nothing of how far it is. */
const LINES: Partial<Record<Step, string>> = { choosing: 'choosing', linear: 'fitting', healing: 'healing' };
/** A stage that took less was kept from before: it says nothing of the device. */
const LEAST_SECONDS = 0.5;

export class RunView {
  readonly #place = byId('work', HTMLElement);
  readonly #bar = byId('progress', HTMLProgressElement);
  readonly #line = byId('progress-text', HTMLSpanElement);
  readonly #left = byId('time-left', HTMLSpanElement);
  readonly #items = new Map<Step, HTMLLIElement>();
  readonly #plots: Record<'cost' | 'recall' | 'loss' | 'heldOut', LivePlot> = {
    cost: livePlot(
      'What each lost block costs',
      'blocks without attention',
      'nats a token over the parent',
      'child',
    ),
    recall: livePlot('Recall', 'blocks without attention', 'share of words known', 'child'),
    loss: livePlot('Loss of healing', 'tokens trained on', 'nats a token (KL to the parent)', 'child'),
    heldOut: livePlot('Loss on held-out text', 'tokens trained on', 'nats a token (cross-entropy)', 'child'),
  };
  #work: Work = {};
  #speed: DeviceSpeed = { perSecond: 0, measured: false };
  #now: Step = 'loading';
  #began = 0;
  #stageBegan = 0;
  /** Share of the present stage that is done. */
  #share = 0;
  /** Work that was done in so many seconds. */
  #done = { work: 0, seconds: 0 };
  #timer: ReturnType<typeof setInterval> | undefined;
  #parent: StageReport | undefined;

  /** Shows a conversion that begins. */
  begin(name: string, work: Work, speed: DeviceSpeed): void {
    this.#work = work;
    this.#speed = speed;
    this.#began = performance.now();
    this.#done = { work: 0, seconds: 0 };
    this.#parent = undefined;
    this.#items.clear();
    const steps: Step[] = ['loading', ...(Object.keys(work) as (keyof Work)[])];
    for (const step of steps)
      this.#items.set(step, el('li', {}, el('span', {}, NAMES[step]), el('small', {})));
    for (const plot of Object.values(this.#plots)) plot.update([]);
    this.#place.replaceChildren(
      el('h2', { dir: 'auto' }, name),
      el('ol', { class: 'stages' }, ...this.#items.values()),
      el('div', { class: 'plots' }, ...Object.values(this.#plots).map(({ element }) => element)),
    );
    this.#place.hidden = false;
    this.#enter('loading');
    this.#timer = setInterval(() => this.#tick(), 1000);
    this.#tick();
  }

  /** A line of progress; `total` is 0 while nothing can be counted. */
  tell(what: string, done: number, total: number): void {
    if (what.startsWith('loading')) this.#enter('loading');
    else if (what.startsWith('the model makes a text')) this.#enter('text');
    this.#line.textContent =
      /%|\bof \d/.test(what) || total === 0 ? what : `${what}: ${Math.floor((100 * done) / total)} %`;
    if (total > 0) {
      if (what.startsWith(LINES[this.#now] ?? '')) this.#share = done / total;
      this.#bar.max = total;
      this.#bar.value = done;
    }
    this.#tick();
  }

  event(event: ConvertEvent): void {
    if (event.kind === 'stage') this.#enter(event.stage);
    else if (event.kind === 'step') this.#showStep(event.step);
    else if (event.kind === 'chosen') {
      const { chosen, parent } = event;
      const order = `in this order: ${chosen.map(({ layer }) => layer).join(', ')}`;
      const zero = [0, 0] as const;
      this.#plots.cost.update(
        chosen.length === 0
          ? []
          : [zero, ...chosen.map(({ nats }, i): [number, number] => [i + 1, nats - parent.nats])],
        order,
      );
      const recall = chosen.flatMap(({ recall }, i): [number, number][] =>
        recall ? [[i + 1, recall.accuracy]] : [],
      );
      if (parent.recall && recall.length > 0)
        this.#plots.recall.update(
          [[0, parent.recall.accuracy], ...recall],
          'of lists that come twice, the second time',
        );
    } else {
      const { curve, steps } = event;
      const last = curve.at(-1);
      if (!last) return;
      const end = Math.max(last.tokens, Math.round((last.tokens * steps) / last.step));
      this.#plots.loss.update(
        curve.map(({ tokens, loss }) => [tokens, loss]),
        `step ${last.step} of ${steps}`,
        end,
      );
      const held = curve.flatMap(({ tokens, heldOut }): [number, number][] =>
        heldOut === undefined ? [] : [[tokens, heldOut]],
      );
      this.#plots.heldOut.update(held, 'text that is never trained on', end);
    }
  }

  /** Draws the plots in the colours of this moment. */
  redraw(): void {
    for (const plot of Object.values(this.#plots)) plot.redraw();
  }

  /** @param complete whether all was done; what it took tells the time of the next one */
  end(complete: boolean): void {
    clearInterval(this.#timer);
    this.#finish();
    if (!complete) {
      this.#items.get(this.#now)?.classList.replace('now', 'stopped');
      return;
    }
    for (const item of this.#items.values()) item.className = 'done';
    if (this.#done.seconds > LEAST_SECONDS) void keepSpeed(this.#done.work / this.#done.seconds);
  }

  /** The stage at which all steps before this one are done. */
  #enter(step: Step): void {
    const item = this.#items.get(step);
    if (!item || (step === this.#now && item.classList.contains('now'))) return;
    this.#finish();
    this.#now = step;
    this.#stageBegan = performance.now();
    this.#share = 0;
    this.#bar.removeAttribute('value');
    this.#line.textContent = `${NAMES[step]}…`;
    let before = true;
    for (const [name, other] of this.#items) {
      if (name === step) before = false;
      other.className = name === step ? 'now' : before ? 'done' : '';
      if (name === step) other.setAttribute('aria-current', 'step');
      else other.removeAttribute('aria-current');
    }
  }

  #finish(): void {
    const seconds = (performance.now() - this.#stageBegan) / 1000;
    const work = this.#work[this.#now as ConvertStage] ?? 0;
    if (work > 0 && seconds > LEAST_SECONDS) {
      this.#done.work += work;
      this.#done.seconds += seconds;
    }
  }

  #showStep(step: StageReport): void {
    this.#parent ??= step;
    const item = this.#items.get(this.#now);
    const { perplexity } = step;
    const rise = step === this.#parent ? '' : ` (${percentText(this.#parent.perplexity, perplexity)})`;
    item?.querySelector('small')?.replaceChildren(`perplexity ${perplexity.toFixed(2)}${rise}`);
  }

  #tick(): void {
    const seconds = (performance.now() - this.#began) / 1000;
    const steps = [...this.#items.keys()];
    const at = steps.indexOf(this.#now);
    const own = this.#work[this.#now as ConvertStage] ?? 0;
    const here = (performance.now() - this.#stageBegan) / 1000;
    // The present stage counts as soon as it has come far enough to tell.
    const partial =
      this.#share > 0.05 && here > LEAST_SECONDS
        ? { work: own * this.#share, seconds: here }
        : { work: 0, seconds: 0 };
    const known = { work: this.#done.work + partial.work, seconds: this.#done.seconds + partial.seconds };
    const perSecond = known.work > 0 ? known.work / known.seconds : this.#speed.perSecond;
    const rest = steps.slice(at + 1).reduce((sum, step) => sum + (this.#work[step as ConvertStage] ?? 0), 0);
    const left = (rest + own * (1 - this.#share)) / perSecond;
    this.#left.textContent = `${clock(seconds)} so far, about ${durationText(left)} left in all`;
  }
}
