import { text } from '../text/index.ts';
import { type Conversation, exchangesOf, versionsOf } from './conversation.ts';
import { byId } from './dom.ts';
import { type ExchangeState, ExchangeView, type MessageActions } from './exchange-view.ts';

/** How the page stands, as far as its messages go. */
export interface LogState {
  /** A reply is being written. */
  running: boolean;
  /** A model is loaded. */
  loaded: boolean;
}

/** The conversation on the page. All text of readers and models is set as text, never as HTML. */
export class Log {
  readonly #log = byId('log', HTMLDivElement);
  readonly #main = byId('main', HTMLElement);
  readonly #actions: MessageActions;
  /** By the id of the question. */
  #views = new Map<string, ExchangeView>();
  #last: ExchangeView | undefined;
  #language = text;
  #waiting = false;
  #isAtEnd = true;

  constructor(actions: MessageActions) {
    this.#actions = actions;
    // The keyboard of a phone, or figures that are unfolded, take room from below.
    this.#main.addEventListener('scroll', () => {
      this.#isAtEnd = this.#atEnd();
    });
    new ResizeObserver(() => {
      if (this.#isAtEnd) this.scrollToEnd();
    }).observe(this.#main);
    this.#log.addEventListener('click', ({ target }) => {
      const button = target instanceof Element ? target.closest('.copy-code') : null;
      const code = button?.closest('.code')?.querySelector('code');
      if (code) actions.copy(code.textContent);
    });
  }

  /** Shows the messages that are chosen of a conversation. */
  show(conversation: Conversation, { running, loaded }: LogState): void {
    // In another language all is drawn anew.
    if (this.#language !== text) this.#views.clear();
    this.#language = text;
    const exchanges = exchangesOf(conversation);
    const views = exchanges.map(({ question, reply }, i): [string, ExchangeView] => {
      const isLast = i === exchanges.length - 1;
      const questions = versionsOf(conversation, question);
      const replies = reply ? versionsOf(conversation, reply) : [];
      const state: ExchangeState = {
        question,
        ...(reply && { reply }),
        isLast,
        working: running && isLast,
        ready: loaded && !running,
        questionVersion: [questions.indexOf(question) + 1, questions.length],
        replyVersion: [reply ? replies.indexOf(reply) + 1 : 0, replies.length],
      };
      const view = this.#views.get(question.id) ?? new ExchangeView(state, this.#actions);
      view.update(state);
      return [question.id, view];
    });
    this.#views = new Map(views);
    this.#last = views.at(-1)?.[1];
    this.#place(views.map(([, { element }]) => element));
    this.#log.setAttribute('aria-busy', String(running));
  }

  /** Puts elements in their order; those that are in their place are not touched. */
  #place(elements: readonly HTMLElement[]): void {
    for (const [i, element] of elements.entries())
      if (this.#log.children[i] !== element) this.#log.insertBefore(element, this.#log.children[i] ?? null);
    while (this.#log.childElementCount > elements.length) this.#log.lastElementChild!.remove();
  }

  /** The last reply has grown: it is shown with the next frame. */
  grow(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    // A hidden page has no frames.
    if (document.hidden) setTimeout(() => this.#grow());
    else requestAnimationFrame(() => this.#grow());
  }

  #grow(): void {
    this.#waiting = false;
    // A reader who scrolled up is left alone.
    const atEnd = this.#atEnd();
    this.#last?.grow();
    if (atEnd) this.scrollToEnd();
  }

  #atEnd(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this.#main;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  scrollToEnd(): void {
    this.#main.scrollTop = this.#main.scrollHeight;
  }

  /** The last reply as it reads on the page. */
  get lastText(): string {
    return this.#last?.element.querySelector('.reply')?.textContent ?? '';
  }
}
