import type { ConvertOptions } from '../../src/convert/convert.ts';
import { SHARES } from '../../src/convert/share.ts';
import { layersOf, savingOf } from '../../src/convert/target.ts';
import { ShishuError } from '../../src/errors.ts';
import type { SourceLike } from '../../src/formats/open-source.ts';
import { byId, el } from '../chat/dom.ts';
import { listenForDrops } from '../chat/drop.ts';
import { type ModelChoice, wireFolder } from '../chat/picker.ts';
import { type Field, fieldOf, markField, refuseField, unmarkFields } from '../fields.ts';
import { addressOf } from '../hub.ts';
import type { TextChoice } from './worker.ts';

/** A parent as it was chosen. */
interface Parent {
  label: string;
  source: SourceLike;
}

/** Runs `read`; an error of its own marks the field. */
function guarded<T>(field: Field, read: () => T): T {
  try {
    return read();
  } catch (error) {
    markField(field);
    throw error;
  }
}

function wholeNumber(form: HTMLFormElement, name: string, label: string, from: number, to: number): number {
  const field = fieldOf(form, name);
  const text = field.value.trim();
  const value = Number(text);
  if (text === '' || !Number.isInteger(value) || value < from || value > to)
    refuseField(field, `${label} is "${text}", expected a whole number from ${from} to ${to}.`);
  return value;
}

/** Which parent and which text: the upper form. */
export class ParentForm {
  readonly #form = byId('settings', HTMLFormElement);
  readonly #given = byId('given', HTMLDivElement);
  /** A folder from the disk; it gives way when the field is written in. */
  #folder: Parent | undefined;

  constructor(included: readonly ModelChoice[], fail: (error: unknown) => void) {
    const parent = this.#field('parent');
    byId('openers', HTMLDivElement).replaceChildren(
      ...included.map(({ label, source }) => {
        const click = (): void => {
          this.#folder = undefined;
          parent.value = String(source).replace(new URL('.', document.baseURI).href, '');
          this.#mark();
        };
        return el('button', { type: 'button', 'data-source': String(source), click }, label);
      }),
    );
    byId('openers', HTMLDivElement).querySelector('button')?.click();
    parent.addEventListener('input', () => {
      this.#folder = undefined;
      this.#mark();
    });
    const take = (label: string, source: SourceLike): void => {
      this.#folder = { label, source };
      parent.value = `the folder ${label}`;
      this.#mark();
    };
    wireFolder(({ label, source }) => take(label, source));
    listenForDrops((name, source) => {
      const files = Array.isArray(source) ? (source as File[]) : [];
      const model = files.length === 0 || files.some(({ name }) => name === 'config.json');
      if (model) take(name, source);
      else this.#takeText(files[0]!).catch(fail);
    }, fail);
    this.#field('kind').addEventListener('input', () => this.#mark());
    const file = byId('text-file', HTMLInputElement);
    file.addEventListener('change', () => {
      if (file.files?.[0]) this.#takeText(file.files[0]).catch(fail);
    });
    this.#form.addEventListener('input', () => unmarkFields(this.#form));
    this.#mark();
  }

  #field(name: string): Field {
    return fieldOf(this.#form, name);
  }

