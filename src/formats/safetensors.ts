import { ShishuError } from '../errors.ts';
import { f32ArrayToBf16, f32ArrayToF16 } from './float.ts';
import { isObject, parseJson } from './json.ts';
import { type OtherKind, otherKind } from './other-kind.ts';
import type { Source } from './source.ts';
import { DTYPE_BITS, type StoredDtype, type TensorEntry } from './tensor-entry.ts';

export interface SafetensorsHeader {
  tensors: Map<string, TensorEntry>;
  metadata: Record<string, string>;
  /** Byte of the file at which tensor data begins. */
  dataStart: number;
}

/** Bytes that are asked for together with the size: the headers of most models are shorter. */
const HEAD_BYTES = 64 << 10;
const MAX_HEADER_BYTES = 100_000_000;
const LENGTH_BYTES = 8;
const FETCH_AGAIN = 'The file may be cut short or damaged: fetch it again.';

/**
 * Reads and checks the header of a safetensors file: an 8-byte little-endian length, a JSON object, then data that
 * the tensors cover without gap or overlap.
 * @throws ShishuError `bad-checkpoint` naming file and tensor; `not-found`, `io`.
 */
export async function readHeader(
  source: Source,
  file: string,
  signal?: AbortSignal,
): Promise<SafetensorsHeader> {
  const { bytes: head, size } = await source.readHead(file, HEAD_BYTES, signal);
  let begin = head;
  const fail = (message: string, details = {}): never => {
    const other = otherKind(begin) ?? errorText(begin);
    throw new ShishuError('bad-checkpoint', other ? `${file} is ${other.what}.` : `${file}: ${message}`, {
      details: { file, ...details, ...(other?.page && { page: true }) },
      mend: other?.mend ?? FETCH_AGAIN,
    });
  };
  const bytesAt = async (start: number, end: number): Promise<Uint8Array<ArrayBuffer>> =>
    end <= head.length ? head.subarray(start, end) : source.read(file, start, end, signal);
  if (size !== undefined && size < LENGTH_BYTES + 2)
    fail(`${size} bytes are too few for a header.`, { size });
  const length = await bytesAt(0, LENGTH_BYTES);
  if (head.length === 0) begin = length;
  const headerBytes = new DataView(length.buffer, length.byteOffset).getBigUint64(0, true);
  if (headerBytes > MAX_HEADER_BYTES)
    fail(`the header claims ${headerBytes} bytes, the limit is ${MAX_HEADER_BYTES}.`, {
      limit: MAX_HEADER_BYTES,
    });
  const dataStart = LENGTH_BYTES + Number(headerBytes);
  if (size !== undefined && dataStart > size)
    fail(`the header claims ${headerBytes} bytes, the file has ${size}.`, { size });
  const text = await bytesAt(LENGTH_BYTES, dataStart).catch((error) => {
    if (otherKind(begin)) fail('');
    throw error;
  });
  if (text[0] !== 0x7b) fail('the header does not begin with "{".');
  const json = parseJson(text, file, { code: 'bad-checkpoint', uniqueKeys: true });

  const tensors = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = checkMetadata(value, file);
    else tensors.set(name, checkEntry(name, value, file, dataStart));
  }
  const end = checkCover(tensors, file, dataStart);
  if (size !== undefined && size !== end)
    fail(`the header describes ${end} bytes, the file has ${size}.`, { expected: end, found: size });
  return { tensors, metadata, dataStart };
}

