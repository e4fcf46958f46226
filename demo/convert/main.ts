import { Peer } from '../../src/api/rpc.ts';
import { toTransferable } from '../../src/api/transferable.ts';
import type { ConvertEvent } from '../../src/convert/events.ts';
import type { ConvertReport } from '../../src/convert/report.ts';
import { ShishuError } from '../../src/errors.ts';
import type { SourceLike } from '../../src/formats/open-source.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { announce, byId, el } from '../chat/dom.ts';
import type { ModelChoice } from '../chat/model-choice.ts';
import { attempt, showError, showNote } from '../chat/notices.ts';
import { isPhone, keepAwake, memoryLimit } from '../chat/phone.ts';
import { includedModels } from '../chat/picker.ts';
import { showNoWebGpu, whyNoWebGpu } from '../chat/support.ts';
import { readQuietly, unmarkFields } from '../fields.ts';
import { hubOfPage } from '../hub.ts';
import { showPages } from '../nav.ts';
import { startPage } from '../profile.ts';
import { madeFolders } from '../saved-models.ts';
import { ChildForm, freeName } from './child-form.ts';
import { deviceSpeed } from './device-speed.ts';
import type { Forecast } from './forecast.ts';
import { forecastText, furtherWork, whyNoRoom } from './forecast-text.ts';
import { type Begun, begunConversions, forgetBegun, keepable, keepBegun } from './kept.ts';
import { isKept, madeFolder, madeReport, showMade, takeAway } from './made.ts';
import { ParentForm } from './parent-form.ts';
import { showAnalysis, showConverted } from './report.ts';
import type { ChildChoice, Request, TextChoice } from './request.ts';
import { RunView } from './run-view.ts';
import { SideBySide } from './side-by-side.ts';
import type { Analysed, How, Tell } from './worker.ts';

/** How often a run goes on by itself when the GPU was lost. */
const MOST_LOST = 3;

class Page {
  readonly #form = byId('settings', HTMLFormElement);
  readonly #parents: ParentForm;
  readonly #children = new ChildForm();
  readonly #how: How;
  readonly #loading = byId('loading', HTMLDivElement);
  readonly #bar = byId('progress', HTMLProgressElement);
  readonly #text = byId('progress-text', HTMLSpanElement);
  readonly #report = byId('report', HTMLElement);
  readonly #result = byId('result', HTMLElement);
  readonly #view = new RunView();
  readonly #forecast = byId('forecast', HTMLParagraphElement);
  #connection: Peer | undefined;
  /** Of the run under way. */
  #abort: AbortController | undefined;
  /** Of the forecast under way. */
  #foreseeing: AbortController | undefined;
  #panes: SideBySide | undefined;
  /** The model that was analysed last. */
  #analysed: { label: string; source: SourceLike; found: Analysed } | undefined;
  /** The result that is shown. */
  #shown: (() => Promise<void>) | undefined;
  #writing: string | undefined;
  /** Parents of this visit by their children: files that were chosen are known as long as the page is open. */
  readonly #sources = new Map<string, SourceLike>();

