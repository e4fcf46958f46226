import { text } from '../text/index.ts';
import type { Conversation } from './conversation.ts';
import { byId, el } from './dom.ts';
import type { Library } from './library.ts';
import { plainName } from './names.ts';
import { attempt } from './notices.ts';

/** What the list of conversations tells the page. */
export interface SidebarEvents {
  open(conversation: Conversation): void;
  create(): void;
  rename(conversation: Conversation, title: string): void;
  remove(conversation: Conversation): void;
  exportChats(conversations: readonly Conversation[], kind: 'JSON' | 'Markdown'): void;
  importFile(file: File): Promise<void>;
}

/** From this width on, the list stands beside the conversation; below, over it. */
const WIDE = matchMedia('(min-width: 60rem)');

/** The list of conversations, with search. */
export class Sidebar {
  readonly #place = byId('chats', HTMLElement);
  readonly #list = byId('chat-list', HTMLUListElement);
  readonly #search = byId('search', HTMLInputElement);
  readonly #toggle = byId('chats-toggle', HTMLButtonElement);
  readonly #shade = byId('shade', HTMLDivElement);
  readonly #library: Library;
  readonly #events: SidebarEvents;
  #current = '';

  constructor(library: Library, events: SidebarEvents) {
    this.#library = library;
    this.#events = events;
    this.#search.addEventListener('input', () => this.draw());
    this.#toggle.addEventListener('click', () => this.show(this.#place.hidden !== false));
    this.#shade.addEventListener('click', () => this.show(false));
    byId('new', HTMLButtonElement).addEventListener('click', () => {
      this.closeOver();
      events.create();
    });
    byId('export-all', HTMLButtonElement).addEventListener('click', () =>
      events.exportChats(library.list(), 'JSON'),
    );
    const input = byId('import-input', HTMLInputElement);
    byId('import', HTMLButtonElement).addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      const [file] = input.files ?? [];
      input.value = '';
      if (file) void attempt(() => events.importFile(file));
    });
    WIDE.addEventListener('change', () => this.show(WIDE.matches));
    this.show(WIDE.matches);
  }

  show(open: boolean): void {
    this.#place.hidden = !open;
    this.#shade.hidden = !open || WIDE.matches;
    for (const part of document.querySelectorAll<HTMLElement>('main, footer'))
      part.inert = open && !WIDE.matches;
    this.#toggle.setAttribute('aria-expanded', String(open));
    if (open && !WIDE.matches) this.#search.focus();
  }

  /** Shuts the list where it lies over the conversation. @returns whether it did */
  closeOver(): boolean {
    if (WIDE.matches || this.#place.hidden) return false;
    this.show(false);
    this.#toggle.focus();
    return true;
  }

  /** Marks the conversation that is open. */
  draw(current = this.#current): void {
    this.#current = current;
    const found = this.#library.list(this.#search.value);
    const focused = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>('[data-chat]')
      ?.dataset.chat;
    this.#list.replaceChildren(...found.map((conversation) => this.#row(conversation)));
    if (focused !== undefined && this.#place.contains(document.activeElement) === false)
      this.#list.querySelector<HTMLElement>(`[data-chat="${focused}"] .chat`)?.focus();
    const hint = byId('no-chats', HTMLParagraphElement);
    hint.hidden = found.length > 0;
    hint.textContent = this.#search.value.trim() === '' ? text.noChats : text.noneFound;
    byId('export-all', HTMLButtonElement).disabled = found.length === 0;
  }

  #row(conversation: Conversation): HTMLElement {
    const title = titleFor(conversation);
    const item = el('li', { 'data-chat': conversation.id });
    const open = el(
      'button',
      {
        type: 'button',
        class: 'quiet chat',
        dir: 'auto',
        click: () => {
          this.closeOver();
          this.#events.open(conversation);
        },
      },
      title,
    );
    if (conversation.id === this.#current) open.setAttribute('aria-current', 'true');
    const action = (label: string, run: () => void): HTMLElement =>
      el(
        'button',
        {
          type: 'button',
          class: 'quiet',
          click: () => {
            more.open = false;
            run();
          },
        },
        label,
      );
    const more = el(
      'details',
      { class: 'menu more', name: 'menu' },
      el('summary', { 'aria-label': text.chatMenu(title) }, '…'),
      el(
        'div',
        { class: 'sheet' },
        action(text.rename, () => this.#rename(item, conversation)),
        action(text.exportAs('Markdown'), () => this.#events.exportChats([conversation], 'Markdown')),
        action(text.exportAs('JSON'), () => this.#events.exportChats([conversation], 'JSON')),
        action(text.remove, () => this.#events.remove(conversation)),
      ),
    );
    item.append(open, more);
    return item;
  }

  #rename(item: HTMLElement, conversation: Conversation): void {
    const input = el('input', { 'aria-label': text.renameLabel, dir: 'auto', maxlength: '200' });
    input.value = conversation.title;
    let done = false;
    const end = (title?: string): void => {
      if (done) return;
      done = true;
      if (title?.trim()) this.#events.rename(conversation, title.trim());
      this.draw();
      this.#list.querySelector<HTMLElement>(`[data-chat="${conversation.id}"] .chat`)?.focus();
    };
    const form = el('form', {
      submit: (event) => {
        event.preventDefault();
        end(input.value);
      },
    });
    form.append(input);
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.stopPropagation();
      end();
    });
    input.addEventListener('blur', () => end(input.value));
    item.replaceChildren(form);
    input.focus();
    input.select();
  }
}

/** A title as it is shown. */
export const titleFor = ({ title }: Conversation): string => plainName(title) || text.untitled;
