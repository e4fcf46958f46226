import type { Model, ProfileOption } from '../../src/index.ts';
import { type Language, setLanguage, text } from '../text/index.ts';
import { Attachments } from './attachments.ts';
import { Attention } from './attention.ts';
import { ContextMeter } from './context.ts';
import {
  addMessage,
  type ChatMessage,
  type Conversation,
  exchangesOf,
  newConversation,
  type ReplyMode,
  removeMessage,
  touch,
  turnVersion,
} from './conversation.ts';
import { announce, byId, fitHeight, isComposing } from './dom.ts';
import { Library } from './library.ts';
import { Log } from './log.ts';
import { fromUrl, type ModelChoice } from './model-choice.ts';
import { Models } from './models.ts';
import { clearNotices, showError, showNote } from './notices.ts';
import { Picker } from './picker.ts';
import { messagesOf } from './reply.ts';
import { Settings } from './settings.ts';
import { exportChats, importFile } from './share.ts';
import { Sidebar, titleFor } from './sidebar.ts';
import { Status } from './status.ts';
import { conversationOfTab, type SavedChoice, savedModel, saveModel, saveTab } from './store.ts';
import { showWelcome } from './welcome.ts';
import { canThink, Writer } from './writer.ts';

/** The page: one model, and the conversation that is open. */
export class Chat {
  readonly #included: readonly ModelChoice[];
  readonly #library: Library;
  readonly #models: Models;
  readonly #picker: Picker;
  readonly #sidebar: Sidebar;
  readonly #settings: Settings;
  readonly #attachments: Attachments;
  readonly #log: Log;
  readonly #writer: Writer;
  readonly #status = new Status();
  readonly #context = new ContextMeter();
  readonly #attention = new Attention(() => this.#status.model(this.#models.loaded?.model.info), showError);
  readonly #prompt = byId('prompt', HTMLTextAreaElement);
  readonly #send = byId('send', HTMLButtonElement);
  readonly #stop = byId('stop', HTMLButtonElement);
  #conversation = newConversation();

