import { ShishuError } from '../errors.ts';
import { free } from './concurrency.ts';
import { isRefusal } from './http-answer.ts';
import { otherKind } from './other-kind.ts';
import type { Head, RawSource, StreamingSource } from './raw-source.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** A model folder: files read whole or by range of bytes. */
export interface Source {
  /** What messages call the folder. */
  readonly name: string;
  /** What `read` gives is the reader's alone. */
  readonly fresh?: boolean;
  /**
   * Bytes `[start, end)` of a file; the whole file without them.
   * @throws ShishuError `not-found`, `io` (also for fewer bytes than asked for), `aborted`.
   */
  read(file: string, start?: number, end?: number, signal?: AbortSignal): Promise<Bytes>;
  /** Neighbouring spans come faster than each by itself. */
  readonly streams: boolean;
  /**
   * Bytes `[cuts[i], cuts[i + 1])` of a file, one span after the other.
   * @param use has the bytes until it returns
   * @throws ShishuError as `read`; what `use` throws
   */
  readSpans(
    file: string,
    cuts: readonly number[],
    use: (bytes: Bytes) => void,
    signal?: AbortSignal,
  ): Promise<void>;
  /**
   * The size of a file, with those of its first bytes, up to `most`, that come along with it.
   * @throws ShishuError `not-found`, `io`
   */
  readHead(file: string, most: number, signal?: AbortSignal): Promise<Head>;
  /** Bytes in a file, or undefined where that cannot be known. @throws ShishuError `not-found`, `io`. */
  size(file: string, signal?: AbortSignal): Promise<number | undefined>;
  /** As `RawSource.list`. */
  list?: RawSource['list'];
  /** As `RawSource.tensors`. */
  tensors?: RawSource['tensors'];
}

const checked = new WeakSet<object>();

/** Whether storage is wrapped by `checkedSource` already. */
export const isChecked = (storage: object): storage is Source => checked.has(storage);

/** Whether an error says that a file is not there, or may say so. */
export function mayBeMissing(error: unknown): boolean {
  if (!(error instanceof ShishuError)) return false;
  return error.code === 'not-found' || error.details.page === true || isRefusal(error);
}

/** Reads a file that may be missing: undefined then, and where there is nothing in it, or a page of the server's. */
export async function readOptional(
  source: Source,
  file: string,
  signal?: AbortSignal,
): Promise<Bytes | undefined> {
  try {
    const bytes = await source.read(file, undefined, undefined, signal);
    return bytes.length === 0 || otherKind(bytes)?.page ? undefined : bytes;
  } catch (error) {
    if (mayBeMissing(error)) return undefined;
    throw error;
  }
}

/** Wraps storage so that missing files, failures and short reads are typed errors that name the file. */
export function checkedSource(raw: RawSource, fresh = false, streaming?: StreamingSource): Source {
  const name = raw.name ?? 'the model folder';
  const source: Source = {
    name,
    fresh,
    streams: streaming !== undefined,
    async read(file, start, end, signal) {
      checkRange(file, start, end);
      const bytes = await guarded(name, file, signal, () => raw.read(file, start, end, signal));
      if (bytes === undefined || bytes === null) throw notFound(name, file);
      if (!(bytes instanceof Uint8Array))
        throw new ShishuError('io', `Reading ${file} of ${name} gave no Uint8Array.`, { details: { file } });
      checkLength(bytes, file, start, end);
      return bytes as Bytes;
    },
    async readSpans(file, cuts, use, signal) {
      if (!streaming) {
        for (let i = 1; i < cuts.length; i++) {
          const bytes = await source.read(file, cuts[i - 1], cuts[i], signal);
          use(bytes);
          if (fresh) free(bytes.buffer);
        }
        return;
      }
      cuts.forEach((end, i) => {
        checkRange(file, cuts[i - 1] ?? end, end);
      });
      let next = 1;
      // What is wrong with the bytes is not the storage's, which would try again.
      let failure: { error: unknown } | undefined;
      const lend = (bytes: Bytes): void => {
        try {
          checkLength(bytes, file, cuts[next - 1], cuts[next]);
          next++;
          use(bytes);
        } catch (error) {
          failure = { error };
          throw new ShishuError('aborted', `Reading ${file} was aborted.`, { cause: error });
        }
      };
      const call = (): Promise<boolean> => streaming.readSpans(file, cuts, lend, signal);
      const found = await guarded(name, file, signal, call).catch((error) => {
        throw failure ? failure.error : error;
      });
      if (!found) throw notFound(name, file);
    },
    async readHead(file, most, signal) {
      if (!streaming) return { bytes: new Uint8Array(0), size: await source.size(file, signal) };
      const head = await guarded(name, file, signal, () => streaming.readHead(file, most, signal));
      if (!head) throw notFound(name, file);
      return head;
    },
    async size(file, signal) {
      const size = await guarded(name, file, signal, () => raw.size?.(file, signal));
      if (size === null) throw notFound(name, file);
      return size;
    },
    ...(raw.list && { list: (deep) => raw.list!(deep) }),
    ...(raw.tensors && { tensors: (...args) => raw.tensors!(...args) }),
  };
  checked.add(source);
  return source;
}

function checkLength({ length }: Uint8Array, file: string, start = 0, end = start + length): void {
  if (length === end - start) return;
  throw new ShishuError(
    'io',
    `Reading bytes ${start} to ${end} of ${file} gave ${length} bytes, expected ${end - start}.`,
    {
      details: { file, start, end, found: length, expected: end - start },
      mend: 'The file may be cut short or may have changed: fetch it again.',
    },
  );
}

function checkRange(file: string, start = 0, end = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end) return;
  throw new ShishuError('bad-argument', `Cannot read bytes ${start} to ${end} of ${file}.`, {
    details: { file, start, end },
  });
}

function notFound(name: string, file: string): ShishuError {
  return new ShishuError('not-found', `${file} is not in ${name}.`, {
    details: { file, source: name },
    mend: 'Check the folder and the name of the file.',
  });
}

async function guarded<T>(
  name: string,
  file: string,
  signal: AbortSignal | undefined,
  call: () => T | Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof ShishuError) throw error;
    if (signal?.aborted) throw new ShishuError('aborted', `Reading ${file} was aborted.`, { cause: error });
    if (isMissing(error)) throw notFound(name, file);
    throw new ShishuError('io', `Reading ${file} of ${name} failed: ${messageOf(error)}.`, {
      details: { file, source: name },
      cause: error,
    });
  }
}

/** Node says ENOENT, the File System API NotFoundError. */
function isMissing(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  return ('code' in error && error.code === 'ENOENT') || ('name' in error && error.name === 'NotFoundError');
}

function messageOf(error: unknown): string {
  const { message, cause } = error instanceof Error ? error : { message: String(error), cause: undefined };
  // Node says that a fetch failed, and beside it why.
  const why = cause instanceof Error && cause.message ? `: ${cause.message}` : '';
  return `${message}${why}`.replace(/\.$/, '');
}
