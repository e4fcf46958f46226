import { Peer } from '../../src/api/rpc.ts';
import { loadModel } from '../../src/engine/engine.ts';
import { ShishuError } from '../../src/errors.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { clearPlots, lines } from '../bench/plots.ts';
import { announce, byId, el } from '../chat/dom.ts';
import { attempt, showNote } from '../chat/notices.ts';
import { whyNoWebGpu } from '../chat/support.ts';
import { showPages } from '../nav.ts';
import { startPage } from '../profile.ts';
import { download } from '../save.ts';
import { tableOf } from '../table.ts';
import { readSettings } from './settings.ts';
import type { TrainProgress } from './worker.ts';

const MODELS = ['parent', 'child'] as const;
const REPLY_TOKENS = 80;

const left = (seconds: number): string =>
  seconds < 90 ? `${Math.ceil(seconds)} s left` : `${Math.round(seconds / 60)} min left`;

class Page {
  readonly #form = byId('settings', HTMLFormElement);
  readonly #run = byId('run', HTMLButtonElement);
  readonly #restart = byId('restart', HTMLButtonElement);
  readonly #loading = byId('loading', HTMLDivElement);
  readonly #bar = byId('progress', HTMLProgressElement);
  readonly #text = byId('progress-text', HTMLSpanElement);
  readonly #try = byId('try', HTMLFormElement);
  readonly #profile: ProfileOption;
  /** The worker of the present run, and the connection to it. */
  #session: { worker: Worker; peer: Peer; parameters: number[] } | undefined;
  #stop: AbortController | undefined;
  #last: TrainProgress | undefined;
  /** All points of the curves so far. */
  #points: TrainProgress['points'][] = [];