  constructor(included: readonly ModelChoice[], profile: ProfileOption) {
    this.#how = { profile, hub: hubOfPage() };
    this.#parents = new ParentForm(included, showError, () => this.#foresee());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#guard(() => this.#convert());
    });
    byId('analyse', HTMLButtonElement).addEventListener('click', () => this.#guard(() => this.#analyse()));
    this.#form.addEventListener('input', () => unmarkFields(this.#form));
    this.#form.addEventListener('change', () => this.#foresee());
    byId('cancel', HTMLButtonElement).addEventListener('click', () => {
      this.#abort?.abort();
      this.#text.textContent = 'Stopping; what is done is kept…';
    });
    addEventListener('beforeunload', (event) => {
      if (this.#abort) event.preventDefault();
    });
    // The plots take their colours when they are drawn.
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#view.redraw();
      void this.#shown?.();
    });
    void this.#list();
    this.#foresee();
  }

  #guard(run: () => Promise<void>): void {
    if (!this.#abort) void attempt(run);
  }

  #list(): Promise<void> {
    return showMade(
      {
        show: (name) => this.#showMade(name),
        goOn: (begun) => this.#goOn(begun),
        guard: (run) => this.#guard(run),
      },
      this.#writing,
    );
  }

  #peer(): Peer {
    if (this.#connection && !this.#connection.closed) return this.#connection;
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    const peer = new Peer(worker, {}, () => worker.terminate());
    worker.addEventListener('error', ({ message }) =>
      peer.close(new ShishuError('io', `The worker stopped: ${message ?? 'its script did not load'}.`)),
    );
    this.#connection = peer;
    return peer;
  }

  /** Runs something long, with the bar and the way to stop it. @returns false when it was stopped */
  async #busy(first: string, run: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    const abort = new AbortController();
    this.#abort = abort;
    this.#foreseeing?.abort();
    this.#forecast.textContent = '';
    const buttons = ['run', 'analyse'].map((id) => byId(id, HTMLButtonElement));
    const focused = buttons.some((button) => button === document.activeElement);
    this.#loading.hidden = false;
    byId('time-left', HTMLSpanElement).textContent = '';
    this.#text.textContent = first;
    this.#bar.removeAttribute('value');
    // A disabled button would lose the focus to the beginning of the page.
    if (focused) byId('cancel', HTMLButtonElement).focus();
    for (const button of buttons) button.disabled = true;
    const sleep = keepAwake();
    try {
      await run(abort.signal);
      return true;
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      return false;
    } finally {
      sleep();
      this.#abort = undefined;
      document.body.classList.remove('converting');
      for (const button of buttons) button.disabled = false;
      if (focused) byId('run', HTMLButtonElement).focus({ preventScroll: true });
      this.#loading.hidden = true;
      this.#foresee();
    }
  }

  /** Says beforehand what the form asks for would take; what is wrong with it is said in the same place. */
  #foresee(): void {
    this.#foreseeing?.abort();
    if (this.#abort || !this.#parents.hasParent) return;
    const abort = new AbortController();
    this.#foreseeing = abort;
    const look = async (): Promise<void> => {
      // What was said stays until then: a shorter text would move what is below it.
      this.#forecast.textContent ||= 'Looking what this takes…';
      const { parent, text, child } = readQuietly(() => ({
        ...this.#parents.read(),
        child: this.#children.readChild(),
      }));
      const [known, speed] = await Promise.all([
        this.#ask(parent.source, child, text, abort.signal),
        deviceSpeed(),
      ]);
      if (abort.signal.aborted) return;
      this.#children.showParent(known.blocks);
      this.#forecast.textContent = forecastText(known, speed);
    };
    look().catch((error: unknown) => {
      if (!abort.signal.aborted) this.#forecast.textContent = (error as Error).message;
    });
  }

  #ask(source: SourceLike, child: ChildChoice, text: TextChoice, signal: AbortSignal): Promise<Forecast> {
    // Its words are not counted by what they say.
    const asked = { ...text, texts: [] };
    return this.#peer().call<Forecast>('forecast', toTransferable(source), child, asked, this.#how, signal);
  }

  async #analyse(): Promise<void> {
    unmarkFields(this.#form);
    const { parent, text } = this.#parents.read();
    this.#clear();
    let found: Analysed | undefined;
    const tell: Tell = (what, done, total) => {
      this.#text.textContent = total > 0 ? `${what}: ${Math.floor((100 * done) / total)} %` : what;
      this.#bar.max = total || 1;
      this.#bar.value = done;
    };
    const source = toTransferable(parent.source);
    const whole = await this.#busy('Opening the parent…', async (signal) => {
      found = await this.#peer().call<Analysed>('analyse', source, text, this.#how, tell, signal);
    });
    if (!whole || !found) return announce('Stopped.');
    this.#analysed = { ...parent, found };
    const { label } = parent;
    const analysed = found;
    this.#shown = async () => showAnalysis(this.#report, label, analysed);
    await this.#shown();
    announce(`${label} is analysed.`);
    this.#report.scrollIntoView({ block: 'start' });
  }

  async #convert(): Promise<void> {
    unmarkFields(this.#form);
    const { parent, text } = this.#parents.read();
    const child = this.#children.readChild();
    const taken = (await madeFolders().catch(() => [])).map(({ folder }) => folder.name);
    const name = this.#children.readName(parent.label, taken);
    const { label, source, found } = this.#analysed ?? {};
    const same = label === parent.label && source === parent.source;
    const order = same && found ? { order: found.analysis.order } : {};
    await this.#run({ name, parent: parent.label, text, child: { ...child, ...order } }, parent.source);
  }

  /** Goes on with a conversion that was stopped, in this tab or another. */
  async #goOn({ request, source }: Begun): Promise<void> {
    let parent = source ?? this.#sources.get(request.name);
    if (typeof source === 'object') {
      type Asking = { requestPermission?(options: { mode: 'read' }): Promise<PermissionState> };
      await (source as Asking).requestPermission?.({ mode: 'read' });
    }
    if (!parent) {
      const chosen = this.#parents.hasParent ? this.#parents.read().parent : undefined;
      if (chosen?.label !== request.parent || typeof chosen.source === 'string')
        throw new ShishuError('bad-argument', `The files of ${request.parent} have to be chosen again.`, {
          mend: 'Choose or drop its folder above, then press “Go on” once more.',
        });
      parent = chosen.source;
    }
    await this.#run(request, parent);
  }

  /** Runs a conversion, or goes on with it; a lost GPU is asked for again. */
  async #run(request: Request, source: SourceLike): Promise<void> {
    this.#clear();
    const { name, child, text } = request;
    let report: ConvertReport | undefined;
    let whole = false;
    try {
      whole = await this.#busy('Looking what this takes…', async (signal) => {
        const [known, speed, storage] = await Promise.all([
          this.#ask(source, child, text, signal),
          deviceSpeed(),
          navigator.storage?.estimate?.(),
        ]);
        const free = storage?.quota === undefined ? undefined : storage.quota - (storage.usage ?? 0);
        const refusal = (await isKept(name)) ? undefined : whyNoRoom(known, memoryLimit(), free);
        if (refusal) throw refusal;
        this.#sources.set(name, source);
        const kept = keepable(source);
        await keepBegun({ request, ...(kept && { source: kept }), begun: Date.now() });
        // Else a browser that needs room may remove what was made.
        void navigator.storage?.persist?.().catch(() => false);
        this.#writing = name;
        await this.#list();
        const work = request.more === undefined ? known.work : furtherWork(known);
        this.#view.begin(name, work, speed);
        document.body.classList.add('converting');
        scrollTo({ top: 0 });
        for (let lost = 0; !report; lost++) {
          try {
            report = await this.#call(request, source, signal);
          } catch (error) {
            const again = error instanceof ShishuError && error.code === 'device-lost' && lost < MOST_LOST;
            if (!again || signal.aborted) throw error;
            showNote('The GPU was lost: going on from what was kept last.');
          }
        }
      });
    } catch (error) {
      if (error instanceof ShishuError) this.#children.mark(error.details);
      throw error;
    } finally {
      this.#writing = undefined;
      this.#view.end(whole);
      if (!whole && !(await isKept(name))) await forgetBegun(name);
      await this.#list();
    }
    if (!whole) return announce((await isKept(name)) ? 'Stopped: it can be gone on with.' : 'Stopped.');
    await this.#showMade(name);
    announce(`${name} is made.`);
  }

  #call(request: Request, source: SourceLike, signal: AbortSignal): Promise<ConvertReport> {
    const tell: Tell = (what, done, total) => {
      if (!signal.aborted) this.#view.tell(what, done, total);
    };
    const onEvent = (event: ConvertEvent): void => this.#view.event(event);
    const from = toTransferable(source);
    return this.#peer().call<ConvertReport>('convert', from, request, this.#how, tell, onEvent, signal);
  }

  #clear(): void {
    this.#shown = undefined;
    void this.#panes?.close();
    this.#panes = undefined;
    for (const place of [this.#report, this.#result]) {
      place.hidden = true;
      place.replaceChildren();
    }
  }

  /** Shows a model that was made here: its figures, and what can be done with it. */
  async #showMade(name: string): Promise<void> {
    const report = await madeReport(name);
    const begun = (await begunConversions()).find(({ request }) => request.name === name);
    const source = begun?.source ?? this.#sources.get(name);
    this.#clear();
    const actions = el('div', { class: 'exports' }, ...takeAway(name, (run) => this.#guard(run)));
    const parts: HTMLElement[] = [actions];
    if (begun && source) {
      this.#panes = new SideBySide(
        [
          { label: begun.request.parent, source: async () => source },
          { label: name, source: () => madeFolder(name) },
        ],
        this.#how.profile,
      );
      parts.push(this.#panes.element, this.#furtherForm(name, begun, source));
    }
    this.#shown = async () => showConverted(this.#result, name, report, ...parts);
    await this.#shown();
    this.#result.scrollIntoView({ block: 'start' });
  }

  /** A form to go on healing with more tokens. */
  #furtherForm(name: string, { request }: Begun, source: SourceLike): HTMLElement {
    const { heal = { tokens: 20_000 } } = request.child;
    const field = el('input', {
      name: 'more',
      value: String(heal.tokens),
      inputmode: 'numeric',
      autocomplete: 'off',
      'aria-label': 'Tokens to heal further with',
    });
    const further = async (): Promise<void> => {
      const tokens = Number(field.value);
      if (!Number.isInteger(tokens) || tokens < 1)
        throw new ShishuError('bad-argument', `"${field.value}" is no number of tokens to heal with.`);
      const taken = (await madeFolders()).map(({ folder }) => folder.name);
      const child = { ...request.child, heal: { ...heal, tokens } };
      const next = freeName(`${name.replace(/-more(-\d+)?$/, '')}-more`, taken);
      await this.#run({ ...request, name: next, child, more: name }, source);
    };
    const submit = (event: Event): void => {
      event.preventDefault();
      this.#guard(further);
    };
    return el(
      'form',
      { class: 'row ask', id: 'further', submit },
      el('span', {}, 'Heal it further with'),
      field,
      el('span', {}, 'tokens it has not seen'),
      el('button', { type: 'submit' }, 'Heal further'),
    );
  }
}

function refusePhone(): void {
  byId('settings', HTMLFormElement).hidden = true;
  byId('welcome-title', HTMLHeadingElement).textContent = 'Not on a phone';
  byId('welcome-text', HTMLParagraphElement).textContent =
    'A conversion holds the parent twice and computes for minutes to hours. Systems of phones and tablets end a page that ' +
    'takes so much memory, and pause one that is not looked at. Open this page on a computer; what is made there runs here.';
}

showPages(byId('pages', HTMLElement));
await startPage(async (profile) => {
  if (isPhone()) return refusePhone();
  const why = await whyNoWebGpu();
  if (why) {
    byId('settings', HTMLFormElement).hidden = true;
    await showNoWebGpu(why);
    return;
  }
  const included = await includedModels().catch(() => []);
  const parents = included.filter(({ saved }) => saved.kind === 'included' && saved.id !== 'child');
  new Page(parents, profile);
});
