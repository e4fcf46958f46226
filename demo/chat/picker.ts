import type { SourceLike } from '../../src/formats/open-source.ts';
import { text } from '../text/index.ts';
import { type CachedModel, cachedModels, removeCached } from './cached.ts';
import { announce, byId, el } from './dom.ts';
import { listenForDrops } from './drop.ts';
import { bytes } from './format.ts';
import { type Fit, fitsHere, KNOWN, type KnownModel, storedBytes } from './known.ts';
import { fromUrl, type ModelChoice } from './model-choice.ts';
import { plainName } from './names.ts';
import { memoryLimit } from './phone.ts';

/** A row of `models/models.json`: a model that is served with the page. `url` is relative to that file. */
interface Included {
  id: string;
  name: string;
  url: string;
  description?: string;
  openers?: string[];
  /** There is an `analysis.json` beside the weights. */
  analysed?: boolean;
}

const LIST = new URL('models/models.json', globalThis.document?.baseURI ?? 'http://localhost');

/** The models that are served with the page; none when there is no list. @throws SyntaxError when it is not JSON. */
export async function includedModels(): Promise<ModelChoice[]> {
  const response = await fetch(LIST).catch(() => undefined);
  // A server of one-page apps answers a missing file with a page.
  if (!response?.ok || response.headers.get('Content-Type')?.startsWith('text/html')) return [];
  const rows: Included[] = await response.json();
  return rows.map(({ id, name, url, description = '', openers = [], analysed = false }) => ({
    label: name,
    description,
    source: new URL(url, LIST).href,
    saved: { kind: 'included', id },
    openers,
    analysed,
  }));
}

function fromDisk(name: string, source: SourceLike): ModelChoice {
  return { label: plainName(name), source, saved: { kind: 'folder', name }, openers: [] };
}

/** Wires #pick-folder and #folder-input. */
export function wireFolder(take: (choice: ModelChoice) => void): void {
  const input = byId('folder-input', HTMLInputElement);
  byId('pick-folder', HTMLButtonElement).addEventListener('click', async () => {
    if (!('showDirectoryPicker' in window)) return input.click();
    const pick = window.showDirectoryPicker as () => Promise<FileSystemDirectoryHandle>;
    // Rejects when the reader closes the dialog.
    const folder = await pick().catch(() => undefined);
    if (folder) take(fromDisk(folder.name, folder));
  });
  input.addEventListener('change', () => {
    const files = [...(input.files ?? [])];
    // So that choosing the same folder again is a change.
    input.value = '';
    if (files.length === 0) return;
    take(fromDisk(files[0]!.webkitRelativePath.split('/')[0] || 'files', files));
  });
}

/** What the picker tells the page. */
interface PickerEvents {
  choose(choice: ModelChoice): void;
  fail(error: unknown): void;
  /** Files were dropped that are no model. */
  attach(files: File[]): void;
}

/** The list of models: what is in the browser, what comes with the page, known ones; and fields for others. */
export class Picker {
  readonly #panel = byId('model-panel', HTMLDetailsElement);
  readonly #picker = byId('picker', HTMLDivElement);
  readonly #sheet = this.#picker.parentElement!;
  readonly #included: readonly ModelChoice[];
  readonly #events: PickerEvents;
  readonly #fits = new Map<KnownModel, Fit>();
  #cached: CachedModel[] = [];
  #chosen: ModelChoice | undefined;
  #inPage = false;

  constructor(included: readonly ModelChoice[], events: PickerEvents) {
    this.#included = included;
    this.#events = events;
    wireFolder((choice) => this.#take(choice));
    this.#wireFile();
    this.#wireUrl();
    listenForDrops(
      (name, source) => {
        if (Array.isArray(source) && source.length > 0 && source.every(isAttachment)) events.attach(source);
        else this.#take(fromDisk(name, source));
      },
      (error) => events.fail(error),
    );
    this.#panel.addEventListener('toggle', () => {
      this.#place();
      if (this.#panel.open) void this.refresh();
    });
  }

