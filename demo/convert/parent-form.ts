import { ShishuError } from '../../src/errors.ts';
import type { SourceLike } from '../../src/formats/open-source.ts';
import { byId, el } from '../chat/dom.ts';
import { listenForDrops } from '../chat/drop.ts';
import type { ModelChoice } from '../chat/model-choice.ts';
import { wireFolder } from '../chat/picker.ts';
import { type Field, fieldOf, markField, refuseField } from '../fields.ts';
import { addressOf } from '../hub.ts';
import type { TextChoice } from './request.ts';

/** A parent as it was chosen. */
export interface Parent {
  label: string;
  source: SourceLike;
}

/** Runs `read`; an error of its own marks the field. */
export function guarded<T>(field: Field, read: () => T): T {
  try {
    return read();
  } catch (error) {
    markField(field);
    throw error;
  }
}

export function wholeNumber(field: Field, label: string, from: number, to: number): number {
  const text = field.value.trim();
  const value = Number(text);
  if (text === '' || !Number.isInteger(value) || value < from || value > to)
    refuseField(field, `${label} is "${text}", expected a whole number from ${from} to ${to}.`);
  return value;
}

/** Which parent and which text. */
export class ParentForm {
  readonly #form = byId('settings', HTMLFormElement);
  readonly #given = byId('given', HTMLDivElement);
  /** A folder from the disk; it gives way when the field is written in. */
  #folder: Parent | undefined;
  /** Text files that were chosen or dropped. */
  #texts: TextChoice['texts'] = [];
  #changed = (): void => {};

  /** @param changed told when a parent or a text was chosen otherwise than by writing in a field */
  constructor(included: readonly ModelChoice[], fail: (error: unknown) => void, changed: () => void) {
    const parent = this.#field('parent');
    const openers = byId('openers', HTMLDivElement);
    openers.replaceChildren(
      ...included.map(({ label, source }) => {
        const click = (): void => {
          this.#folder = undefined;
          parent.value = String(source).replace(new URL('.', document.baseURI).href, '');
          this.#mark();
          this.#changed();
        };
        return el('button', { type: 'button', 'data-source': String(source), click }, label);
      }),
    );
    openers.querySelector('button')?.click();
    parent.addEventListener('input', () => {
      this.#folder = undefined;
      this.#mark();
    });
    wireFolder(({ label, source }) => this.#takeFolder(label, source));
    listenForDrops((name, source) => {
      const files = Array.isArray(source) ? (source as File[]) : [];
      const isModel =
        files.length === 0 || files.some(({ name }) => name === 'config.json' || name.endsWith('.gguf'));
      if (isModel) this.#takeFolder(name, source);
      else this.#takeTexts(files).catch(fail);
    }, fail);
    this.#field('kind').addEventListener('input', () => this.#mark());
    const input = byId('text-file', HTMLInputElement);
    input.addEventListener('change', () => {
      this.#takeTexts([...(input.files ?? [])]).catch(fail);
      input.value = '';
    });
    this.#mark();
    // The first parent that was chosen above is the page's doing.
    this.#changed = changed;
  }

  #field(name: string): Field {
    return fieldOf(this.#form, name);
  }

  #takeFolder(label: string, source: SourceLike): void {
    this.#folder = { label, source };
    this.#field('parent').value = `the folder ${label}`;
    this.#mark();
    this.#changed();
  }

  async #takeTexts(files: readonly File[]): Promise<void> {
    const texts = await Promise.all(
      files.map(async (file) => {
        try {
          const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
          return { name: file.name, text };
        } catch (cause) {
          throw new ShishuError('bad-argument', `${file.name} is not UTF-8 text.`, {
            details: { file: file.name },
            mend: 'Choose text files, chats as JSONL, or a folder with a model.',
            cause,
          });
        }
      }),
    );
    const others = this.#texts.filter(({ name }) => texts.every((text) => text.name !== name));
    this.#texts = [...others, ...texts];
    this.#field('kind').value = 'given';
    this.#mark();
    this.#changed();
  }

  #mark(): void {
    this.#given.hidden = this.#field('kind').value !== 'given';
    const address = this.#field('parent').value;
    const own = this.#folder || !URL.canParse(address, document.baseURI);
    const url = own ? '' : new URL(address, document.baseURI).href;
    for (const button of byId('openers', HTMLDivElement).querySelectorAll('button'))
      button.setAttribute('aria-pressed', String(button.dataset.source === url));
    byId('texts', HTMLUListElement).replaceChildren(
      ...this.#texts.map(({ name, text }) => {
        const click = (): void => {
          this.#texts = this.#texts.filter((other) => other.name !== name);
          this.#mark();
          this.#changed();
        };
        const characters = `${text.length.toLocaleString('en')} characters`;
        return el(
          'li',
          {},
          el('span', { dir: 'auto' }, name),
          el('small', {}, characters),
          el('button', { type: 'button', class: 'quiet', 'aria-label': `Remove ${name}`, click }, 'Remove'),
        );
      }),
    );
  }

  /** Whether there is a parent to speak of. */
  get hasParent(): boolean {
    return this.#folder !== undefined || this.#field('parent').value.trim() !== '';
  }

  /** @throws ShishuError `bad-argument`; the field is marked then */
  read(): { parent: Parent; text: TextChoice } {
    const address = this.#field('parent').value.trim();
    if (!this.#folder && address === '') refuseField(this.#field('parent'), 'No parent was chosen.');
    const parent = this.#folder ?? guarded(this.#field('parent'), () => addressOf(address));
    const kind = this.#field('kind').value as TextChoice['kind'];
    const pasted = this.#field('text').value;
    const texts = [
      ...this.#texts,
      ...(pasted.trim() === '' ? [] : [{ name: 'the pasted text', text: pasted }]),
    ];
    if (kind === 'given' && texts.length === 0) refuseField(this.#field('text'), 'There is no text yet.');
    return {
      parent,
      text: {
        kind,
        texts: kind === 'given' ? texts : [],
        withOwn: (this.#field('withOwn') as HTMLInputElement).checked,
        tokens: wholeNumber(this.#field('tokens'), 'The number of tokens', 1, 1e8),
        window: wholeNumber(this.#field('window'), 'The window', 2, 1024),
      },
    };
  }
}
