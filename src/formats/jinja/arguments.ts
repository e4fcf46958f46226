import { describe, intOf, truth, Undefined, type Value } from './values.ts';

/** The arguments of a call, by place or by name. */
export class Arguments {
  readonly all: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;

  constructor(all: readonly Value[], named: ReadonlyMap<string, Value> = new Map()) {
    this.all = all;
    this.named = named;
  }

  get(place: number, name: string): Value | undefined {
    return place < this.all.length ? this.all[place] : this.named.get(name);
  }

  text(place: number, name: string): string {
    const value = this.get(place, name);
    if (typeof value === 'string') return value;
    throw new TypeError(
      `${value === undefined ? 'nothing' : describe(value)} is given where a text is wanted`,
    );
  }

  /** A text that may be left out, or None. */
  optional(place: number, name: string): string | undefined {
    const value = this.get(place, name);
    return value === undefined || value === null ? undefined : this.text(place, name);
  }

  int(place: number, name: string, otherwise: number): number {
    const value = this.get(place, name);
    return value === undefined || value === null || value instanceof Undefined ? otherwise : intOf(value);
  }

  flag(place: number, name: string): boolean {
    return truth(this.get(place, name) ?? false);
  }
}
