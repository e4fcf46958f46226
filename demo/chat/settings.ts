import type { GenerateOptions, ModelInfo } from '../../src/engine/types.ts';
import { text } from '../text/index.ts';
import { byId, el } from './dom.ts';

const DEFAULTS: Record<string, string> = {
  temperature: '0.5',
  topP: '0.9',
  topK: '40',
  minP: '0',
  repetitionPenalty: '1',
  maxTokens: '1024',
  seed: '',
  mode: 'auto',
  think: 'yes',
  tools: 'no',
  system: '',
};

const isSwitch = (control: Control): control is HTMLInputElement => control.type === 'checkbox';

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

/** The settings panel: sampling, system prompt and the kind of prompt, of one conversation. */
export class Settings {
  readonly #form = byId('settings', HTMLFormElement);
  /** What the model's files say of sampling, by the name of the setting. */
  #own: Record<string, string> = {};

  constructor(onChange: () => void) {
    this.values = DEFAULTS;
    this.#form.addEventListener('input', () => {
      for (const control of this.#controls())
        control.setAttribute('aria-invalid', String(!control.checkValidity()));
      this.mark();
      onChange();
    });
    this.#form.addEventListener('submit', (event) => event.preventDefault());
    byId('defaults', HTMLButtonElement).addEventListener('click', () => {
      this.use({});
      onChange();
    });
  }

  get #defaults(): Record<string, string> {
    return { ...DEFAULTS, ...this.#own };
  }

  /** Takes the sampling that a model's files ask for as defaults; what the reader set stays. */
  suggest(sampling: ModelInfo['sampling'] = {}): void {
    const { changed } = this;
    const given = Object.entries(sampling).filter(([name, value]) => name in DEFAULTS && value !== undefined);
    this.#own = Object.fromEntries(given.map(([name, value]) => [name, `${value}`]));
    this.use(changed);
  }

  /** Takes the settings of a conversation. @param changed those that are not the defaults */
  use(changed: Record<string, string>): void {
    this.values = { ...this.#defaults, ...changed };
    this.mark();
  }

  /** Says at each setting what its default is where it was changed, and where the default is the model's. */
  mark(): void {
    const { values } = this;
    for (const control of this.#controls()) {
      const field = control.closest('.field');
      const place = field?.querySelector('span');
      if (!field || !place) continue;
      const { name } = control;
      const value = this.#defaults[name] ?? '';
      const isChanged = values[name] !== value;
      field.classList.toggle('changed', isChanged);
      field.querySelector('.mark')?.remove();
      const owned = Object.hasOwn(this.#own, name);
      if (isChanged && value !== '' && control.type !== 'checkbox')
        place.append(
          el('small', { class: 'mark' }, owned ? text.modelDefault(value) : text.defaultOf(value)),
        );
      else if (owned && !isChanged) place.append(el('small', { class: 'mark' }, text.ownDefault));
    }
  }

  /** The settings that are not the defaults. */
  get changed(): Record<string, string> {
    return Object.fromEntries(
      Object.entries(this.values).filter(([name, value]) => value !== this.#defaults[name]),
    );
  }

  get values(): Record<string, string> {
    return Object.fromEntries(
      this.#controls().map((control) => [
        control.name,
        isSwitch(control) ? (control.checked ? 'yes' : 'no') : control.value,
      ]),
    );
  }

  set values(values: Record<string, string>) {
    for (const control of this.#controls()) {
      const value = values[control.name] ?? '';
      if (isSwitch(control)) control.checked = value === 'yes';
      else control.value = value;
      control.setAttribute('aria-invalid', 'false');
    }
  }

  /** As it was written; empty where it is white space alone. */
  get system(): string {
    const { system = '' } = this.values;
    return system.trim() === '' ? '' : system;
  }

  /** Whether models that can are to think before they answer. */
  get think(): boolean {
    return this.values.think === 'yes';
  }

  /** Whether models that can are told of the page's tools. */
  get tools(): boolean {
    return this.values.tools === 'yes';
  }

  /** The kind of prompt, given whether the model has a chat template. */
  mode(hasChatTemplate: boolean): 'chat' | 'continue' {
    const { mode } = this.values;
    return mode === 'continue' || !hasChatTemplate ? 'continue' : 'chat';
  }

  /** Sampling options; undefined (and the panel open at the fault) when a number is out of range. */
  options(): GenerateOptions | undefined {
    const invalid = this.#controls().find((control) => !control.checkValidity());
    if (invalid) {
      byId('settings-panel', HTMLDetailsElement).open = true;
      invalid.reportValidity();
      return undefined;
    }
    const { temperature, topP, topK, minP, repetitionPenalty, maxTokens, seed } = this.values;
    return {
      temperature: Number(temperature),
      topP: Number(topP),
      topK: Number(topK),
      minP: Number(minP),
      repetitionPenalty: Number(repetitionPenalty),
      maxTokens: Number(maxTokens),
      ...(seed !== '' && { seed: Number(seed) }),
    };
  }

  #controls(): Control[] {
    return [...this.#form.elements].filter((e): e is Control => 'name' in e && e.name !== '');
  }
}
