import type { GenerateOptions, ModelInfo } from '../../src/engine/types.ts';
import { byId } from './dom.ts';

const DEFAULTS: Record<string, string> = {
  temperature: '0.5',
  topP: '0.9',
  topK: '40',
  maxTokens: '256',
  seed: '',
  mode: 'auto',
  think: 'yes',
  system: '',
};

const isSwitch = (control: Control): control is HTMLInputElement => control.type === 'checkbox';

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

/** The settings panel: sampling, system prompt and the kind of prompt. */
export class Settings {
  readonly #form = byId('settings', HTMLFormElement);
  /** The page's own, and what the model's files say of sampling. */
  #defaults = DEFAULTS;

  /** @param saved what was set otherwise than the defaults */
  constructor(saved: Record<string, string> = {}, onChange: () => void = () => {}) {
    this.values = { ...DEFAULTS, ...saved };
    this.#form.addEventListener('input', () => {
      for (const control of this.#controls())
        control.setAttribute('aria-invalid', String(!control.checkValidity()));
      onChange();
    });
    this.#form.addEventListener('submit', (event) => event.preventDefault());
    byId('defaults', HTMLButtonElement).addEventListener('click', () => {
      this.values = this.#defaults;
      onChange();
    });
  }

  /** Takes the sampling that a model's files ask for as defaults; what the reader set stays. */
  suggest({ temperature, topP, topK }: ModelInfo['sampling'] = {}): void {
    const changed = this.changed;
    const given = Object.entries({ temperature, topP, topK }).filter(([, value]) => value !== undefined);
    this.#defaults = { ...DEFAULTS, ...Object.fromEntries(given.map(([name, value]) => [name, `${value}`])) };
    this.values = { ...this.#defaults, ...changed };
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
    const { temperature, topP, topK, maxTokens, seed } = this.values;
    return {
      temperature: Number(temperature),
      topP: Number(topP),
      topK: Number(topK),
      maxTokens: Number(maxTokens),
      ...(seed !== '' && { seed: Number(seed) }),
    };
  }

  #controls(): Control[] {
    return [...this.#form.elements].filter((e): e is Control => 'name' in e && e.name !== '');
  }
}
