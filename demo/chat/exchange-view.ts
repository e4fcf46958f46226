import { text } from '../text/index.ts';
import type { Call, ChatMessage, Exchange } from './conversation.ts';
import { el } from './dom.ts';
import { MarkdownView, setText } from './markdown.ts';
import { plainName } from './names.ts';

/** What the buttons of a message do. */
export interface MessageActions {
  edit(question: ChatMessage, text: string): void;
  regenerate(exchange: Exchange): void;
  continue(reply: ChatMessage): void;
  /** Shows the version before or after. */
  turn(message: ChatMessage, by: 1 | -1): void;
  remove(message: ChatMessage): void;
  copy(text: string): void;
}

/** How an exchange stands. */
export interface ExchangeState extends Exchange {
  isLast: boolean;
  /** The reply is being written. */
  working: boolean;
  /** A model is loaded, and nothing is being written. */
  ready: boolean;
  /** Place among the versions, from 1, and their number. */
  questionVersion: readonly [number, number];
  replyVersion: readonly [number, number];
}

/** An exchange on the page; it changes in place, so that what the reader selected, unfolded or focused stays. */
export class ExchangeView {
  readonly element: HTMLElement;
  readonly #actions: MessageActions;
  readonly #prompt: HTMLElement;
  readonly #files = el('ul', { class: 'files' });
  readonly #questionActions = el('div', { class: 'actions' });
  readonly #modelName = el('h2', { class: 'unseen', dir: 'auto' });
  readonly #thoughts = new Text();
  readonly #thinking: HTMLDetailsElement;
  readonly #calls = el('div', { class: 'calls' });
  readonly #reply: HTMLElement;
  readonly #replyActions = el('div', { class: 'actions' });
  readonly #markdown: MarkdownView | undefined;
  readonly #promptText = new Text();
  readonly #replyText = new Text();
  #state: ExchangeState;
  #editor: HTMLFormElement | undefined;
  /** The reply whose calls are shown. */
  #shown: string | undefined;

