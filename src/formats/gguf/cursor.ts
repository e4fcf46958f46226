import { ShishuError } from '../../errors.ts';

/** More bytes of the file are needed: those before `end`. */
export class Short {
  readonly end: number;

  constructor(end: number) {
    this.end = end;
  }
}

/** The value of a metadata key. Whole numbers past 2^53 are bigints; numbers in arrays are typed arrays. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[] | NumberArray;

export type NumberArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

interface Scalar {
  bytes: number;
  read(view: DataView, at: number): number | bigint;
  array: new (buffer: ArrayBuffer) => NumberArray;
}

/** Value types that are numbers, by the format's number of the type. */
const NUMBERS: Record<number, Scalar> = {
  0: { bytes: 1, read: (view, at) => view.getUint8(at), array: Uint8Array },
  1: { bytes: 1, read: (view, at) => view.getInt8(at), array: Int8Array },
  2: { bytes: 2, read: (view, at) => view.getUint16(at, true), array: Uint16Array },
  3: { bytes: 2, read: (view, at) => view.getInt16(at, true), array: Int16Array },
  4: { bytes: 4, read: (view, at) => view.getUint32(at, true), array: Uint32Array },
  5: { bytes: 4, read: (view, at) => view.getInt32(at, true), array: Int32Array },
  6: { bytes: 4, read: (view, at) => view.getFloat32(at, true), array: Float32Array },
  10: { bytes: 8, read: (view, at) => view.getBigUint64(at, true), array: BigUint64Array },
  11: { bytes: 8, read: (view, at) => view.getBigInt64(at, true), array: BigInt64Array },
  12: { bytes: 8, read: (view, at) => view.getFloat64(at, true), array: Float64Array },
};
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;
const DEEPEST = 3;

/** Fewest bytes that a value of a type takes. */
const leastBytes = (type: number): number =>
  NUMBERS[type]?.bytes ?? (type === BOOL ? 1 : type === STRING ? 8 : 12);

/** Reads the beginning of a GGUF file, of which `bytes` are there and `limit` may be. Nothing is sized by what was not checked. */
export class Cursor {
  at = 0;
  readonly file: string;
  /** Where the header must have ended, at the latest. */
  readonly limit: number;
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;

  constructor(file: string, bytes: Uint8Array<ArrayBuffer>, limit: number) {
    this.file = file;
    this.limit = limit;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** How many bytes are there. */
  get have(): number {
    return this.#bytes.length;
  }

  first(count: number): Uint8Array {
    return this.#bytes.subarray(0, count);
  }

  append(more: Uint8Array): void {
    const all = new Uint8Array(this.#bytes.length + more.length);
    all.set(this.#bytes);
    all.set(more, this.#bytes.length);
    this.#bytes = all;
    this.#view = new DataView(all.buffer);
  }

  fail(what: string, message: string, details: Record<string, string | number> = {}): never {
    throw new ShishuError('bad-checkpoint', `${this.file}: ${what} ${message}`, {
      details: { file: this.file, what, ...details },
      mend: 'The file may be cut short or damaged: fetch it again.',
    });
  }

  /** Steps over bytes that must be there; returns where they begin. */
  take(bytes: number, what: string): number {
    const left = this.limit - this.at;
    if (bytes > left)
      this.fail(what, `takes ${bytes} bytes at byte ${this.at}, where at most ${left} are left.`, {
        found: bytes,
        limit: left,
      });
    if (this.at + bytes > this.have) throw new Short(this.at + bytes);
    const { at } = this;
    this.at += bytes;
    return at;
  }

  u32(what: string): number {
    return this.#view.getUint32(this.take(4, what), true);
  }

  u64(what: string): bigint {
    return this.#view.getBigUint64(this.take(8, what), true);
  }

  /** How many things follow, each of which takes `least` bytes or more. */
  count(what: string, least: number): number {
    const count = this.u64(what);
    const most = Math.floor((this.limit - this.at) / least);
    if (count > most)
      this.fail(what, `is ${count}, where at most ${most} have room.`, {
        found: String(count),
        limit: most,
      });
    return Number(count);
  }

  string(what: string): string {
    const length = this.count(`the length of ${what}`, 1);
    const at = this.take(length, what);
    try {
      return utf8.decode(this.#bytes.subarray(at, at + length));
    } catch {
      return this.fail(what, 'is not UTF-8.');
    }
  }

  value(what: string, type = this.u32(`the type of ${what}`), depth = 0): GgufValue {
    const number = NUMBERS[type];
    if (number) return plain(number.read(this.#view, this.take(number.bytes, what)));
    if (type === BOOL) {
      const byte = this.#bytes[this.take(1, what)]!;
      return byte <= 1 ? byte === 1 : this.fail(what, `is the byte ${byte}, expected 0 or 1.`);
    }
    if (type === STRING) return this.string(what);
    if (type === ARRAY) return this.#array(what, depth);
    return this.fail(what, `has the value type ${type}, which the format does not know.`, { found: type });
  }

  #array(what: string, depth: number): GgufValue {
    if (depth >= DEEPEST) return this.fail(what, `holds arrays of arrays more than ${DEEPEST} deep.`);
    const type = this.u32(`the type of ${what}`);
    const number = NUMBERS[type];
    if (!number && type !== BOOL && type !== STRING && type !== ARRAY)
      this.fail(what, `has the element type ${type}, which the format does not know.`, { found: type });
    const count = this.count(`the length of ${what}`, leastBytes(type));
    if (number) {
      const at = this.take(count * number.bytes, what);
      return new number.array(this.#bytes.slice(at, at + count * number.bytes).buffer);
    }
    const values: GgufValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.value(what, type, depth + 1));
    return values;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const plain = (value: number | bigint): number | bigint =>
  typeof value === 'bigint' && BigInt(Number(value)) === value && Number.isSafeInteger(Number(value))
    ? Number(value)
    : value;
