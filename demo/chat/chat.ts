import { crashNoteName } from '../../src/api/crash-notes.ts';
import type { Dtype } from '../../src/engine/types.ts';
import { ShishuError } from '../../src/errors.ts';
import { crashedLoads, estimate, type ProfileOption } from '../../src/index.ts';
import { addDtypes } from '../dtypes.ts';
import { hubOfPage } from '../hub.ts';
import { Attention } from './attention.ts';
import { announce, byId, el, isComposing } from './dom.ts';
import { Loader } from './loader.ts';
import { Log } from './log.ts';
import { clearNotices, showError, showNote } from './notices.ts';
import { fromUrl, type ModelChoice, showChosen, wirePicker } from './picker.ts';
import { fitted, promptOf, streamReply } from './reply.ts';
import { Settings } from './settings.ts';
import { Status } from './status.ts';
import { type Exchange, restore, type SavedChoice, save } from './store.ts';

const pickFolder = {
  label: 'Choose a model folder…',
  run: () => byId('pick-folder', HTMLButtonElement).click(),
};
const otherModels = {
  label: 'Other models…',
  run: () => {
    byId('model-panel', HTMLDetailsElement).open = true;
    byId('url', HTMLInputElement).focus();
  },
};

const forgotten = (exchanges: number, context: number): string =>
  `The model holds ${context} tokens: it no longer sees ${exchanges === 1 ? 'the oldest message and its reply' : `the oldest ${exchanges} messages and their replies`}.`;

/** How a model is loaded: at first, after a crash as before or smaller, or the one at hand again, whose GPU was lost. */
type Load =
  | { kind: 'first' | 'anyway' | 'reload' }
  | { kind: 'smaller'; dtype: Dtype; contextLength: number };

/** The page: one model, one conversation. */
export class Chat {
  readonly #included: readonly ModelChoice[];
  readonly #exchanges: Exchange[];
  readonly #saved = restore();
  readonly #settings: Settings;
  readonly #loader: Loader;
  readonly #profile: ProfileOption;
  readonly #log = new Log();
  readonly #status = new Status();
  readonly #attention = new Attention(() => this.#status.model(this.#loader.loaded?.model.info), showError);
  readonly #prompt = byId('prompt', HTMLTextAreaElement);
  readonly #send = byId('send', HTMLButtonElement);
  readonly #stop = byId('stop', HTMLButtonElement);
  readonly #clear = byId('clear', HTMLButtonElement);
  readonly #dtype = byId('dtype', HTMLSelectElement);
  /** The model that is wanted: loaded, loading or failed. */
  #choice: ModelChoice | undefined;
  #running: AbortController | undefined;
  /** Counts the loads: what comes of an earlier one is of no interest. */
  #loads = 0;

