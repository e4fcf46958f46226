import { ShishuError, throwIfAborted } from '../../errors.ts';
import { otherKind } from '../other-kind.ts';
import type { Source } from '../source.ts';
import { Cursor, type GgufValue, Short } from './cursor.ts';
import { type GgufType, otherType, TYPES, typeOf } from './types.ts';

/** Where one tensor lies. */
export interface GgufTensor {
  file: string;
  type: GgufType;
  /** Row-major: the reverse of the order in the file. */
  shape: readonly number[];
  /** Bytes `[start, end)` of the file. */
  start: number;
  end: number;
}

export type Metadata = ReadonlyMap<string, GgufValue>;

export interface GgufHeader {
  version: number;
  metadata: Metadata;
  tensors: Map<string, GgufTensor>;
}

/** Bytes that are asked for at first; vocabularies take some megabytes, and each further read asks for as much again. */
const HEAD_BYTES = 1 << 20;
const MAX_HEADER_BYTES = 64 << 20;
const MAGIC = 0x46554747;
const VERSIONS = [2, 3];
const DEFAULT_ALIGNMENT = 32;
const MAX_ALIGNMENT = 1 << 20;
/** Of a tensor, and before it: far more than any has, and sums of them are exact. */
const MOST_BYTES = 2n ** 50n;
/** Fewest bytes of a key with its value, and of a tensor's entry. */
const LEAST_KEY = 8 + 4 + 1;
const LEAST_TENSOR = 8 + 4 + 8 + 4 + 8;

/**
 * Reads and checks the header of a GGUF file (versions 2 and 3, little-endian) in growing ranges; no weights are read.
 * @throws ShishuError `bad-checkpoint`, `unsupported` naming the file, the key or tensor and the number; `not-found`, `io`.
 */
export async function readGgufHeader(
  source: Source,
  file: string,
  signal?: AbortSignal,
): Promise<GgufHeader> {
  const { bytes, size } = await source.readHead(file, HEAD_BYTES, signal);
  const limit = Math.min(size ?? MAX_HEADER_BYTES, MAX_HEADER_BYTES);
  const cursor = new Cursor(file, bytes, limit);

  /** Reads `count` things; each that needs bytes that are not there yet is read again when they are. */
  const times = async (count: number, read: (index: number) => void): Promise<void> => {
    for (let i = 0; i < count; ) {
      const { at } = cursor;
      try {
        read(i);
        i++;
      } catch (error) {
        if (!(error instanceof Short)) throw error;
        cursor.at = at;
        const { have } = cursor;
        const end = Math.min(limit, Math.max(error.end, 2 * have, HEAD_BYTES));
        cursor.append(await source.read(file, have, end, signal));
        throwIfAborted(signal);
      }
    }
  };

  let [version, tensorCount, keyCount] = [0, 0, 0];
  await times(1, () => {
    version = readVersion(cursor);
    tensorCount = cursor.count('the number of tensors', LEAST_TENSOR);
    keyCount = cursor.count('the number of keys', LEAST_KEY);
  });
  const metadata = new Map<string, GgufValue>();
  await times(keyCount, (i) => {
    const key = cursor.string(`key ${i}`);
    const what = `key ${shown(key)}`;
    if (metadata.has(key)) cursor.fail(what, 'is there twice.');
    metadata.set(key, cursor.value(what));
  });
  const alignment = alignmentOf(cursor, metadata);
  const tensors = new Map<string, GgufTensor>();
  await times(tensorCount, (i) => {
    const name = cursor.string(`the name of tensor ${i}`);
    if (tensors.has(name)) cursor.fail(`tensor ${shown(name)}`, 'is there twice.');
    tensors.set(name, readTensor(cursor, name, alignment));
  });
  place(cursor, tensors, alignment, size);
  return { version, metadata, tensors };
}

/** A name as errors show it. */
const shown = (name: string): string => JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);

function readVersion(cursor: Cursor): number {
  const { file } = cursor;
  if (cursor.u32('the first word') !== MAGIC) {
    const other = otherKind(cursor.first(64));
    throw new ShishuError('bad-checkpoint', `${file} is ${other?.what ?? 'no GGUF file'}.`, {
      details: { file, ...(other?.page && { page: true }) },
      mend: other?.mend ?? 'A GGUF file begins with "GGUF".',
    });
  }
  const version = cursor.u32('the version');
  if (VERSIONS.includes(version)) return version;
  const swapped = version % 2 ** 16 === 0;
  const what = swapped ? 'of a big-endian machine' : `of version ${version}`;
  throw new ShishuError('unsupported', `${file} is a GGUF file ${what}.`, {
    details: { file, version },
    mend: `Supported: versions ${VERSIONS.join(' and ')}, little-endian.`,
  });
}