  async #takeText(file: File): Promise<void> {
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
      (this.#field('text') as HTMLTextAreaElement).value = text;
    } catch (cause) {
      throw new ShishuError('bad-argument', `${file.name} is not UTF-8 text.`, {
        details: { file: file.name },
        mend: 'Choose a text file, or a folder with a model.',
        cause,
      });
    }
    this.#field('kind').value = 'given';
    this.#mark();
  }

  #mark(): void {
    this.#given.hidden = this.#field('kind').value !== 'given';
    const address = this.#field('parent').value;
    const own = this.#folder || !URL.canParse(address, document.baseURI);
    const url = own ? '' : new URL(address, document.baseURI).href;
    for (const button of byId('openers', HTMLDivElement).querySelectorAll('button'))
      button.setAttribute('aria-pressed', String(button.dataset.source === url));
  }

  /** @throws ShishuError `bad-argument`; the field is marked then */
  read(): { parent: Parent; text: TextChoice } {
    unmarkFields(this.#form);
    const address = this.#field('parent').value.trim();
    if (!this.#folder && address === '') refuseField(this.#field('parent'), 'No parent was chosen.');
    const parent = this.#folder ?? guarded(this.#field('parent'), () => addressOf(address));
    const kind = this.#field('kind').value as TextChoice['kind'];
    const text = this.#field('text').value;
    if (kind === 'given' && text.trim() === '') refuseField(this.#field('text'), 'There is no text yet.');
    return {
      parent,
      text: {
        kind,
        text,
        tokens: wholeNumber(this.#form, 'tokens', 'The number of tokens', 1, 1e8),
        window: wholeNumber(this.#form, 'window', 'The window', 2, 1024),
      },
    };
  }
}

/** The lower form: how the child is made from the parent. */
export class ChildForm {
  readonly #form = byId('conversion', HTMLFormElement);
  #parent = '';
  #layers = 0;

  constructor() {
    this.#field('share').append(
      ...['average', 'keep-first', 'keep-second'].map((value) => el('option', { value }, value)),
    );
    this.#form.addEventListener('input', () => {
      unmarkFields(this.#form);
      this.#mark();
    });
  }

  #field(name: string): Field {
    return fieldOf(this.#form, name);
  }

  /** Shows the form for a parent of so many blocks. */
  show(parent: string, layers: number): void {
    this.#parent = parent.replace(/[^\w.-]+/g, '-');
    this.#layers = layers;
    this.#form.hidden = false;
    this.#field('keep').value = String(Math.ceil(layers / 2));
    this.#mark();
  }

  hide(): void {
    this.#form.hidden = true;
  }

  /** Marks the field that an error is about. */
  mark(name: string): void {
    markField(this.#field(name));
  }

  #mark(): void {
    const target = this.#field('target').value;
    for (const label of this.#form.querySelectorAll<HTMLElement>('[data-target]'))
      label.hidden = label.dataset.target !== target;
    this.#field('rank').closest('label')!.hidden = !this.#linear();
    this.#field('healRate').closest('label')!.hidden = !(Number(this.#field('heal').value) > 0);
    (this.#field('name') as HTMLInputElement).placeholder = this.#name();
  }

  /** A name that says what is done. */
  #name(): string {
    const target = this.#field('target').value;
    const what = this.#field(target === 'keep' ? 'keep' : target).value.replace(/[^\w.-]+/g, '');
    const rank = Number(this.#field('rank').value) > 0 ? this.#field('rank').value.trim() : '';
    const linear = this.#linear() ? `-linear${rank}` : '';
    const pairs = Number(this.#field('pairs').value) > 0 ? `-${this.#field('pairs').value}pairs` : '';
    const healed = Number(this.#field('heal').value) > 0 ? '-healed' : '';
    return `${this.#parent}-${target}${what}${linear}${pairs}${healed}`;
  }

  #linear(): boolean {
    return this.#field('linear').value === 'yes';
  }

  #healRate(): number {
    const field = this.#field('healRate');
    const rate = Number(field.value);
    if (!(rate > 0 && rate <= 1))
      refuseField(field, `The learning rate is "${field.value}", expected a number above 0, at most 1.`);
    return rate;
  }

  /** @param taken names that are in use. @throws ShishuError `bad-argument`; the field is marked then */
  read(taken: readonly string[]): { name: string; options: ConvertOptions } {
    unmarkFields(this.#form);
    const given = this.#field('name').value.trim();
    if (given && !/^\w[\w.-]{0,80}$/.test(given))
      refuseField(
        this.#field('name'),
        `"${given}" is no name: letters, digits, points and hyphens make one.`,
      );
    let name = given || this.#name();
    for (let i = 2; !given && taken.includes(name); i++) name = `${this.#name()}-${i}`;
    const target = this.#field('target').value;
    const share = SHARES.find((each) => each === this.#field('share').value)!;
    const rank = this.#linear() ? wholeNumber(this.#form, 'rank', 'The rank', 0, 1e6) : 0;
    const healTokens = wholeNumber(this.#form, 'heal', 'The number of tokens to heal with', 0, 1e9);
    return {
      name,
      options: {
        ...(target === 'keep' && {
          keepAttention: wholeNumber(
            this.#form,
            'keep',
            'The number of blocks to keep',
            0,
            Math.max(0, this.#layers - 1),
          ),
        }),
        ...(target === 'layers' && {
          layers: guarded(this.#field('layers'), () => layersOf(this.#field('layers').value)),
        }),
        ...(target === 'memory' && {
          saveMemory: guarded(this.#field('memory'), () => savingOf(this.#field('memory').value)),
        }),
        linear: this.#linear(),
        rank: rank || undefined,
        sharePairs: wholeNumber(this.#form, 'pairs', 'The number of pairs', 0, Math.floor(this.#layers / 2)),
        share,
        heal: healTokens > 0 ? { tokens: healTokens, learningRate: this.#healRate() } : undefined,
      },
    };
  }
}