/** Some servers answer with an error in JSON. */
function errorText(bytes: Uint8Array): OtherKind | undefined {
  if (!/^\{[\s"][\x20-\x7e]/.test(String.fromCharCode(...bytes.subarray(0, 3)))) return undefined;
  return { what: 'JSON, not weights', mend: 'The server may say there what is wrong.', page: true };
}

function checkMetadata(value: unknown, file: string): Record<string, string> {
  if (isObject(value) && Object.values(value).every((v) => typeof v === 'string'))
    return value as Record<string, string>;
  throw new ShishuError('bad-checkpoint', `${file}: "__metadata__" is not an object of strings.`, {
    details: { file },
    mend: FETCH_AGAIN,
  });
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function checkEntry(name: string, value: unknown, file: string, dataStart: number): TensorEntry {
  const fail = (message: string): never => {
    throw new ShishuError('bad-checkpoint', `${file}: tensor "${name}": ${message}`, {
      details: { file, tensor: name },
      mend: FETCH_AGAIN,
    });
  };
  if (!isObject(value)) return fail('expected an object.');
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BITS, dtype))
    return fail(`unknown dtype ${JSON.stringify(dtype)}.`);
  if (!Array.isArray(shape) || !shape.every(isCount)) return fail('"shape" is not a list of whole numbers.');
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    return fail('"data_offsets" is not a pair of whole numbers.');
  const [begin, end] = offsets as [number, number];
  if (begin > end) return fail(`"data_offsets" ${begin} to ${end} run backwards.`);
  const bytes = (shape.reduce((a, b) => a * b, 1) * DTYPE_BITS[dtype as StoredDtype]) / 8;
  if (!Number.isSafeInteger(bytes)) return fail(`shape [${shape}] of ${dtype} is no whole number of bytes.`);
  if (end - begin !== bytes)
    return fail(`shape [${shape}] of ${dtype} takes ${bytes} bytes, "data_offsets" hold ${end - begin}.`);
  return { file, dtype: dtype as StoredDtype, shape, start: dataStart + begin, end: dataStart + end };
}

/** Checks that tensors follow one another without gap or overlap; returns where the last one ends. */
function checkCover(tensors: Map<string, TensorEntry>, file: string, dataStart: number): number {
  const ordered = [...tensors].sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  let end = dataStart;
  for (const [name, entry] of ordered) {
    if (entry.start !== end) {
      const what = entry.start < end ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw new ShishuError(
        'bad-checkpoint',
        `${file}: tensor "${name}" ${what}: it begins at byte ${entry.start - dataStart} of the data, expected ${end - dataStart}.`,
        {
          details: { file, tensor: name, found: entry.start - dataStart, expected: end - dataStart },
          mend: FETCH_AGAIN,
        },
      );
    }
    end = entry.end;
  }
  return end;
}

/** A tensor to store. Bytes (or 16-bit patterns) are stored as they are, f32 values are rounded to the dtype. */
export interface NamedTensor {
  name: string;
  dtype: 'F32' | 'F16' | 'BF16';
  /** Row-major. */
  shape: readonly number[];
  data: Uint8Array | Float32Array | Uint16Array;
}

/** A safetensors file's first bytes and the order in which tensor data must follow them. */
export interface HeaderToStore {
  /** Length, JSON and padding. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Names, by falling element size (so that all data is aligned), then by name. */
  order: string[];
  /** Bytes of the whole file. */
  fileBytes: number;
}

/** Header for these tensors; the same input gives the same bytes. @throws ShishuError `bad-argument`. */
export function encodeHeader(
  tensors: readonly Omit<NamedTensor, 'data'>[],
  metadata: Readonly<Record<string, string>> = {},
): HeaderToStore {
  const ordered = [...tensors].sort(
    (a, b) => DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
  const entries: [string, unknown][] = [];
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0)
    entries.push(['__metadata__', Object.fromEntries(keys.map((key) => [key, metadata[key]]))]);
  const names = new Set(['__metadata__']);
  let end = 0;
  for (const tensor of ordered) {
    const { name, dtype, shape } = tensor;
    if (names.has(name))
      throw new ShishuError('bad-argument', `The tensor name "${name}" is taken.`, {
        details: { tensor: name },
      });
    names.add(name);
    const start = end;
    end += bytesOf(tensor);
    entries.push([name, { dtype, shape, data_offsets: [start, end] }]);
  }
  const json = new TextEncoder().encode(
    `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`)}}`,
  );
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return { bytes, order: ordered.map((tensor) => tensor.name), fileBytes: bytes.length + end };
}

/** A whole safetensors file. @throws ShishuError `bad-argument` where data and shape disagree. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  const { bytes: header, order, fileBytes } = encodeHeader(tensors, metadata);
  const file = new Uint8Array(fileBytes);
  file.set(header);
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  let at = header.length;
  for (const name of order) {
    const bytes = tensorBytes(byName.get(name)!);
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

/** A tensor's bytes as stored. @throws ShishuError `bad-argument` where data and shape disagree. */
export function tensorBytes(tensor: NamedTensor): Uint8Array {
  const { name, dtype, data, shape } = tensor;
  const stored = data instanceof Float32Array && dtype !== 'F32' ? narrow(data, dtype) : data;
  const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  const expected = bytesOf(tensor);
  if (bytes.length !== expected)
    throw new ShishuError(
      'bad-argument',
      `Tensor "${name}" of shape [${shape}] in ${dtype} takes ${expected} bytes, its data has ${bytes.length}.`,
      { details: { tensor: name, expected, found: bytes.length } },
    );
  return bytes;
}

function narrow(values: Float32Array, dtype: 'F16' | 'BF16'): Uint16Array {
  return dtype === 'F16' ? f32ArrayToF16(values) : f32ArrayToBf16(values);
}

function bytesOf({ dtype, shape }: Omit<NamedTensor, 'data'>): number {
  return (shape.reduce((a, b) => a * b, 1) * DTYPE_BITS[dtype]) / 8;
}