function alignmentOf(cursor: Cursor, metadata: Metadata): number {
  const key = 'general.alignment';
  const value = metadata.get(key) ?? DEFAULT_ALIGNMENT;
  if (typeof value === 'number' && value > 0 && value % 8 === 0 && value <= MAX_ALIGNMENT) return value;
  return cursor.fail(`key "${key}"`, `is ${String(value)}, expected a multiple of 8.`);
}

/** A tensor's entry; `start` and `end` count from where the data begins. */
function readTensor(cursor: Cursor, name: string, alignment: number): GgufTensor {
  const what = `tensor ${shown(name)}`;
  const dimensions = cursor.u32(what);
  if (dimensions < 1 || dimensions > 4)
    cursor.fail(what, `has ${dimensions} dimensions, expected 1 to 4.`, { found: dimensions });
  const sizes = Array.from({ length: dimensions }, () => cursor.u64(what));
  const id = cursor.u32(what);
  const offset = cursor.u64(what);
  const type = typeOf(id);
  if (!type)
    throw new ShishuError('unsupported', `${cursor.file}: ${what} is ${otherType(id)}.`, {
      details: { file: cursor.file, tensor: name, type: id },
      mend: `Supported: ${Object.keys(TYPES).join(', ')}.`,
    });
  const { values, bytes } = TYPES[type];
  const all = sizes.reduce((product, size) => product * size, 1n);
  if (all === 0n || all > MOST_BYTES) cursor.fail(what, `has the shape [${sizes}], which no tensor has.`);
  if (Number(sizes[0]) % values !== 0)
    cursor.fail(what, `has rows of ${sizes[0]} values, which blocks of ${values} (${type}) do not fill.`);
  if (offset > MOST_BYTES || Number(offset) % alignment !== 0)
    cursor.fail(what, `begins at byte ${offset} of the data, expected a multiple of ${alignment}.`, {
      found: String(offset),
    });
  const start = Number(offset);
  const end = start + (Number(all) / values) * bytes;
  return { file: cursor.file, type, shape: sizes.map(Number).reverse(), start, end };
}

/** Counts the tensors' bytes from the file's first, and checks that they neither overlap nor end past the file. */
function place(
  cursor: Cursor,
  tensors: ReadonlyMap<string, GgufTensor>,
  alignment: number,
  size: number | undefined,
): void {
  const data = Math.ceil(cursor.at / alignment) * alignment;
  let before = { name: '', end: 0 };
  for (const [name, tensor] of [...tensors].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    const { start, end } = tensor;
    const what = `tensor ${shown(name)}`;
    if (start < before.end)
      cursor.fail(
        what,
        `begins at byte ${start} of the data, where ${shown(before.name)} ends at ${before.end}.`,
        { found: start, expected: before.end },
      );
    if (size !== undefined && data + end > size)
      cursor.fail(what, `ends at byte ${data + end}, the file has ${size}.`, {
        found: size,
        expected: data + end,
      });
    Object.assign(tensor, { start: data + start, end: data + end });
    before = { name, end };
  }
}

const SPLIT = /-(\d{5})-of-(\d{5})\.gguf$/;

/**
 * The header of a model: of one file, or of all files `…-00001-of-0000N.gguf` that `split.count` tells of. The first file's
 * metadata are the model's.
 * @param file any file of them
 */
export async function readGguf(source: Source, file: string, signal?: AbortSignal): Promise<GgufHeader> {
  const [, number, of] = SPLIT.exec(file) ?? [];
  const partName = (part: number): string =>
    file.replace(SPLIT, `-${String(part).padStart(5, '0')}-of-${of}.gguf`);
  const firstName = number === undefined ? file : partName(1);
  const first = await readGgufHeader(source, firstName, signal);
  const wrong = (part: string, message: string): never => {
    throw new ShishuError('bad-checkpoint', `${part}: ${message}`, {
      details: { file: part },
      mend: 'Give all files of the model with the names under which they were published.',
    });
  };
  const count = first.metadata.get('split.count') ?? 0;
  if (count === 0 || count === 1) return first;
  if (number === undefined || Number(of) !== count)
    return wrong(firstName, `it is one of ${String(count)} files, which its name does not say.`);
  const { version, metadata, tensors } = first;
  for (let part = 2; part <= count; part++) {
    const name = partName(part);
    const header = await readGgufHeader(source, name, signal);
    if (header.metadata.get('split.count') !== count || header.metadata.get('split.no') !== part - 1)
      wrong(name, `it is not part ${part} of ${count}.`);
    for (const [tensor, entry] of header.tensors) {
      if (tensors.has(tensor)) wrong(name, `tensor ${shown(tensor)} is in an earlier file as well.`);
      tensors.set(tensor, entry);
    }
  }
  const expected = metadata.get('split.tensors.count') ?? tensors.size;
  if (expected !== tensors.size)
    wrong(firstName, `the files hold ${tensors.size} tensors, "split.tensors.count" is ${String(expected)}.`);
  return { version, metadata, tensors };
}