  constructor(included: readonly ModelChoice[], profile: ProfileOption) {
    this.#included = included;
    this.#settings = new Settings(() => this.#settingsChanged());
    this.#attachments = new Attachments(() => this.#update());
    this.#library = new Library(
      (id) => this.#changedElsewhere(id),
      () => showNote(text.notKept),
    );
    this.#models = new Models(profile, savedModel().dtype, {
      began: (choice) => {
        this.#writer.stop();
        this.#status.clear();
        void this.#attention.show(undefined);
        this.#picker.show(choice);
        this.#redraw();
      },
      ended: (model) => this.#modelEnded(model),
    });
    this.#picker = new Picker(included, {
      choose: (choice) => this.#models.choose(choice),
      fail: showError,
      attach: (files) => void this.#attachments.add(files),
    });
    this.#sidebar = new Sidebar(this.#library, {
      open: (conversation) => this.#open(conversation),
      // A conversation begins with the settings of the one before it.
      create: () => this.#open(newConversation(this.#settings.changed)),
      rename: (conversation, title) => {
        Object.assign(conversation, { title, named: true });
        touch(conversation);
        this.#library.save(conversation);
      },
      remove: (conversation) => this.#removeChat(conversation),
      exportChats: (conversations, kind) => void exportChats(conversations, kind),
      importFile: async (file) => this.#open(await importFile(file, this.#library), false),
    });
    this.#log = new Log({
      edit: (question, written) => this.#edit(question, written),
      regenerate: ({ question }) => void this.#writer.answer(question),
      continue: (reply) => void this.#writer.continue(reply),
      turn: (message, by) => this.#change(() => turnVersion(this.#conversation, message, by)),
      remove: (message) => this.#removeMessage(message),
      copy: (written) => void copy(written),
    });
    this.#writer = new Writer({
      models: this.#models,
      settings: this.#settings,
      log: this.#log,
      status: this.#status,
      attention: this.#attention,
      open: () => this.#conversation,
      keep: (conversation) => this.#library.save(conversation),
      redraw: () => this.#redraw(),
    });
  }

  /** Wires the page, and loads the model that is asked for, else that of the last visit. */
  async start(asked?: string): Promise<void> {
    await this.#library.open();
    const left = conversationOfTab();
    const kept = left && this.#library.get(left.id);
    // What the tab was left with may be newer than what was kept.
    if (left) {
      this.#open(
        kept && kept.updated > left.updated ? Object.assign(kept, { draft: left.draft }) : left,
        false,
      );
      this.#library.save(this.#conversation);
    } else this.#redraw();
    this.#wire();
    document.documentElement.dataset.started = '';
    const saved: SavedChoice | undefined = asked ? { kind: 'included', id: asked } : savedModel().choice;
    const choice = saved && this.#find(saved);
    if (choice) void this.#models.load(choice);
    else {
      this.#picker.show(undefined);
      void this.#picker.refresh();
      if (saved?.kind === 'folder')
        showNote(text.folderGone(saved.name), {
          label: text.page.pickFolder,
          run: () => byId('pick-folder', HTMLButtonElement).click(),
        });
    }
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
      this.#writer.stop();
      this.#focusPrompt();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !isComposing(event)) this.#escape();
    });
    document.addEventListener('pointerdown', ({ target }) => {
      for (const menu of document.querySelectorAll<HTMLDetailsElement>('details.menu[open]'))
        if (target instanceof Node && !menu.contains(target)) menu.open = false;
    });
    const language = byId('language', HTMLSelectElement);
    language.value = document.documentElement.lang;
    language.addEventListener('change', () => {
      setLanguage(language.value as Language, true);
      this.#picker.show(this.#models.wanted);
      this.#settings.mark();
      this.#attachments.draw();
      this.#attention.draw();
      this.#status.model(this.#models.loaded?.model.info);
      this.#redraw();
    });
    addEventListener('pagehide', () => this.#keep());
    // Phones end hidden tabs without another word.
    document.addEventListener('visibilitychange', () => this.#keep());
  }

  #escape(): void {
    const menu = document.querySelector<HTMLDetailsElement>('details.menu[open]');
    if (menu) {
      menu.open = false;
      menu.querySelector('summary')!.focus();
    } else if (!this.#sidebar.closeOver()) {
      this.#writer.stop();
    }
  }

  async #modelEnded(model: Model | undefined): Promise<void> {
    const { loaded, wanted } = this.#models;
    this.#status.model(model?.info);
    if (model) {
      this.#settings.suggest(model.info.sampling);
      saveModel({ ...(wanted && { choice: wanted.saved }), dtype: this.#models.dtype });
      await this.#attention.show(loaded);
      if (this.#models.loaded !== loaded) return;
    }
    this.#picker.show(loaded?.choice);
    if (!loaded) void this.#picker.refresh();
    this.#redraw();
    // Only when the reader is nowhere else.
    if (loaded && document.activeElement === document.body) this.#focusPrompt();
  }

  #submit(prompt: string): void {
    const hasFiles = this.#attachments.files.length > 0;
    if ((prompt.trim() === '' && !hasFiles) || !this.#writer.isReady()) return;
    const mode = this.#mode;
    const last = exchangesOf(this.#conversation).at(-1);
    const parent = (last?.reply ?? last?.question)?.id;
    const files = this.#attachments.take();
    this.#prompt.value = '';
    this.#ask({
      mode,
      text: prompt,
      ...(parent !== undefined && { parent }),
      ...(files.length > 0 && { files }),
    });
  }

  /** The question as it is written now is another version of it; the conversation goes on from there. */
  #edit({ mode, parent, files }: ChatMessage, written: string): void {
    if (!this.#writer.isReady()) return;
    this.#ask({ mode, text: written, ...(parent !== undefined && { parent }), ...(files && { files }) });
  }

  #ask(question: Pick<ChatMessage, 'mode' | 'text' | 'parent' | 'files'>): void {
    void this.#writer.answer(addMessage(this.#conversation, { role: 'user', ...question }));
    this.#focusPrompt();
  }

  #change(change: () => void): void {
    if (this.#writer.writesIn(this.#conversation)) return;
    change();
    this.#library.save(this.#conversation);
    this.#redraw();
  }

  #removeMessage(message: ChatMessage): void {
    const conversation = this.#conversation;
    this.#change(() => {
      const undo = removeMessage(conversation, message);
      const run = (): void => {
        undo();
        this.#library.save(conversation);
        this.#redraw();
      };
      showNote(text.removed, { label: text.undo, run });
    });
    this.#focusPrompt();
  }

  /** Opens a conversation; a reply that is being written in another goes on. */
  #open(conversation: Conversation, clears = true): void {
    this.#takeDown();
    this.#conversation = conversation;
    this.#prompt.value = conversation.draft;
    this.#settings.use(conversation.settings);
    if (!this.#writer.isRunning) this.#attention.end([]);
    if (clears) clearNotices();
    this.#redraw();
    this.#log.scrollToEnd();
    if (clears) this.#focusPrompt();
  }

  #removeChat(conversation: Conversation): void {
    if (this.#writer.writesIn(conversation)) this.#writer.stop();
    this.#library.remove(conversation.id);
    if (conversation.id === this.#conversation.id) this.#open(newConversation(this.#settings.changed));
    else this.#redraw();
    const run = (): void => {
      this.#library.save(conversation);
      this.#open(conversation);
    };
    showNote(text.chatRemoved(titleFor(conversation)), { label: text.undo, run });
  }

  #changedElsewhere(id: string): void {
    const written = this.#library.get(id);
    if (id === this.#conversation.id && !this.#writer.writesIn(this.#conversation)) {
      this.#conversation = written
        ? Object.assign(written, { draft: this.#prompt.value })
        : newConversation();
      this.#settings.use(this.#conversation.settings);
    }
    this.#redraw();
  }

  /** Not on a touch screen, where it would bring the keyboard up. */
  #focusPrompt(): void {
    if (matchMedia('(pointer: fine)').matches) this.#prompt.focus();
  }

  get #mode(): ReplyMode {
    return this.#settings.mode(this.#models.loaded?.model.hasChatTemplate ?? true);
  }

  #redraw(): void {
    const { isRunning } = this.#writer;
    this.#log.show(this.#conversation, {
      running: this.#writer.writesIn(this.#conversation),
      loaded: this.#models.loaded !== undefined && !isRunning,
    });
    this.#sidebar.draw(this.#conversation.id);
    this.#update();
  }

  #settingsChanged(): void {
    this.#takeDown();
    this.#update();
  }

  /** What depends on the state: buttons, hints, the welcome. */
  #update(): void {
    const { loaded, busy } = this.#models;
    const { isRunning } = this.#writer;
    fitHeight(this.#prompt);
    this.#send.hidden = isRunning;
    this.#stop.hidden = !isRunning;
    const nothing = this.#prompt.value.trim() === '' && this.#attachments.files.length === 0;
    this.#send.disabled = !loaded || nothing;
    const mode = this.#mode;
    byId('think', HTMLLabelElement).hidden = mode !== 'chat' || !loaded || !canThink(loaded.model);
    byId('tools-field', HTMLLabelElement).hidden = !loaded?.model.toolFormat;
    this.#prompt.placeholder = !loaded
      ? busy
        ? text.loadingModel
        : text.chooseFirst
      : mode === 'chat'
        ? text.writeMessage
        : text.beginText;
    if (!loaded) this.#context.hide();
    else if (!isRunning)
      this.#context.count(loaded.model, () => this.#given(mode), this.#writer.forTemplate(loaded.model));
    const isNew = this.#conversation.messages.length === 0;
    showWelcome(this.#models, { isNew, mode, submit: (prompt) => this.#submit(prompt) });
    this.#picker.inPage(isNew && !loaded && !busy);
  }

  /** What the model would be given of the conversation and the draft. */
  #given(mode: ReplyMode) {
    const draft = this.#prompt.value;
    const exchanges = exchangesOf(this.#conversation);
    const last = exchanges.at(-1);
    if (mode === 'continue') return draft || (last ? last.question.text + (last.reply?.text ?? '') : '');
    const { files } = this.#attachments;
    const question: ChatMessage = { id: '', role: 'user', mode, text: draft, files, at: 0 };
    const messages = messagesOf([...exchanges, { question }], this.#settings.system);
    return draft === '' && files.length === 0 ? (last ? messages.slice(0, -1) : []) : messages;
  }

  /** Takes the draft and the settings into the conversation. */
  #takeDown(): void {
    const draft = this.#prompt.value;
    const settings = this.#settings.changed;
    const { draft: before, settings: set } = this.#conversation;
    if (draft === before && JSON.stringify(settings) === JSON.stringify(set)) return;
    Object.assign(this.#conversation, { draft, settings });
    if (this.#library.get(this.#conversation.id)) this.#library.save(this.#conversation);
  }

  /** Keeps what there is, for a page that may end. */
  #keep(): void {
    this.#takeDown();
    saveTab(this.#conversation);
    this.#library.save(this.#conversation);
  }
}

async function copy(written: string): Promise<void> {
  const done = await navigator.clipboard.writeText(written).then(
    () => true,
    () => false,
  );
  if (done) announce(text.copied);
  else showNote(text.notCopied);
}
