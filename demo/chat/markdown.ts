// Markdown of models as elements of the page. Only what is named here is ever made, and texts are set as texts: HTML in a
// reply is shown as it is written.
import MarkdownIt, { type Token } from 'markdown-it';
import { text as words } from '../text/index.ts';
import { el } from './dom.ts';

const parser = new MarkdownIt('default', { html: false, linkify: true, breaks: true, typographer: false });
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });

/** Longer replies are shown as they are written. */
const MOST_CHARACTERS = 100_000;
/** Longer code is shown in one colour. */
const MOST_COLOURED = 20_000;
const TAGS = ['p', 'ul', 'ol', 'li', 'blockquote', 'table', 'thead', 'tbody', 'tr', 'th', 'td'] as const;
const INLINE = ['em', 'strong', 's'] as const;
const PROTOCOLS = ['https:', 'http:', 'mailto:'];

type Highlight = typeof import('./highlight.ts').highlight;
let highlighter: Highlight | undefined;

/** The address of a link that may be followed; undefined for others, also of this page. */
export function linkOf(href: string): string | undefined {
  if (!URL.canParse(href)) return undefined;
  const url = new URL(href);
  return PROTOCOLS.includes(url.protocol) ? url.href : undefined;
}

/** A text in Markdown, a block after the other. */
function* blocksOf(text: string): Generator<{ source: string; tokens: Token[] }> {
  const lines = text.split('\n');
  let tokens: Token[] = [];
  for (const token of parser.parse(text, {})) {
    tokens.push(token);
    if (token.level !== 0 || token.nesting === 1) continue;
    const [start, end] = tokens[0]!.map!;
    yield { source: `${tokens[0]!.type}\n${lines.slice(start, end).join('\n')}`, tokens };
    tokens = [];
  }
}

/** Makes elements of one block's tokens. */
function render(tokens: readonly Token[]): Element {
  const root = el('div');
  const stack: Element[] = [root];
  for (const token of tokens) {
    const top = stack.at(-1)!;
    if (token.nesting === -1) {
      // Paragraphs of tight lists have no element.
      if (!token.hidden) stack.pop();
    } else if (token.type === 'inline') renderInline(token.children ?? [], top);
    else if (token.type === 'fence' || token.type === 'code_block') top.append(codeOf(token));
    else if (token.type === 'hr') top.append(el('hr'));
    else if (token.nesting === 1 && !token.hidden) {
      const { outer, inner } = open(token);
      top.append(outer);
      stack.push(inner);
    }
  }
  return root.firstElementChild!;
}

function open(token: Token): { outer: Element; inner: Element } {
  const rank = /^h([1-6])$/.exec(token.tag)?.[1];
  // All stand right below the heading of their message, as replies leave out levels.
  const tag = rank ? 'h3' : TAGS.find((tag) => tag === token.tag);
  const inner = el(tag ?? 'p');
  if (rank) inner.className = `rank${Math.min(Number(rank), 3)}`;
  if (tag !== 'tr' && tag !== 'thead' && tag !== 'tbody') inner.dir = 'auto';
  const start = token.attrGet('start');
  if (tag === 'ol' && start !== null) inner.setAttribute('start', String(Number(start)));
  const [, side] = /text-align:(center|right)/.exec(String(token.attrGet('style'))) ?? [];
  if (side) inner.className = side;
  if (tag !== 'table') return { outer: inner, inner };
  const outer = el('div', { class: 'table', tabindex: '0', role: 'group', 'aria-label': words.table }, inner);
  return { outer, inner };
}