  constructor(profile: ProfileOption) {
    this.#profile = profile;
    const wire = (id: string, run: () => Promise<void> | void): void =>
      byId(id, HTMLButtonElement).addEventListener('click', () => attempt(run));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void attempt(() => this.#train());
    });
    this.#try.addEventListener('submit', (event) => {
      event.preventDefault();
      void attempt(() => this.#ask());
    });
    wire('cancel', () => this.#stop?.abort());
    wire('restart', () => this.#startOver());
    MODELS.forEach((name, i) => {
      wire(`save-${name}`, () => this.#save(i as 0 | 1));
    });
    // A closed tab loses the run: browsers ask first.
    addEventListener('beforeunload', (event) => {
      if (this.#session) event.preventDefault();
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#show());
  }

  async #begin(): Promise<Peer> {
    const settings = readSettings(this.#form);
    const why = await whyNoWebGpu();
    if (why) throw new ShishuError('no-webgpu', why);
    const file = new FormData(this.#form).get('text') as File;
    const text = file.size > 0 && { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    const peer = new Peer(worker);
    worker.addEventListener('error', (event) =>
      peer.close(new ShishuError('io', `The training worker failed: ${event.message}`)),
    );
    try {
      const parameters = await peer.call<number[]>('begin', settings, this.#profile, ...(text ? [text] : []));
      this.#session = { worker, peer, parameters };
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return peer;
  }

  async #train(): Promise<void> {
    if (this.#stop) return;
    const stop = new AbortController();
    this.#stop = stop;
    this.#busy('Learning the vocabulary and compiling the training step…');
    try {
      const peer = this.#session?.peer ?? (await this.#begin());
      this.#lock(true);
      const onProgress = (progress: TrainProgress): void => {
        this.#last = progress;
        this.#points.push(progress.points);
        this.#bar.max = progress.steps;
        this.#bar.value = progress.step;
        this.#text.textContent = `Step ${progress.step} of ${progress.steps}, ${left(progress.secondsLeft)}`;
        this.#show();
      };
      const step = await peer.call<number>('go', onProgress, stop.signal);
      announce(stop.signal.aborted ? `Stopped after step ${step}.` : 'The training is done.');
      this.#run.textContent = 'Go on';
      this.#run.hidden = !stop.signal.aborted;
      this.#try.hidden = false;
    } catch (error) {
      this.#startOver();
      throw error;
    } finally {
      this.#stop = undefined;
      this.#loading.hidden = true;
      this.#run.disabled = false;
    }
  }

  #busy(what: string): void {
    this.#loading.hidden = false;
    this.#bar.removeAttribute('value');
    this.#text.textContent = what;
    this.#run.disabled = true;
    this.#try.hidden = true;
  }

  /** The settings are those of the run that is there. */
  #lock(locked: boolean): void {
    for (const field of this.#form.querySelectorAll<HTMLInputElement | HTMLSelectElement>('input, select'))
      field.disabled = locked;
    this.#restart.hidden = !locked;
  }

  #startOver(): void {
    this.#stop?.abort();
    this.#session?.peer.close();
    this.#session?.worker.terminate();
    this.#session = undefined;
    this.#last = undefined;
    this.#points = [];
    this.#lock(false);
    this.#run.hidden = false;
    this.#run.textContent = 'Train';
    byId('report', HTMLElement).hidden = true;
    byId('replies', HTMLDListElement).replaceChildren();
  }

  #show(): void {
    const [last, session] = [this.#last, this.#session];
    if (!last || !session) return;
    byId('report', HTMLElement).hidden = false;
    byId('facts', HTMLSpanElement).textContent =
      `${last.tokens.toLocaleString('en')} tokens seen, ${last.tokensPerSecond.toFixed(0)} tokens/s together`;
    clearPlots();
    const points = this.#points.flatMap((pair) =>
      pair.map(({ step, loss }, i) => ({ model: i as 0 | 1, x: step, y: loss, low: loss, high: loss })),
    );
    byId('curve', HTMLDivElement).replaceChildren(
      lines('Training loss', 'mean of the steps since the point before', 'step', 'nats a token', points),
    );
    const held = (i: number): string => {
      const point = this.#points.findLast((pair) => pair[i]!.heldOut !== undefined)?.[i];
      return point ? `${point.heldOut!.toFixed(3)} (step ${point.step})` : '';
    };
    const row = (head: string, cell: (i: number) => string): string[] => [
      head,
      ...MODELS.map((_, i) => cell(i)),
    ];
    byId('table', HTMLDivElement).replaceChildren(
      tableOf(
        ['', 'Parent', 'Child'],
        [
          row('Parameters', (i) => session.parameters[i]!.toLocaleString('en')),
          row('Loss, nats a token', (i) => last.points[i]!.loss.toFixed(3)),
          row('Loss on held-out chats', held),
          row('A training step', (i) => `${last.stepMs[i]!.toFixed(0)} ms`),
          row('A step, to the parent’s', (i) => (last.stepMs[i]! / last.stepMs[0]!).toFixed(2)),
        ],
      ),
    );
  }

  async #ask(): Promise<void> {
    const content = String(new FormData(this.#try).get('prompt'));
    const replies = byId('replies', HTMLDListElement);
    replies.replaceChildren();
    for (const [i, name] of MODELS.entries()) {
      const said = el('dd', { dir: 'auto' }, '…');
      replies.append(el('dt', {}, `${name} says`), said);
      const files = await this.#session!.peer.call<File[]>('files', i);
      const model = await loadModel(files, { profile: this.#profile });
      try {
        let text = '';
        for await (const chunk of model.generate([{ role: 'user', content }], { maxTokens: REPLY_TOKENS })) {
          text += chunk.text;
          said.textContent = text;
        }
        if (!text) said.textContent = '(nothing)';
      } finally {
        await model.dispose();
      }
    }
    announce('Both have answered.');
  }

  async #save(which: 0 | 1): Promise<void> {
    const files = await this.#session!.peer.call<File[]>('files', which);
    await download(files);
    showNote(
      `Saved the ${files.length} files of the ${MODELS[which]}: put them into one folder, and drop that on the chat page.`,
    );
  }
}

showPages(byId('pages', HTMLElement));
await startPage((profile) => void new Page(profile));
