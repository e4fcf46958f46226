import { type RunSettings, runSettingsText } from '../../src/bench/settings.ts';
import {
  type BenchSettings,
  benchModelText,
  FULL,
  PRESETS,
  parseSettings,
  QUICK,
  type SettingName,
  settingsFromLink,
  settingsText,
  settingsToLink,
} from '../../src/bench.ts';
import { ShishuError } from '../../src/errors.ts';
import { byId, el } from '../chat/dom.ts';
import type { ModelChoice } from '../chat/model-choice.ts';
import { addDtypes } from '../dtypes.ts';
import { type Field, fieldOf, markField, refuseField, unmarkFields } from '../fields.ts';

/** Blocks of a shape that a software adapter runs in bearable time. */
const SLICE = '6';

/** The limit of memory in a link: it is no setting of the run, but decides whether there is one. */
const MEMORY = 'memory';

interface Pair {
  label: string;
  parent: string;
  child: string;
  shape: boolean;
}

/** The embedded models whose folders are called parent and child, first; then the presets with their first child. */
function pairsOf(included: readonly ModelChoice[]): Pair[] {
  const find = (id: string): string | undefined => {
    const source = included.find(({ saved }) => saved.kind === 'included' && saved.id === id)?.source;
    // Relative to the page, so that a link holds wherever the page is served from.
    return typeof source === 'string' ? source.replace(new URL('.', document.baseURI).href, '') : undefined;
  };
  const [parent, child] = [find('parent'), find('child')];
  return [
    ...(parent && child ? [{ label: 'Included pair', parent, child, shape: false }] : []),
    ...PRESETS.map(({ name, children }) => ({
      label: name,
      parent: name,
      child: benchModelText({ kind: 'shape', preset: name, stack: children[0] }),
      shape: true,
    })),
  ];
}

/** The form of settings: pairs to click, fields, and the link that holds them. */
export class Form {
  readonly #form = byId('settings', HTMLFormElement);
  readonly #memory = byId('memory', HTMLInputElement);
  readonly #pairs: readonly Pair[];
  readonly #software: boolean;

  constructor(included: readonly ModelChoice[], software: boolean) {
    this.#pairs = pairsOf(included);
    this.#software = software;
    const pairs = byId('openers', HTMLDivElement);
    pairs.replaceChildren(
      ...this.#pairs.map((pair) =>
        el(
          'button',
          { type: 'button', 'aria-pressed': 'false', click: () => this.#choose(pair) },
          pair.label,
        ),
      ),
    );
    byId('specs', HTMLDataListElement).replaceChildren(
      ...PRESETS.flatMap(({ name, children }) => [
        el('option', { value: name }),
        ...children.map((stack) =>
          el('option', { value: benchModelText({ kind: 'shape', preset: name, stack }) }),
        ),
      ]),
    );
    byId('quick', HTMLButtonElement).addEventListener('click', () => this.#take(QUICK));
    byId('full', HTMLButtonElement).addEventListener('click', () => this.#take(FULL));
    addDtypes(this.#field('dtype') as HTMLSelectElement);
    this.#form.addEventListener('input', () => this.#mark());
    // deviceMemory is in GB, at most 8; half of it is left to everything else.
    const { deviceMemory = 4 } = navigator as Navigator & { deviceMemory?: number };
    this.#memory.value = String(deviceMemory / 2);
    this.#take(QUICK);
    this.#choose(this.#pairs[0]!);
    this.#form.hidden = false;
  }

  #field(name: SettingName): Field {
    return fieldOf(this.#form, name);
  }

  #take(settings: RunSettings): void {
    const { blocks: _, ...texts } = runSettingsText(settings);
    for (const [name, text] of Object.entries(texts)) this.#field(name as SettingName).value = text;
  }

  #choose({ parent, child, shape }: Pair): void {
    this.#field('parent').value = parent;
    this.#field('child').value = child;
    // A whole model would take a software adapter very long.
    this.#field('blocks').value = shape && this.#software ? SLICE : 'all';
    this.#mark();
  }

  /** Marks the pair that the fields hold. */
  #mark(): void {
    unmarkFields(this.#form);
    const [parent, child] = [this.#field('parent').value, this.#field('child').value];
    byId('openers', HTMLDivElement)
      .querySelectorAll('button')
      .forEach((button, i) => {
        const pair = this.#pairs[i]!;
        button.setAttribute('aria-pressed', String(pair.parent === parent && pair.child === child));
      });
  }

  /** The part of a link after `#`: all that the form holds. @throws ShishuError `bad-argument` */
  toLink(): string {
    const link = new URLSearchParams(settingsToLink(this.read().settings));
    link.set(MEMORY, this.#memory.value);
    return link.toString();
  }

  /** Fills the fields from the part of a link after `#`. @throws ShishuError `bad-argument` */
  fromLink(hash: string): void {
    const link = new URLSearchParams(hash.replace(/^#/, ''));
    const memory = link.get(MEMORY);
    link.delete(MEMORY);
    const texts = settingsText(settingsFromLink(link.toString()));
    if (memory !== null) this.#memory.value = memory;
    for (const [name, text] of Object.entries(texts)) this.#field(name as SettingName).value = text;
    this.#mark();
  }

  /** @throws ShishuError `bad-argument`; the field is marked then */
  read(): { settings: BenchSettings; budget: number } {
    const texts: Record<string, string> = {};
    for (const [name, text] of new FormData(this.#form)) texts[name] = String(text).trim();
    const gigabytes = Number(this.#memory.value);
    if (!(gigabytes > 0))
      refuseField(this.#memory, `The memory limit is "${this.#memory.value}", expected GB above 0.`);
    try {
      return { settings: parseSettings(texts), budget: gigabytes * 1e9 };
    } catch (error) {
      if (error instanceof ShishuError && typeof error.details.setting === 'string') {
        markField(this.#field(error.details.setting as SettingName));
      }
      throw error;
    }
  }
}
