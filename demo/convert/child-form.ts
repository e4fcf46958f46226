import type { HealOptions } from '../../src/convert/heal-plan.ts';
import { SHARES } from '../../src/convert/share.ts';
import { layersOf, riseOf, savingOf } from '../../src/convert/target.ts';
import { MOST_INPUTS } from '../../src/kernels/inputs.ts';
import { byId, el } from '../chat/dom.ts';
import { type Field, fieldOf, markField, refuseField } from '../fields.ts';
import { guarded, wholeNumber } from './parent-form.ts';
import type { ChildChoice } from './request.ts';

/** Bytes of what a browser says of a device's memory, at most 8 of them; half of it is left to all else. */
const memoryGuess = (): number => {
  const { deviceMemory = 8 } = navigator as Navigator & { deviceMemory?: number };
  return Math.max(1, deviceMemory / 2);
};

/** How the child is made from the parent. */
export class ChildForm {
  readonly #form = byId('settings', HTMLFormElement);

  constructor() {
    this.#field('share').append(...SHARES.map((value) => el('option', { value }, value)));
    this.#field('share').value = 'average';
    this.#field('memoryLimit').value = String(memoryGuess());
    this.#form.addEventListener('input', () => this.#mark());
    this.#mark();
  }

  #field(name: string): Field {
    return fieldOf(this.#form, name);
  }

  /** Says what is known of the parent beside the fields. */
  showParent(blocks: number): void {
    (this.#field('keep') as HTMLInputElement).placeholder = `${Math.ceil(blocks / 2)} of ${blocks}`;
  }

  /** Marks the field that an error is about, where its details name one. */
  mark(details: Readonly<Record<string, unknown>>): void {
    const names: Record<string, string> = { sharePairs: 'pairs', rank: 'rank', inputs: 'inputs' };
    for (const [detail, name] of Object.entries(names))
      if (Object.hasOwn(details, detail)) markField(this.#field(name));
  }

  #mark(): void {
    const target = this.#field('target').value;
    for (const label of this.#form.querySelectorAll<HTMLElement>('[data-target]'))
      label.hidden = label.dataset.target !== target;
    for (const name of ['rank', 'inputs']) this.#field(name).closest('label')!.hidden = !this.#linear();
    for (const label of this.#form.querySelectorAll<HTMLElement>('[data-heal]'))
      label.hidden = !(Number(this.#field('heal').value) > 0);
  }

  #linear(): boolean {
    return this.#field('linear').value === 'yes';
  }

  /** A name that says what is done. */
  #name(parent: string): string {
    const target = this.#field('target').value;
    const what = this.#field(target === 'keep' ? 'keep' : target).value.replace(/[^\w.-]+/g, '') || 'half';
    const rank = Number(this.#field('rank').value) > 0 ? this.#field('rank').value.trim() : '';
    const linear = this.#linear() ? `-linear${rank}` : '';
    const pairs = Number(this.#field('pairs').value) > 0 ? `-${this.#field('pairs').value}pairs` : '';
    const healed = Number(this.#field('heal').value) > 0 ? '-healed' : '';
    return `${parent.replace(/[^\w.-]+/g, '-')}-${target}${what}${linear}${pairs}${healed}`;
  }

  #number(name: string, label: string, from: number, to: number): number {
    const field = this.#field(name);
    const value = Number(field.value);
    if (field.value.trim() === '' || !(value >= from && value <= to))
      refuseField(field, `${label} is "${field.value}", expected a number from ${from} to ${to}.`);
    return value;
  }

  #healing(): HealOptions | undefined {
    const tokens = wholeNumber(this.#field('heal'), 'The number of tokens to heal with', 0, 1e9);
    if (tokens === 0) return undefined;
    const trained = this.#field('trained').value;
    const rate = this.#field('healRate').value.trim();
    return {
      tokens,
      memory: 1e9 * this.#number('memoryLimit', 'The memory for healing', 0.001, 1e4),
      checkpointMinutes: this.#number('checkpoints', 'The time between checkpoints', 0, 1e4),
      ...(trained === 'all' || trained === 'changed' ? { trained } : {}),
      ...(trained === 'lora' && { trained: { rank: wholeNumber(this.#field('lora'), 'The rank', 1, 4096) } }),
      ...(rate !== '' && { learningRate: this.#number('healRate', 'The learning rate', 1e-9, 1) }),
    };
  }

  /** @throws ShishuError `bad-argument`; the field is marked then */
  readChild(): ChildChoice {
    const target = this.#field('target').value;
    const rank = wholeNumber(this.#field('rank'), 'The rank', 0, 1e6);
    const inputs = wholeNumber(this.#field('inputs'), 'The number of inputs', 1, MOST_INPUTS);
    const share = SHARES.find((value) => value === this.#field('share').value)!;
    const keep = this.#field('keep');
    return {
      ...(target === 'keep' &&
        keep.value.trim() !== '' && {
          keepAttention: wholeNumber(keep, 'The number of blocks to keep', 0, 9999),
        }),
      ...(target === 'layers' && {
        layers: guarded(this.#field('layers'), () => layersOf(this.#field('layers').value)),
      }),
      ...(target === 'memory' && {
        saveMemory: guarded(this.#field('memory'), () => savingOf(this.#field('memory').value)),
      }),
      ...(target === 'perplexity' && {
        maxPerplexity: guarded(this.#field('perplexity'), () => riseOf(this.#field('perplexity').value)),
      }),
      linear: this.#linear(),
      ...(this.#linear() && rank > 0 && { rank }),
      ...(this.#linear() && inputs > 1 && { inputs }),
      sharePairs: wholeNumber(this.#field('pairs'), 'The number of pairs', 0, 9999),
      share,
      heal: this.#healing(),
    };
  }

  /** @param taken names that are in use. @throws ShishuError `bad-argument`; the field is marked then */
  readName(parent: string, taken: readonly string[]): string {
    const given = this.#field('name').value.trim();
    if (given && !/^\w[\w.-]{0,80}$/.test(given))
      refuseField(
        this.#field('name'),
        `"${given}" is no name: letters, digits, points and hyphens make one.`,
      );
    const wanted = given || this.#name(parent);
    if (given && taken.includes(given))
      refuseField(
        this.#field('name'),
        `There is a model "${given}" already: give another name, or remove it.`,
      );
    return freeName(wanted, taken);
  }
}

/** A name that is not taken yet. */
export function freeName(wanted: string, taken: readonly string[]): string {
  let name = wanted;
  for (let i = 2; taken.includes(name); i++) name = `${wanted}-${i}`;
  return name;
}