function renderInline(tokens: readonly Token[], into: Element): void {
  const stack: Element[] = [into];
  for (const token of tokens) {
    const top = stack.at(-1)!;
    if (token.nesting === -1) stack.pop();
    else if (token.nesting === 1) {
      const inner =
        token.type === 'link_open'
          ? link(token.attrGet('href'))
          : el(INLINE.find((tag) => tag === token.tag) ?? 'span');
      top.append(inner);
      stack.push(inner);
    } else if (token.type === 'softbreak' || token.type === 'hardbreak') top.append(el('br'));
    else if (token.type === 'code_inline') top.append(el('code', { dir: 'auto' }, token.content));
    else if (token.type === 'image') {
      // What a picture's server would learn of the reader is not its to know.
      const picture = link(token.attrGet('src'));
      picture.append(words.picture(token.content));
      top.append(picture);
    } else top.append(token.content);
  }
}

function link(href: unknown): HTMLElement {
  const address = linkOf(String(href ?? ''));
  if (address === undefined) return el('span');
  return el('a', {
    href: address,
    title: address,
    target: '_blank',
    rel: 'noopener noreferrer nofollow',
    dir: 'auto',
  });
}

function codeOf({ content, info }: Token): HTMLElement {
  const language = /^[\w+#.-]{1,20}/.exec(info.trim())?.[0] ?? '';
  const coloured =
    content.length <= MOST_COLOURED ? highlighter?.(content, language.toLowerCase()) : undefined;
  return el(
    'div',
    { class: 'code', dir: 'ltr' },
    el(
      'div',
      { class: 'bar' },
      el('span', {}, language),
      el('button', { type: 'button', class: 'quiet copy-code' }, words.copyCode),
    ),
    el('pre', { tabindex: '0' }, el('code', {}, ...(coloured ?? [content]))),
  );
}

/** Makes one element like another, and keeps what is the same: a selection in it, or the place it is scrolled to. */
function morph(old: Element, fresh: Element): void {
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  const mine = [...old.childNodes];
  for (const [i, node] of [...fresh.childNodes].entries()) {
    const own = mine[i];
    if (!own) old.append(node);
    else if (own instanceof Text && node instanceof Text) setText(own, node.data);
    else if (own instanceof Element && node instanceof Element && own.tagName === node.tagName)
      morph(own, node);
    else own.replaceWith(node);
    mine[i] = undefined as never;
  }
  for (const node of mine) node?.remove();
}

/** Sets a text; where it only grows, a selection in it stays. */
export function setText(node: Text, text: string): void {
  if (node.data === text) return;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}

/** A text in Markdown on the page, which may grow: only blocks that are others change. */
export class MarkdownView {
  readonly #place: HTMLElement;
  #blocks: { source: string; element: Element }[] = [];
  #text: string | undefined;

  constructor(place: HTMLElement) {
    this.#place = place;
  }

  set(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    this.#show(text);
    if (!highlighter && text.includes('```')) void this.#colour();
  }

  async #colour(): Promise<void> {
    highlighter = (await import('./highlight.ts')).highlight;
    this.#blocks = this.#blocks.map(({ element }) => ({ source: '', element }));
    if (this.#text !== undefined) this.#show(this.#text);
  }

  #show(text: string): void {
    let blocks: { source: string; tokens: Token[] }[] | undefined;
    try {
      if (text.length <= MOST_CHARACTERS) blocks = [...blocksOf(text)];
    } catch {
      // Nested deeper than the parser goes.
    }
    if (!blocks) {
      this.#plain(text);
      return;
    }
    for (const [i, { source, tokens }] of blocks.entries()) {
      const old = this.#blocks[i];
      if (old?.source === source) continue;
      const element = render(tokens);
      if (old && old.element.tagName === element.tagName && old.element.className === element.className) {
        morph(old.element, element);
        this.#blocks[i] = { source, element: old.element };
      } else {
        if (old) old.element.replaceWith(element);
        else this.#place.append(element);
        this.#blocks[i] = { source, element };
      }
    }
    for (const { element } of this.#blocks.splice(blocks.length)) element.remove();
  }

  #plain(text: string): void {
    this.#blocks = [];
    this.#place.replaceChildren(el('p', { class: 'text', dir: 'auto' }, text));
  }
}
