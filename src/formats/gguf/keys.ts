import { ShishuError } from '../../errors.ts';
import type { GgufValue } from './cursor.ts';
import type { Metadata } from './header.ts';

/** Reads metadata by key, and knows which keys have been asked for. */
export class Keys {
  readonly file: string;
  readonly #metadata: Metadata;
  readonly #read = new Set<string>();

  constructor(file: string, metadata: Metadata) {
    this.file = file;
    this.#metadata = metadata;
  }

  /** @throws ShishuError naming the key */
  refuse(
    key: string,
    message: string,
    code: 'bad-checkpoint' | 'bad-tokenizer' | 'unsupported',
    mend?: string,
  ): never {
    throw new ShishuError(code, `${this.file}: "${key}" ${message}`, {
      details: { file: this.file, key },
      mend,
    });
  }

  #value<T>(key: string, kind: string, check: (value: GgufValue) => value is GgufValue & T): T | undefined {
    this.#read.add(key);
    const value = this.#metadata.get(key);
    if (value === undefined || check(value)) return value;
    const shown = typeof value === 'object' ? 'a list' : JSON.stringify(String(value).slice(0, 100));
    return this.refuse(key, `is ${shown}, expected ${kind}.`, 'bad-checkpoint');
  }

  number(key: string): number | undefined {
    // What is not finite would be lost in JSON, and a default would take its place.
    const value = this.#value(key, 'a number', (v): v is number => Number.isFinite(v));
    // Whole numbers come as they are; fractions have been rounded to f32, and the number that was meant has fewest digits.
    return value === undefined || Number.isInteger(value) ? value : shortest(value);
  }

  /** A number, or one for each layer that is the same in all. */
  same(key: string): number | undefined {
    const value = this.#metadata.get(key);
    if (!isList(value)) return this.number(key);
    this.#read.add(key);
    const [first, ...others] = Array.from(value as ArrayLike<GgufValue>);
    if (Number.isFinite(first) && others.every((each) => each === first)) return first as number;
    return this.refuse(key, 'differs from layer to layer, which is not supported.', 'unsupported');
  }

  /** The id of a token; none where it is -1, as converters write it of tokens that a model lacks. */
  tokenId(key: string): number | undefined {
    const id = this.number(key);
    return id === -1 || id === 2 ** 32 - 1 ? undefined : id;
  }

  text(key: string): string | undefined {
    return this.#value(key, 'a text', (v): v is string => typeof v === 'string');
  }

  flag(key: string): boolean | undefined {
    return this.#value(key, 'true or false', (v): v is boolean => typeof v === 'boolean');
  }

  texts(key: string): readonly string[] | undefined {
    const check = (v: GgufValue): v is readonly string[] =>
      Array.isArray(v) && v.every((each) => typeof each === 'string');
    return this.#value(key, 'a list of texts', check);
  }

  numbers(key: string): ArrayLike<number> | undefined {
    const check = (v: GgufValue): v is Float32Array | Int32Array | Uint32Array =>
      v instanceof Float32Array || v instanceof Int32Array || v instanceof Uint32Array;
    return this.#value(key, 'a list of numbers', check);
  }

  need<T>(value: T | undefined, key: string, code: 'bad-checkpoint' | 'bad-tokenizer' = 'bad-checkpoint'): T {
    return value ?? this.refuse(key, 'is missing.', code);
  }

  /** Keys that begin so and have not been asked for. */
  unread(prefix: string): string[] {
    return [...this.#metadata.keys()].filter((key) => key.startsWith(prefix) && !this.#read.has(key));
  }

  /** Keys that begin so. */
  under(prefix: string): string[] {
    return [...this.#metadata.keys()].filter((key) => key.startsWith(prefix));
  }
}

const isList = (value: GgufValue | undefined): boolean => typeof value === 'object';

/** The number of fewest digits that f32 rounds to this one. */
function shortest(value: number): number {
  for (let digits = 1; digits < 10; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return rounded;
  }
  return value;
}