  /** Lists what is in the browser now, and judges what would fit. */
  async refresh(): Promise<void> {
    this.draw();
    this.#cached = await cachedModels(new URL('.', LIST).href);
    this.draw();
    if (this.#fits.size > 0) return;
    try {
      for await (const [model, fit] of fitsHere(memoryLimit())) {
        this.#fits.set(model, fit);
        this.draw();
      }
    } catch {
      // A GPU that gives no device says so when a model is loaded.
    }
  }

  /** Marks the chosen model, and names it in the header. */
  show(choice: ModelChoice | undefined): void {
    this.#chosen = choice;
    byId('model-name', HTMLSpanElement).textContent = choice?.label ?? text.none;
    this.draw();
  }

  /** Puts the list into the page itself, as long as its panel is shut; or takes it back. */
  inPage(inPage: boolean): void {
    this.#inPage = inPage;
    this.#place();
  }

  #place(): void {
    const place = this.#inPage && !this.#panel.open ? byId('welcome-picker', HTMLDivElement) : this.#sheet;
    if (this.#picker.parentElement !== place) place.append(this.#picker);
  }

  draw(): void {
    list(
      'cached',
      this.#cached.map((model) => this.#cachedRow(model)),
    );
    list(
      'included',
      this.#included.map((choice) => this.#row(choice, [], choice.description)),
    );
    list(
      'known',
      KNOWN.map((model) => this.#knownRow(model)),
    );
  }

  #take(choice: ModelChoice): void {
    this.#panel.open = false;
    this.#events.choose(choice);
  }

  #row(choice: ModelChoice, facts: readonly (string | Node)[], about = ''): HTMLElement {
    const { kind } = choice.saved;
    const same =
      this.#chosen?.saved.kind === kind &&
      JSON.stringify(this.#chosen.saved) === JSON.stringify(choice.saved);
    const lines: Node[] = [el('span', { class: 'name', dir: 'auto' }, plainName(choice.label))];
    if (facts.length > 0)
      lines.push(
        el('small', { class: 'facts' }, ...facts.flatMap((fact, i) => (i === 0 ? [fact] : [' · ', fact]))),
      );
    if (about) lines.push(el('small', { dir: 'auto' }, about));
    const button = el(
      'button',
      { type: 'button', 'aria-pressed': String(same), click: () => this.#take(choice) },
      ...lines,
    );
    return el('li', {}, button);
  }

  #cachedRow(model: CachedModel): HTMLElement {
    const { choice, storedBytes: stored, size } = model;
    const whole = stored >= size;
    const facts = [bytes(stored), ...(whole ? [] : [text.incomplete(Math.floor((100 * stored) / size))])];
    const row = this.#row(choice, facts);
    const remove = async (): Promise<void> => {
      const freed = await removeCached(model);
      announce(text.deleted(bytes(freed)));
      await this.refresh();
    };
    row.append(
      el(
        'button',
        {
          type: 'button',
          class: 'quiet icon',
          'aria-label': text.deleteFrom(choice.label),
          title: text.deleteFrom(choice.label),
          click: () => void remove().catch((error: unknown) => this.#events.fail(error)),
        },
        '✕',
      ),
    );
    return row;
  }

  #knownRow(model: KnownModel): HTMLElement {
    const fit = this.#fits.get(model);
    const choice = {
      ...fromUrl(model.id),
      label: model.id,
      ...(fit?.kind === 'smaller' && { dtype: fit.dtype }),
    };
    const facts: (string | Node)[] = [
      bytes(storedBytes(model)),
      text.licence(model.licence),
      ...(fit ? [el('span', { class: `fit ${fit.kind}` }, fitText(fit))] : []),
    ];
    return this.#row(choice, facts, text.good[model.good]);
  }

  /** Wires #pick-file and #file-input; a model in several GGUF files needs all of them. */
  #wireFile(): void {
    const input = byId('file-input', HTMLInputElement);
    byId('pick-file', HTMLButtonElement).addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])];
      input.value = '';
      if (files.length > 0) this.#take(fromDisk(files[0]!.name, files));
    });
  }

  #wireUrl(): void {
    byId('url-form', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      try {
        this.#take(fromUrl(byId('url', HTMLInputElement).value));
      } catch (error) {
        this.#events.fail(error);
      }
    });
  }
}

/** Files of a model have other names. */
const isAttachment = ({ name, type }: File): boolean =>
  !/\.(json|safetensors|gguf|jinja|model)$/i.test(name) &&
  (type.startsWith('text/') || /\.\w{1,5}$/.test(name));

const fitText = (fit: Fit): string =>
  fit.kind === 'fits' ? text.fits : fit.kind === 'smaller' ? text.fitsAs(fit.dtype) : text.fitsNot;

/** Fills a list; one with nothing in it is hidden. The focus stays in its row. */
function list(id: string, rows: readonly HTMLElement[]): void {
  const place = byId(`${id}-list`, HTMLUListElement);
  const buttons = [...place.querySelectorAll('button')];
  const focused = buttons.indexOf(document.activeElement as HTMLButtonElement);
  place.replaceChildren(...rows);
  place.closest('section')!.hidden = rows.length === 0;
  if (focused >= 0) place.querySelectorAll('button')[focused]?.focus();
}