  constructor(included: readonly ModelChoice[], profile: ProfileOption) {
    this.#included = included;
    this.#profile = profile;
    this.#loader = new Loader(profile);
    this.#exchanges = this.#saved.exchanges;
    // A reply that a reload cut off.
    const last = this.#exchanges.at(-1);
    if (last) last.ended ??= 'aborted';
    this.#settings = new Settings(this.#saved.settings, () => this.#update());
    this.#prompt.value = this.#saved.draft;
    addDtypes(this.#dtype);
    if (this.#saved.dtype) this.#dtype.value = this.#saved.dtype;
  }

  /** Wires the page, and loads the model that is asked for, else that of before the reload, else the first included one. */
  start(asked?: string): void {
    wirePicker(this.#included, (choice) => this.#load(choice), showError);
    this.#wire();
    this.#redraw();
    this.#log.scrollToEnd();
    const saved: SavedChoice | undefined = asked ? { kind: 'included', id: asked } : this.#saved.choice;
    const choice = saved ? this.#find(saved) : this.#included[0];
    if (choice) this.#load(choice);
    else if (saved?.kind === 'folder')
      showNote(
        `The model came from the folder “${saved.name}” on your disk. After a reload it has to be chosen again.`,
        pickFolder,
      );
  }

  #find(saved: SavedChoice): ModelChoice | undefined {
    if (saved.kind === 'url') return fromUrl(saved.url);
    if (saved.kind === 'folder') return undefined;
    return this.#included.find(({ saved: own }) => own.kind === 'included' && own.id === saved.id);
  }

  #wire(): void {
    byId('composer', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit(this.#prompt.value);
    });
    this.#prompt.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.shiftKey || isComposing(event)) return;
      event.preventDefault();
      this.#submit(this.#prompt.value);
    });
    this.#prompt.addEventListener('input', () => this.#update());
    this.#stop.addEventListener('click', () => {
      this.#running?.abort();
      this.#focusPrompt();
    });
    this.#clear.addEventListener('click', () => this.#clearAll());
    this.#dtype.addEventListener('change', () => {
      if (this.#choice) this.#load(this.#choice);
    });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !isComposing(event)) this.#escape();
    });
    document.addEventListener('pointerdown', (event) => {
      for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.menu'))
        if (event.target instanceof Node && !menu.contains(event.target)) menu.open = false;
    });
    addEventListener('pagehide', () => this.#save());
    // Phones end hidden tabs without another word.
    document.addEventListener('visibilitychange', () => this.#save());
  }

  #escape(): void {
    const menu = document.querySelector<HTMLDetailsElement>('details.menu[open]');
    if (menu) {
      menu.open = false;
      menu.querySelector('summary')!.focus();
    } else {
      this.#running?.abort();
    }
  }

  async #load(choice: ModelChoice, how: Load = { kind: 'first' }): Promise<void> {
    const number = ++this.#loads;
    this.#running?.abort();
    clearNotices();
    if (how.kind === 'first' && (await this.#crashed(choice, number))) return;
    if (how.kind === 'smaller') this.#dtype.value = how.dtype;
    const dtype = this.#dtype.value as Dtype;
    const size = how.kind === 'smaller' ? { dtype, contextLength: how.contextLength } : { dtype };
    this.#choice = choice;
    this.#status.clear();
    void this.#attention.show(undefined);
    showChosen(choice);
    const load = how.kind === 'reload' ? this.#loader.reload() : this.#loader.load(choice, size);
    this.#redraw();
    try {
      const model = await load;
      if (number !== this.#loads) return;
      if (!model) this.#choice = undefined;
      this.#status.model(model?.info);
      this.#settings.suggest(model?.info.sampling);
      await this.#attention.show(this.#loader.loaded);
      if (number !== this.#loads) return;
    } catch (error) {
      if (number !== this.#loads) return;
      showError(error, { label: 'Try again', run: () => this.#load(choice, how) });
    }
    showChosen(this.#loader.loaded?.choice);
    this.#redraw();
    if (!this.#loader.loaded) return;
    announce(`${choice.label} is ready.`);
    // Only when the reader is nowhere else.
    if (document.activeElement === document.body) this.#focusPrompt();
  }

  /** Whether the tab ended when this model was last loaded; then the reader is asked, and offered less of it. */
  async #crashed(choice: ModelChoice, number: number): Promise<boolean> {
    const name = crashNoteName(choice.source);
    if (!(await crashedLoads()).some(({ model }) => model === name)) return number !== this.#loads;
    const dtype = this.#dtype.value as Dtype;
    const found = await estimate(choice.source, {
      dtype,
      profile: this.#profile,
      hub: hubOfPage(),
    }).catch(() => undefined);
    if (number !== this.#loads) return true;
    if (!found?.crashed) return false;
    const { smaller } = found;
    const less = smaller && {
      label: `Load it smaller (${smaller.dtype}, ${smaller.contextLength} tokens)`,
      run: () => this.#load(choice, { kind: 'smaller', ...smaller }),
    };
    const anyway = { label: 'Load it as before', run: () => this.#load(choice, { kind: 'anyway' }) };
    showNote(
      `The last time that ${choice.label} was loaded, the tab ended: it may need more memory than there is.`,
      ...(less ? [less] : []),
      anyway,
    );
    return true;
  }

  #submit(prompt: string): void {
    const { loaded } = this.#loader;
    if (!loaded || this.#running || prompt.trim() === '') return;
    if (!this.#settings.options()) return;
    const mode = this.#settings.mode(loaded.model.hasChatTemplate);
    this.#exchanges.push({ mode, prompt, reply: '' });
    this.#prompt.value = '';
    this.#reply();
  }

  #regenerate(): void {
    const last = this.#exchanges.at(-1);
    if (!last || this.#running || !this.#loader.loaded) return;
    last.reply = '';
    delete last.reasoning;
    delete last.reasoningSeconds;
    this.#reply();
  }

  /** Writes the reply of the last exchange, or more of it. */
  async #reply(): Promise<void> {
    const { loaded } = this.#loader;
    const options = this.#settings.options();
    const exchange = this.#exchanges.at(-1);
    if (!loaded || !options || !exchange || this.#running) return;
    const whole = promptOf(this.#exchanges, this.#settings.system);
    const forTemplate =
      typeof whole !== 'string' && this.#canThink
        ? { templateVariables: { enable_thinking: this.#settings.think } }
        : {};
    const running = new AbortController();
    this.#running = running;
    delete exchange.ended;
    clearNotices();
    this.#redraw();
    this.#focusPrompt();
    const into = { exchange, log: this.#log, status: this.#status, attention: this.#attention };
    let conversation: number[] | undefined;
    this.#attention.begin();
    try {
      const { signal } = running;
      let prompt = whole;
      if (typeof whole !== 'string') {
        const { messages, left } = await fitted(loaded.model, whole, forTemplate);
        prompt = messages;
        if (left > 0) showNote(forgotten(left, loaded.model.info.contextLength));
      }
      const result = await streamReply(loaded.model, prompt, { ...options, ...forTemplate, signal }, into);
      conversation = [...result.promptTokenIds, ...result.tokenIds];
      announce(exchange.ended === 'aborted' ? 'Stopped.' : 'The reply is complete.');
    } catch (error) {
      this.#failed(exchange, loaded.choice, error);
    } finally {
      this.#running = undefined;
      if (this.#loader.loaded === loaded) this.#attention.end(this.#exchanges.length > 0 ? conversation : []);
      this.#redraw();
      this.#save();
    }
  }

  #failed(exchange: Exchange, choice: ModelChoice, error: unknown): void {
    if (exchange.reply || exchange.reasoning || !this.#exchanges.includes(exchange)) {
      exchange.ended = 'aborted';
    } else {
      // Nothing was answered: the reader gets the prompt back.
      this.#exchanges.splice(this.#exchanges.indexOf(exchange), 1);
      this.#prompt.value ||= exchange.prompt;
    }
    const code = error instanceof ShishuError ? error.code : undefined;
    if (code === 'aborted' || this.#choice !== choice) return;
    const gone = code === 'device-lost' || code === 'disposed';
    const reload = {
      label: 'Reload the model',
      run: () => this.#load(choice, { kind: code === 'device-lost' ? 'reload' : 'anyway' }),
    };
    showError(error, ...(gone ? [reload] : []));
  }

  #clearAll(): void {
    this.#running?.abort();
    this.#exchanges.length = 0;
    if (!this.#running) this.#attention.end([]);
    clearNotices();
    this.#redraw();
    this.#save();
    announce('The conversation is cleared.');
    this.#focusPrompt();
  }

  /** Whether the reader may choose that the model thinks before it answers. */
  get #canThink(): boolean {
    return this.#loader.loaded?.model.templateVariables.includes('enable_thinking') ?? false;
  }

  /** Not on a touch screen, where it would bring the keyboard up. */
  #focusPrompt(): void {
    if (matchMedia('(pointer: fine)').matches) this.#prompt.focus();
  }

  #redraw(): void {
    this.#log.show(this.#exchanges, {
      regenerate: () => this.#regenerate(),
      continue: () => this.#reply(),
    });
    this.#update();
  }

  /** What depends on the state: buttons, hints, the welcome. */
  #update(): void {
    const { loaded, busy } = this.#loader;
    const running = this.#running !== undefined;
    this.#send.hidden = running;
    this.#stop.hidden = !running;
    this.#send.disabled = !loaded || this.#prompt.value.trim() === '';
    this.#clear.disabled = this.#exchanges.length === 0;
    const mode = this.#settings.mode(loaded?.model.hasChatTemplate ?? true);
    byId('think', HTMLLabelElement).hidden = mode !== 'chat' || !this.#canThink;
    this.#prompt.placeholder = !loaded
      ? busy
        ? 'Loading the model…'
        : 'Choose a model first'
      : mode === 'chat'
        ? 'Write a message'
        : 'Begin a text';
    for (const button of document.querySelectorAll<HTMLButtonElement>('.after button'))
      button.disabled = running || !loaded;
    this.#welcome(mode);
  }

  #welcome(mode: 'chat' | 'continue'): void {
    byId('welcome', HTMLElement).hidden = this.#exchanges.length > 0;
    const { loaded } = this.#loader;
    byId('welcome-title', HTMLHeadingElement).textContent = loaded
      ? mode === 'chat'
        ? `Chat with ${loaded.choice.label}`
        : `Write with ${loaded.choice.label}`
      : this.#loader.busy
        ? 'One moment'
        : 'Choose a model';
    const openers = loaded?.choice.openers.map((text) => ({ label: text, run: () => this.#submit(text) }));
    const buttons = openers ?? (this.#loader.busy ? [] : [pickFolder, otherModels]);
    byId('openers', HTMLDivElement).replaceChildren(
      ...buttons.map(({ label, run }) => el('button', { type: 'button', dir: 'auto', click: run }, label)),
    );
  }

  #save(): void {
    const choice = this.#choice?.saved ?? this.#saved.choice;
    save({
      exchanges: this.#exchanges,
      draft: this.#prompt.value,
      dtype: this.#dtype.value,
      settings: this.#settings.changed,
      ...(choice && { choice }),
    });
  }
}
