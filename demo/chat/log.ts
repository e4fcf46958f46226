import { byId, el } from './dom.ts';
import type { Exchange } from './store.ts';

const ENDINGS = {
  stop: '',
  length: 'Ended at the limit of tokens.',
  aborted: 'Stopped.',
} as const;

/** The conversation on the page. All text of readers and models is set as text, never as HTML. */
export class Log {
  readonly #log = byId('log', HTMLDivElement);
  readonly #main = byId('main', HTMLElement);
  /** The text node that grows, and what waits for the next frame. */
  #growing: Text | undefined;
  #waiting = '';
  /** As those two, of what the model thinks before the reply. */
  #thoughts: Text | undefined;
  #waitingThoughts = '';

  /** Shows the exchanges; the last one gets the buttons. */
  show(exchanges: readonly Exchange[], actions: { regenerate: () => void; continue: () => void }): void {
    this.#log.replaceChildren(...exchanges.map(draw));
    const last = exchanges.at(-1);
    if (!last?.ended) return;
    const after = el('div', { class: 'after' });
    if (ENDINGS[last.ended]) after.append(el('span', {}, ENDINGS[last.ended]));
    const button = (label: string, click: () => void): void =>
      after.append(el('button', { type: 'button', class: 'quiet', click }, label));
    button('Regenerate', actions.regenerate);
    if (last.mode === 'continue') button('Continue', actions.continue);
    this.#log.lastElementChild!.append(after);
  }

  /** Begins to grow the last reply. */
  begin(): void {
    const exchange = this.#log.lastElementChild!;
    exchange.classList.add('working');
    exchange.querySelector('.after')?.remove();
    const reply = exchange.querySelector('.reply')!;
    this.#growing = document.createTextNode('');
    reply.append(this.#growing);
    this.#log.setAttribute('aria-busy', 'true');
    this.scrollToEnd();
  }

  /** Adds text to the reply, at most once a frame; `seconds` says how long the model thought before it. */
  grow(text: string, seconds?: number): void {
    this.#soon();
    this.#waiting += text;
    const block = this.#thoughts?.parentElement?.closest('details');
    if (!block || text === '') return;
    this.#flush();
    block.open = false;
    block.querySelector('summary')!.textContent = thoughtFor(seconds);
    this.#thoughts = undefined;
  }

  /** Adds to what the model thinks, in a block above the reply that is open meanwhile. */
  think(text: string): void {
    this.#soon();
    this.#waitingThoughts += text;
    if (this.#thoughts) return;
    this.#thoughts = document.createTextNode('');
    const block = thoughtsOf('Thinking…', this.#thoughts);
    block.open = true;
    this.#growing!.parentElement!.before(block);
  }

  #soon(): void {
    if (this.#waiting === '' && this.#waitingThoughts === '') requestAnimationFrame(() => this.#flush());
  }

  end(): void {
    this.#flush();
    this.#growing = undefined;
    this.#thoughts = undefined;
    this.#log.lastElementChild?.classList.remove('working');
    this.#log.setAttribute('aria-busy', 'false');
  }

  scrollToEnd(): void {
    this.#main.scrollTop = this.#main.scrollHeight;
  }

  #flush(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#main;
    // A reader who scrolled up is left alone.
    const atEnd = scrollHeight - scrollTop - clientHeight < 40;
    this.#growing?.appendData(this.#waiting);
    this.#waiting = '';
    this.#thoughts?.appendData(this.#waitingThoughts);
    this.#waitingThoughts = '';
    if (atEnd) this.scrollToEnd();
  }
}

const thoughtFor = (seconds = 0): string => `Thought for ${seconds.toFixed(1)} s`;

const thoughtsOf = (summary: string, text: string | Text): HTMLDetailsElement =>
  el(
    'details',
    { class: 'reasoning' },
    el('summary', {}, summary),
    el('p', { class: 'text', dir: 'auto' }, text),
  );

function draw({ mode, prompt, reply, reasoning, reasoningSeconds }: Exchange): HTMLElement {
  if (mode === 'continue') {
    const given = el('span', { class: 'prompt' }, prompt);
    return el(
      'article',
      { class: 'exchange continue' },
      el('p', { class: 'text', dir: 'auto' }, given, replyOf('span', reply)),
    );
  }
  return el(
    'article',
    { class: 'exchange chat' },
    el('h3', { class: 'unseen' }, 'You'),
    el('p', { class: 'text prompt', dir: 'auto' }, prompt),
    el('h3', { class: 'unseen' }, 'Model'),
    ...(reasoning ? [thoughtsOf(thoughtFor(reasoningSeconds), reasoning)] : []),
    replyOf('p', reply),
  );
}

function replyOf(tag: 'p' | 'span', reply: string): HTMLElement {
  // A reply that continues a text has that text's direction.
  return tag === 'p'
    ? el(tag, { class: 'text reply', dir: 'auto' }, reply)
    : el(tag, { class: 'reply' }, reply);
}