  constructor(state: ExchangeState, actions: MessageActions) {
    this.#actions = actions;
    this.#state = state;
    this.#thinking = el(
      'details',
      { class: 'reasoning' },
      el('summary'),
      el('p', { class: 'text', dir: 'auto' }, this.#thoughts),
    );
    const isChat = state.question.mode === 'chat';
    if (isChat) {
      this.#prompt = el('p', { class: 'text prompt', dir: 'auto' }, this.#promptText);
      this.#reply = el('div', { class: 'reply' });
      this.#markdown = new MarkdownView(this.#reply);
      this.element = el(
        'article',
        { class: 'exchange chat' },
        el('h2', { class: 'unseen' }, text.you),
        el('div', { class: 'question' }, this.#files, this.#prompt, this.#questionActions),
        this.#modelName,
        this.#calls,
        this.#reply,
        this.#replyActions,
      );
    } else {
      this.#prompt = el('span', { class: 'prompt' }, this.#promptText);
      // A reply that continues a text has that text's direction.
      this.#reply = el('span', { class: 'reply' }, this.#replyText);
      this.element = el(
        'article',
        { class: 'exchange continue' },
        el('p', { class: 'text', dir: 'auto' }, this.#prompt, this.#reply),
        this.#questionActions,
        this.#replyActions,
      );
    }
  }

  update(state: ExchangeState): void {
    this.#state = state;
    const { question, working } = state;
    this.element.classList.toggle('working', working);
    setText(this.#promptText, question.text);
    this.#files.hidden = !question.files?.length;
    this.#files.replaceChildren(
      ...(question.files ?? []).map(({ name }) => el('li', { dir: 'auto' }, plainName(name))),
    );
    this.grow();
    this.#redrawActions();
  }

  /** Shows what the reply has become. */
  grow(): void {
    const { reply, working } = this.#state;
    if (this.#markdown) this.#markdown.set(reply?.text ?? '');
    else setText(this.#replyText, reply?.text ?? '');
    this.#modelName.textContent = plainName(reply?.model ?? text.model);
    this.#think(reply, working);
    const calls = reply?.calls ?? [];
    if (reply?.id !== this.#shown) this.#calls.replaceChildren();
    this.#shown = reply?.id;
    for (const call of calls.slice(this.#calls.childElementCount)) this.#calls.append(callView(call));
    while (this.#calls.childElementCount > calls.length) this.#calls.lastElementChild!.remove();
  }

  #think(reply: ChatMessage | undefined, working: boolean): void {
    const { reasoning = '', reasoningSeconds = 0 } = reply ?? {};
    const under = working && reasoning !== '' && reply?.text === '' && !reply.calls?.length;
    if (reasoning === '') this.#thinking.remove();
    else if (!this.#thinking.parentElement) this.#modelName.after(this.#thinking);
    // Open while it grows; from then on as the reader has it.
    if (under !== this.#thinking.classList.contains('growing')) {
      this.#thinking.classList.toggle('growing', under);
      this.#thinking.open = under;
    }
    const said = under ? text.thinking : text.thoughtFor(reasoningSeconds);
    const summary = this.#thinking.firstElementChild!;
    if (summary.textContent !== said) summary.textContent = said;
    setText(this.#thoughts, reasoning);
  }

  #redrawActions(): void {
    const { question, reply, questionVersion, replyVersion, isLast, working, ready } = this.#state;
    const { edit: _, ...on } = this.#actions;
    const free = !working;
    show(
      this.#questionActions,
      !free
        ? []
        : [
            ...this.#versions(question, questionVersion),
            { label: text.copy, run: () => on.copy(question.text) },
            { label: text.edit, run: () => this.#edit(), disabled: !ready },
            { label: text.remove, run: () => on.remove(question) },
          ],
    );
    const hasReply = free && reply !== undefined;
    this.#replyActions.classList.toggle('after', hasReply && isLast);
    const ending = hasReply && isLast && reply.ended ? text.endings[reply.ended] : '';
    const canContinue =
      hasReply &&
      isLast &&
      (question.mode === 'continue' || (reply.ended !== 'stop' && !reply.reasoning && reply.text !== ''));
    show(
      this.#replyActions,
      !free
        ? []
        : [
            ...(reply ? this.#versions(reply, replyVersion) : []),
            ...(reply ? [{ label: text.copy, run: () => on.copy(reply.text) }] : []),
            {
              label: text.regenerate,
              run: () => on.regenerate({ question, ...(reply && { reply }) }),
              disabled: !ready,
            },
            ...(canContinue
              ? [{ label: text.continue, run: () => on.continue(reply), disabled: !ready }]
              : []),
            ...(reply ? [{ label: text.remove, run: () => on.remove(reply) }] : []),
          ],
      ending,
    );
  }

  #versions(message: ChatMessage, [at, of]: readonly [number, number]): ActionButton[] {
    if (of < 2) return [];
    return [
      {
        label: '‹',
        name: text.versionBefore,
        run: () => this.#actions.turn(message, -1),
        disabled: at === 1,
      },
      { label: `${at} / ${of}` },
      { label: '›', name: text.versionAfter, run: () => this.#actions.turn(message, 1), disabled: at === of },
    ];
  }

  /** Lets the reader write the question anew, in its place. */
  #edit(): void {
    if (this.#editor) return;
    const { question } = this.#state;
    const box = el('textarea', { rows: '3', dir: 'auto', 'aria-label': text.editLabel });
    box.value = question.text;
    const end = (): void => {
      this.#editor?.remove();
      this.#editor = undefined;
      this.#prompt.hidden = false;
      this.#questionActions.hidden = false;
    };
    const cancel = (): void => {
      end();
      this.#questionActions
        .querySelector<HTMLButtonElement>(`[data-action="${CSS.escape(text.edit)}"]`)
        ?.focus();
    };
    this.#editor = el(
      'form',
      {
        class: 'editor',
        submit: (event) => {
          event.preventDefault();
          if (box.value.trim() === '') return;
          end();
          this.#actions.edit(question, box.value);
        },
        keydown: (event) => {
          if ((event as KeyboardEvent).key !== 'Escape') return;
          event.stopPropagation();
          cancel();
        },
      },
      box,
      el(
        'div',
        { class: 'row' },
        el('button', { type: 'submit' }, text.sendAgain),
        el('button', { type: 'button', class: 'quiet', click: cancel }, text.cancel),
      ),
    );
    this.#prompt.hidden = true;
    this.#questionActions.hidden = true;
    this.#questionActions.before(this.#editor);
    box.focus();
  }
}

interface ActionButton {
  label: string;
  /** For screen readers, where the label is a sign. */
  name?: string;
  /** Without it the label is a text. */
  run?: () => void;
  disabled?: boolean;
}

/** Shows buttons; those that are there already stay, and so does the focus. */
function show(place: HTMLElement, buttons: readonly ActionButton[], ending = ''): void {
  const focused = place.contains(document.activeElement)
    ? (document.activeElement as HTMLElement).dataset.action
    : undefined;
  const drawn = buttons.map(({ label, name, run, disabled = false }) =>
    run
      ? el(
          'button',
          {
            type: 'button',
            class: 'quiet',
            'data-action': label,
            disabled,
            click: run,
            ...(name !== undefined && { 'aria-label': name }),
          },
          label,
        )
      : el('span', {}, label),
  );
  place.replaceChildren(...(ending ? [el('span', { class: 'ending' }, ending)] : []), ...drawn);
  if (focused === undefined) return;
  const again = place.querySelector<HTMLButtonElement>(
    `[data-action="${CSS.escape(focused)}"]:not(:disabled)`,
  );
  (again ?? place.querySelector<HTMLButtonElement>('button:not(:disabled)'))?.focus();
}

function callView({ said, name, arguments: given, result }: Call): HTMLElement {
  const call = el(
    'details',
    { class: 'call' },
    el('summary', {}, text.called(plainName(name))),
    el('pre', { dir: 'ltr', tabindex: '0' }, given),
    el('pre', { dir: 'ltr', tabindex: '0' }, result),
  );
  return said.trim() === '' ? call : el('div', {}, el('p', { class: 'text', dir: 'auto' }, said), call);
}
