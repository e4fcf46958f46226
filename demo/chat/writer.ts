import { ShishuError } from '../../src/errors.ts';
import type { Model } from '../../src/index.ts';
import { text } from '../text/index.ts';
import type { Attention } from './attention.ts';
import {
  addMessage,
  type ChatMessage,
  type Conversation,
  type Exchange,
  exchangesOf,
  removeMessage,
  touch,
} from './conversation.ts';
import { announce } from './dom.ts';
import type { Log } from './log.ts';
import type { ModelChoice } from './model-choice.ts';
import type { Models } from './models.ts';
import { clearNotices, showError, showNote } from './notices.ts';
import { continuedIds, fitted, messagesOf, streamReply } from './reply.ts';
import type { Settings } from './settings.ts';
import type { Status } from './status.ts';
import { toolsForModel } from './tools.ts';

/** Milliseconds between what is kept of a reply under way. */
const KEEP_EVERY = 1000;

/** What a writer needs of the page. */
interface WriterPage {
  models: Models;
  settings: Settings;
  log: Log;
  status: Status;
  attention: Attention;
  /** The conversation that is open. */
  open(): Conversation;
  keep(conversation: Conversation): void;
  redraw(): void;
}

/** Lets the model write replies, one at a time. */
export class Writer {
  readonly #page: WriterPage;
  /** The reply that is being written. */
  #running: { conversation: Conversation; abort: AbortController } | undefined;

  constructor(page: WriterPage) {
    this.#page = page;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Whether a reply is being written in a conversation. */
  writesIn({ id }: Conversation): boolean {
    return this.#running?.conversation.id === id;
  }

  stop(): void {
    this.#running?.abort.abort();
  }

  /** Whether a reply can begin; a setting that is out of range is shown. */
  isReady(): boolean {
    const { models, settings } = this.#page;
    return models.loaded !== undefined && !this.#running && settings.options() !== undefined;
  }

  /** Writes another version of the reply to a question. */
  async answer(question: ChatMessage): Promise<void> {
    if (!this.isReady()) return;
    const reply = addMessage(this.#page.open(), {
      role: 'assistant',
      mode: question.mode,
      text: '',
      parent: question.id,
      model: this.#page.models.loaded!.choice.label,
    });
    await this.#write(reply, false);
  }

  /** Writes more of a reply. */
  async continue(reply: ChatMessage): Promise<void> {
    if (this.isReady()) await this.#write(reply, true);
  }

  async #write(reply: ChatMessage, isMore: boolean): Promise<void> {
    const { models, settings, log, status, attention, keep, redraw, open } = this.#page;
    const loaded = models.loaded!;
    const conversation = open();
    const abort = new AbortController();
    this.#running = { conversation, abort };
    delete reply.ended;
    clearNotices();
    redraw();
    log.scrollToEnd();
    keep(conversation);
    const keeping = setInterval(() => keep(conversation), KEEP_EVERY);
    const shown = { grow: () => conversation === open() && log.grow() };
    let ids: number[] | undefined;
    attention.begin();
    try {
      const { prompt, forTemplate } = await this.#promptFor(loaded.model, exchangesOf(conversation), isMore);
      const options = { ...settings.options(), ...forTemplate, signal: abort.signal };
      const into = { reply, log: shown, status, attention };
      const result = await streamReply(loaded.model, prompt, options, into);
      ids = [...result.promptTokenIds, ...result.tokenIds];
    } catch (error) {
      this.#failed(conversation, reply, loaded.choice, error);
    } finally {
      clearInterval(keeping);
      this.#running = undefined;
      if (models.loaded === loaded) attention.end(conversation === open() ? ids : []);
      touch(conversation);
      keep(conversation);
      redraw();
    }
    if (ids && conversation === open())
      announce(reply.ended === 'aborted' ? text.stopped : text.complete(log.lastText));
  }

  /** What the model is given, of a conversation that ends with the reply to be written. */
  async #promptFor(model: Model, exchanges: readonly Exchange[], isMore: boolean) {
    const { question, reply } = exchanges.at(-1)!;
    if (question.mode === 'continue') return { prompt: question.text + (reply?.text ?? ''), forTemplate: {} };
    const forTemplate = this.forTemplate(model);
    const { system } = this.#page.settings;
    if (isMore) return { prompt: await continuedIds(model, exchanges, system, forTemplate), forTemplate: {} };
    const { messages, left } = await fitted(model, messagesOf(exchanges, system), forTemplate);
    if (left > 0) showNote(text.forgotten(left, model.info.contextLength));
    return { prompt: messages, forTemplate };
  }

  /** What the settings say to the template of a model. */
  forTemplate(model: Model) {
    const { settings } = this.#page;
    return {
      ...(canThink(model) && { templateVariables: { enable_thinking: settings.think } }),
      ...(model.toolFormat && settings.tools && { tools: toolsForModel() }),
    };
  }

  #failed(conversation: Conversation, reply: ChatMessage, choice: ModelChoice, error: unknown): void {
    reply.ended = 'aborted';
    // Nothing was answered: the question stays, to be asked again.
    if (!reply.text && !reply.reasoning && !reply.calls) removeMessage(conversation, reply);
    const { models } = this.#page;
    const code = error instanceof ShishuError ? error.code : undefined;
    if (code === 'aborted' || models.wanted !== choice) return;
    const gone = code === 'device-lost' || code === 'disposed';
    const reload = {
      label: text.reload,
      run: () => models.load(choice, { kind: code === 'device-lost' ? 'reload' : 'anyway' }),
    };
    showError(error, ...(gone ? [reload] : []));
  }
}

/** Whether the reader may choose that the model thinks before it answers. */
export const canThink = ({ templateVariables }: Model): boolean =>
  templateVariables.includes('enable_thinking');
