// What a server's answers say and hold, without asking anything.
import { ShishuError } from '../errors.ts';
import { free } from './concurrency.ts';
import { isTransient, retryAfter } from './retry.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** What a server says of a file without sending it. */
export interface FileFacts {
  /** Bytes; undefined when not known. */
  size: number | undefined;
  /** Changes when the file does: the ETag, or else the date; undefined when the server sends neither. */
  validator: string | undefined;
}

/** Assembles consecutive byte ranges `[cuts[i], cuts[i + 1])` of a file from the pieces of a download, and gives each to `use`. */
export class Collector {
  /** The file's next byte that is wanted. */
  at: number;
  readonly #cuts: readonly number[];
  readonly #use: (bytes: Bytes) => void;
  /** The range that is being assembled. */
  #range = 0;
  /** Memory for one range after the other; undefined where the length of the only range is unknown: then pieces are kept. */
  readonly #room: Bytes | undefined;
  readonly #pieces: Bytes[] = [];

  constructor(cuts: readonly number[], use: (bytes: Bytes) => void) {
    this.#cuts = cuts;
    this.#use = use;
    this.at = cuts[0]!;
    const longest = cuts.reduce((most, end, i) => Math.max(most, end - (cuts[i - 1] ?? end)), 0);
    if (longest < Number.POSITIVE_INFINITY) this.#room = new Uint8Array(longest);
    this.#giveComplete();
  }

  get full(): boolean {
    return this.#range === this.#cuts.length - 1;
  }

  /** Copies what is wanted of a piece that begins at byte `from` of the file; keeps the piece where the end is not known. */
  take(piece: Bytes, from: number): void {
    let rest = piece.subarray(Math.max(0, this.at - from));
    while (rest.length > 0 && !this.full) {
      const wanted = rest.subarray(0, this.#cuts[this.#range + 1]! - this.at);
      if (this.#room) this.#room.set(wanted, this.at - this.#cuts[this.#range]!);
      else this.#pieces.push(wanted);
      this.at += wanted.length;
      rest = rest.subarray(wanted.length);
      this.#giveComplete();
    }
  }

  /** The download ended: gives the range that is incomplete. */
  finish(): true {
    if (!this.full) this.#use(this.#bytes());
    return true;
  }

  #giveComplete(): void {
    while (!this.full && this.at === this.#cuts[this.#range + 1]) {
      const bytes = this.#bytes();
      this.#range++;
      this.#use(bytes);
    }
  }

  #bytes(): Bytes {
    const length = this.at - this.#cuts[this.#range]!;
    if (this.#room) return this.#room.subarray(0, length);
    const all = new Uint8Array(length);
    let to = 0;
    for (const piece of this.#pieces) {
      all.set(piece, to);
      to += piece.length;
    }
    return all;
  }
}

/** Pieces of a body; leaving the loop early closes the connection. */
export async function* piecesOf(response: Response): AsyncGenerator<Bytes> {
  const reader = response.body?.getReader();
  let done = false;
  try {
    while (reader) {
      const next = await reader.read();
      done = next.done;
      if (done) return;
      yield next.value as Bytes;
    }
  } finally {
    if (!done) await reader?.cancel().catch(() => {});
  }
}

/**
 * Frees a piece that the network brought: it is nobody else's. One of an answer that a program made (its type is "default"),
 * or that is a part of a larger buffer, may be.
 */
export function freePiece({ type }: Response, { buffer, byteLength }: Bytes): void {
  if (type !== 'default' && byteLength === buffer.byteLength) free(buffer);
}

/** Closes an answer unread. */
export async function drop(response: Response): Promise<undefined> {
  await response.body?.cancel().catch(() => {});
}

/** Servers of one-page apps answer a missing file with their page; no file of a model is HTML. */
export function isMissing(response: Response): boolean {
  if ([204, 404, 410].includes(response.status)) return true;
  return response.ok && (response.headers.get('Content-Type') ?? '').startsWith('text/html');
}

export async function refused(response: Response, file: string): Promise<ShishuError> {
  await drop(response);
  return statusError(response, file);
}

/** The server refused a file. Some do so for files that they do not have, in order not to say which files exist. */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof ShishuError) || error.code !== 'io') return false;
  const { status } = error.details;
  return typeof status === 'number' && status >= 400 && status < 500 && !isTransient(status);
}

export function statusError(response: Response, file: string): ShishuError {
  const { status, headers } = response;
  const wait = status === 429 ? retryAfter(headers) : undefined;
  const mend =
    status === 401 || status === 403
      ? 'The server wants permission: the model may be gated, private or misspelt; hub.token gives a token.'
      : status === 429
        ? `The server has too many requests: try again ${wait === undefined ? 'later' : `in ${Math.ceil(wait / 1000)} s`}; on a hub, a token allows more.`
        : undefined;
  // What a hub says in words.
  const said = headers.get('X-Error-Message')?.slice(0, 200).replace(/[.]?$/, '.');
  return new ShishuError(
    'io',
    `The server answered ${status} for ${file}.${said ? ` It says: ${said}` : ''}`,
    {
      details: { file, status, ...(wait !== undefined && { retryAfterMs: wait }) },
      mend,
    },
  );
}

interface ContentRange {
  start: number;
  /** After the last byte that is sent. */
  end: number;
  total: number | undefined;
}

function contentRange(response: Response): ContentRange | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(response.headers.get('Content-Range') ?? '');
  return match
    ? { start: Number(match[1]), end: Number(match[2]) + 1, total: numberOrNothing(match[3]) }
    : undefined;
}

/** A server of another origin may hide the header. */
export function checkContentRange(response: Response, file: string, start: number): ContentRange | undefined {
  const found = contentRange(response);
  if (!found || found.start === start) return found;
  throw new ShishuError(
    'io',
    `The server sent ${file} from byte ${found.start}, not from byte ${start} as asked.`,
    { details: { file, found: found.start, expected: start } },
  );
}

export function tooMuch(file: string, start: number, end: number, found: number): ShishuError {
  return new ShishuError(
    'io',
    `The server sent at least ${found - start} bytes of ${file}, ${end - start} were asked for.`,
    { details: { file, found: found - start, expected: end - start } },
  );
}

export function factsOf(response: Response): FileFacts {
  const { headers, status } = response;
  // The length of a compressed answer is not the file's.
  const plain = headers.get('Content-Encoding') === null;
  const size =
    status === 206
      ? contentRange(response)?.total
      : plain
        ? numberOrNothing(headers.get('Content-Length'))
        : undefined;
  const validator = headers.get('ETag') ?? headers.get('Last-Modified') ?? undefined;
  return { size, validator };
}

export function numberOrNothing(text: string | null | undefined): number | undefined {
  return text && /^\d+$/.test(text) ? Number(text) : undefined;
}
