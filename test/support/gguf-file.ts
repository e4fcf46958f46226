import { f32ToF16 } from '../../src/formats/float.ts';
import { type BlockType, TYPES } from '../../src/formats/gguf/types.ts';

/** Value types of the format, by its numbers. */
const TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
};
type Kind = keyof typeof TYPE;

/** A value with its type; of an array, the type of its elements beside. */
export type Typed =
  | { kind: Exclude<Kind, 'array'>; value: number | bigint | boolean | string }
  | { kind: 'array'; of: Kind; value: readonly unknown[] };

export interface FileTensor {
  name: string;
  /** Row-major. */
  shape: readonly number[];
  /** ggml's number. */
  type: number;
  data: Uint8Array;
  /** Where the data is said to be; by default where it is. */
  offset?: number | bigint;
}

/** Writes what is asked for, whether it makes sense or not. */
class Writer {
  #bytes: number[] = [];

  get length(): number {
    return this.#bytes.length;
  }

  raw(bytes: Iterable<number>): void {
    for (const byte of bytes) this.#bytes.push(byte);
  }

  number(kind: Kind, value: number | bigint): void {
    const view = new DataView(new ArrayBuffer(8));
    const n = Number(value);
    const sizes = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 } as const;
    if (kind === 'f32') view.setFloat32(0, n, true);
    else if (kind === 'f64') view.setFloat64(0, n, true);
    else view.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
    this.raw(new Uint8Array(view.buffer, 0, sizes[kind as keyof typeof sizes]));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.number('u64', bytes.length);
    this.raw(bytes);
  }

  value(kind: Kind, value: unknown): void {
    if (kind === 'string') this.string(value as string);
    else if (kind === 'bool') this.raw([value ? 1 : 0]);
    else if (kind === 'array') this.array(value as Extract<Typed, { kind: 'array' }>);
    else this.number(kind, value as number);
  }

  array({ of, value }: { of: Kind; value: readonly unknown[] }): void {
    this.number('u32', TYPE[of]);
    this.number('u64', value.length);
    for (const each of value) this.value(of, each);
  }

  pad(alignment: number): void {
    while (this.#bytes.length % alignment) this.#bytes.push(0);
  }

  done(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }
}

/** The bytes of a small GGUF file. */
export function ggufFile(
  metadata: Readonly<Record<string, Typed>>,
  tensors: readonly FileTensor[],
  { version = 3, alignment = 32 } = {},
): Uint8Array<ArrayBuffer> {
  const out = new Writer();
  out.raw(new TextEncoder().encode('GGUF'));
  out.number('u32', version);
  out.number('u64', tensors.length);
  out.number('u64', Object.keys(metadata).length);
  for (const [key, typed] of Object.entries(metadata)) {
    out.string(key);
    out.number('u32', TYPE[typed.kind]);
    if (typed.kind === 'array') out.array(typed);
    else out.value(typed.kind, typed.value);
  }
  let at = 0;
  for (const { name, shape, type, data, offset = at } of tensors) {
    out.string(name);
    out.number('u32', shape.length);
    for (const size of [...shape].reverse()) out.number('u64', size);
    out.number('u32', type);
    out.number('u64', offset);
    at = Math.ceil((at + data.length) / alignment) * alignment;
  }
  for (const { data } of tensors) {
    out.pad(alignment);
    out.raw(data);
  }
  return out.done();
}

/** Where blocks of each type have f16 numbers. */
const HALVES: Record<BlockType, readonly number[]> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  IQ4_NL: [0],
  IQ4_XS: [0],
};

/** Blocks of a type with random codes, and scales such that values are about as large as those of a small model. */
export function randomBlocks(type: BlockType, count: number, random: () => number): Uint8Array<ArrayBuffer> {
  const { bytes } = TYPES[type];
  const blocks = Uint8Array.from({ length: count * bytes }, () => Math.floor(256 * random()));
  for (let block = 0; block < count; block++)
    for (const at of HALVES[type]) {
      const half = f32ToF16((random() - 0.3) * (type.endsWith('K') ? 0.002 : 0.02));
      blocks.set([half & 255, half >> 8], block * bytes + at);
    }
  return blocks;
}
