import { anySignal, ShishuError, throwIfAborted } from '../errors.ts';
import { free } from './concurrency.ts';
import {
  Collector,
  checkContentRange,
  drop,
  type FileFacts,
  factsOf,
  freePiece,
  isMissing,
  numberOrNothing,
  piecesOf,
  refused,
  statusError,
  tooMuch,
} from './http-answer.ts';
import type { StreamingSource } from './raw-source.ts';
import { backOff, isTransient, LONGEST_ASKED_WAIT, retryAfter, type Sleep, sleepFor } from './retry.ts';

type Bytes = Uint8Array<ArrayBuffer>;

export interface HttpOptions {
  fetch?: typeof fetch;
  /** Waits between tries. */
  sleep?: Sleep;
  headers?: Readonly<Record<string, string>>;
  /** Tries in a row that bring nothing before a read fails (default 6). */
  attempts?: number;
  /** Milliseconds without a byte after which a connection is given up (default 30,000). */
  stallMs?: number;
  /** What an answer that is an error means on this server; undefined: what it means on any. */
  explain?: (response: Response, file: string) => Promise<ShishuError | undefined>;
  /** Names are no paths: their slashes are escaped. */
  flat?: boolean;
  /** Keep answers out of the browser's own cache, which would hold every byte a second time, and answer for the server. */
  noStore?: boolean;
}

/** A folder on a web server. */
export interface HttpFolder extends StreamingSource {
  name: string;
  /** Where a file is. */
  url(file: string): string;
  /** null: the file is not there. @throws ShishuError `io`, `aborted`. */
  facts(file: string, signal?: AbortSignal): Promise<FileFacts | null>;
}

/** Ranges that end before this byte are cut out of whole-file answers; past it the file is kept instead. */
const CUT_BELOW = 1 << 20;
/** A connection that brought this many bytes was worth its while. */
const PROGRESS = 16 << 10;

/** An attempt that failed for a reason that may pass. */
class Transient {
  readonly error: unknown;
  /** Milliseconds that the server wants us to wait. */
  readonly wait: number | undefined;

  constructor(error: unknown, wait?: number) {
    this.error = error;
    this.wait = wait;
  }
}

/** Whether the name of the server is unknown, which Node tells. */
const noSuchHost = (error: unknown): boolean =>
  ((error as Error).cause as { code?: string } | undefined)?.code === 'ENOTFOUND';

/**
 * A folder on a web server, read by range requests. `folder` may be relative to the page.
 *
 * Transient failures (no network, a dropped or stalled connection, 408, 425, 429, 5xx) are retried with growing waits, or
 * when `Retry-After` says; a ranged read goes on at the byte where it was cut off. A server without range requests sends a
 * large file once, and ranges are taken from it here.
 */
export function rawHttp(folder: string | URL, options: HttpOptions = {}): HttpFolder {
  const {
    attempts = 6,
    stallMs = 30_000,
    sleep = sleepFor,
    headers = {},
    explain,
    flat = false,
    noStore = false,
  } = options;
  const fetcher = options.fetch ?? globalThis.fetch.bind(globalThis);
  const base = folderUrl(folder);
  /** By file: what the first answer said. */
  const firstFacts = new Map<string, FileFacts>();
  /** Files that the server does not send by range, and those of them that were read. */
  const rangeless = new Set<string>();
  const whole = new Map<string, Promise<Blob | undefined>>();

  const urlOf = (file: string): string => {
    const path = (flat ? [file] : file.split('/')).map(encodeURIComponent).join('/');
    // A name that begins with slashes is no other server's.
    const url = new URL(`./${path}`, base);
    url.search = base.search;
    return url.href;
  };

  /** Runs `once` again after transient failures. An outcome without an error made progress and is no failure. */
  async function retried<T>(signal: AbortSignal | undefined, once: () => Promise<T | Transient>): Promise<T> {
    for (let failures = 1; ; failures++) {
      const outcome = await once();
      if (!(outcome instanceof Transient)) return outcome;
      if (outcome.error === undefined) failures = 0;
      const wait = outcome.wait ?? backOff(Math.max(1, failures));
      if (failures >= attempts || wait > LONGEST_ASKED_WAIT) throw outcome.error;
      await sleep(wait, signal);
      throwIfAborted(signal);
    }
  }

  /** One request; `use` reads the body and calls `alive` for each piece. */
  async function request<T>(
    file: string,
    range: string | undefined,
    signal: AbortSignal | undefined,
    use: (response: Response, alive: () => void) => Promise<T>,
  ): Promise<T | Transient> {
    throwIfAborted(signal);
    const stalled = new AbortController();
    let timer = 0 as unknown as ReturnType<typeof setTimeout>;
    const alive = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(), stallMs);
    };
    alive();
    try {
      const response = await fetcher(urlOf(file), {
        headers: range === undefined ? headers : { ...headers, Range: `bytes=${range}` },
        ...(noStore && { cache: 'no-store' }),
        signal: anySignal(stalled.signal, signal),
      });
      alive();
      if (isTransient(response.status)) {
        await drop(response);
        return new Transient(statusError(response, file), retryAfter(response.headers));
      }
      const meant = response.status >= 400 ? await explain?.(response, file) : undefined;
      if (meant) {
        await drop(response);
        throw meant;
      }
      return await use(response, alive);
    } catch (error) {
      if (error instanceof ShishuError || signal?.aborted || noSuchHost(error)) throw error;
      if (!stalled.signal.aborted) return new Transient(error);
      const said = `The server sent nothing of ${file} for ${stallMs} ms.`;
      return new Transient(new ShishuError('io', said, { details: { file, stallMs } }));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Refuses to mix bytes of two versions of a file. */
  function checkSame(response: Response, file: string): void {
    const now = factsOf(response);
    const before = firstFacts.get(file);
    firstFacts.set(file, { size: before?.size ?? now.size, validator: before?.validator ?? now.validator });
    const differs = (a: unknown, b: unknown): boolean => a !== undefined && b !== undefined && a !== b;
    if (!before || !(differs(before.size, now.size) || differs(before.validator, now.validator))) return;
    throw new ShishuError('io', `${file} changed on the server while it was read.`, {
      details: {
        file,
        before: String(before.validator ?? before.size),
        now: String(now.validator ?? now.size),
      },
      mend: 'Load the model again.',
    });
  }

  async function readWhole(file: string, signal?: AbortSignal): Promise<Blob | undefined> {
    return retried(signal, () =>
      request(file, undefined, signal, async (response, alive) => {
        if (isMissing(response)) return drop(response);
        if (!response.ok) throw await refused(response, file);
        const blobs: Blob[] = [];
        let pieces: Bytes[] = [];
        let held = 0;
        for await (const piece of piecesOf(response)) {
          alive();
          pieces.push(piece);
          held += piece.length;
          // A browser may move blobs out of memory.
          if (held < CUT_BELOW) continue;
          blobs.push(new Blob(pieces));
          pieces = [];
          held = 0;
        }
        return new Blob([...blobs, ...pieces]);
      }),
    );
  }

  /** One download for all that want ranges of a file at once; where the caller that began it aborts, the next begins again. */
  async function sharedWhole(file: string, signal?: AbortSignal): Promise<Blob | undefined> {
    for (;;) {
      throwIfAborted(signal);
      let reading = whole.get(file);
      const own = !reading;
      if (!reading) {
        reading = readWhole(file, signal);
        whole.set(file, reading);
        reading.then(
          (blob) => blob ?? whole.delete(file),
          () => whole.delete(file),
        );
      }
      try {
        return await reading;
      } catch (error) {
        if (own) throw error;
      }
    }
  }

  /** Reads ranges `[cuts[i], cuts[i + 1])` over one request, or as many as it takes; the last cut may be infinite. */
  async function readRanges(
    file: string,
    cuts: readonly number[],
    use: (bytes: Bytes) => void,
    signal?: AbortSignal,
  ): Promise<boolean | 'no ranges'> {
    const into = new Collector(cuts, use);
    if (into.full) return true;
    const end = cuts.at(-1)!;
    const open = end === Number.POSITIVE_INFINITY;
    let empty = 0;
    return retried(signal, async () => {
      const before = into.at;
      const outcome = await request<boolean | 'no ranges' | 'cut'>(
        file,
        `${before}-${open ? '' : end - 1}`,
        signal,
        async (response, alive) => {
          if (isMissing(response)) {
            await drop(response);
            return false;
          }
          if (response.status === 416) {
            await drop(response);
            const total = numberOrNothing(response.headers.get('Content-Range')?.split('/')[1]);
            if (total !== undefined && total > before) throw statusError(response, file);
            return into.finish();
          }
          if (!response.ok) throw await refused(response, file);
          const ranged = response.status === 206;
          if (!ranged) rangeless.add(file);
          if (!ranged && end > CUT_BELOW) {
            await drop(response);
            return 'no ranges';
          }
          const sent = ranged ? checkContentRange(response, file, before) : undefined;
          if (ranged) checkSame(response, file);
          let at = ranged ? before : 0;
          for await (const piece of piecesOf(response)) {
            alive();
            into.take(piece, at);
            at += piece.length;
            if (!open) freePiece(response, piece);
            if (ranged && at > end) throw tooMuch(file, before, end, at);
            if (into.full) break;
          }
          const ended = into.full || !sent || at >= (sent.total ?? (open ? sent.end : Infinity));
          return ended ? into.finish() : 'cut';
        },
      );
      const brought = into.at - before;
      if (outcome instanceof Transient) return brought >= PROGRESS ? new Transient(undefined) : outcome;
      if (outcome !== 'cut') return outcome;
      // A clean end before the last byte: ask for the rest, and settle for what there is when none comes.
      empty = brought > 0 ? 0 : empty + 1;
      return empty >= attempts ? into.finish() : new Transient(undefined);
    });
  }

  /** As `readRanges`, also from servers without range requests. The bytes of a single range are the caller's to keep. */
  async function readAnyRanges(
    file: string,
    cuts: readonly number[],
    use: (bytes: Bytes) => void,
    signal?: AbortSignal,
  ): Promise<boolean> {
    let given = 0;
    const give = (bytes: Bytes): void => {
      given++;
      use(bytes);
    };
    if (!whole.has(file) && (!rangeless.has(file) || cuts.at(-1)! <= CUT_BELOW)) {
      const found = await readRanges(file, cuts, give, signal);
      if (found !== 'no ranges') return found;
    }
    const blob = await sharedWhole(file, signal);
    while (blob && given < cuts.length - 1)
      give(new Uint8Array(await blob.slice(cuts[given], cuts[given + 1]).arrayBuffer()));
    return blob !== undefined;
  }

  const facts = (file: string, signal?: AbortSignal): Promise<FileFacts | null> =>
    retried(signal, () =>
      request(file, '0-0', signal, async (response) => {
        await drop(response);
        if (isMissing(response)) return null;
        if (response.status === 416) return { ...factsOf(response), size: 0 };
        if (!response.ok) throw statusError(response, file);
        if (response.status === 206) checkSame(response, file);
        return factsOf(response);
      }),
    );

  return {
    name: base.href,
    url: urlOf,
    async read(file, start, end, signal) {
      if (start !== undefined && start === end) return new Uint8Array(0);
      if (start === undefined && end === undefined) {
        const blob = await readWhole(file, signal);
        return blob && new Uint8Array(await blob.arrayBuffer());
      }
      let read: Bytes | undefined;
      const keep = (bytes: Bytes): void => {
        read = bytes;
      };
      await readAnyRanges(file, [start ?? 0, end ?? Number.POSITIVE_INFINITY], keep, signal);
      return read;
    },
    async readHead(file, most, signal) {
      let bytes: Bytes | undefined;
      const keep = (read: Bytes): void => {
        bytes = read;
      };
      await readAnyRanges(file, [0, most], keep, signal);
      return bytes && { bytes, size: firstFacts.get(file)?.size ?? (await facts(file, signal))?.size };
    },
    async readSpans(file, cuts, use, signal) {
      let lent: ArrayBuffer | undefined;
      const takeBack = (next?: ArrayBuffer): void => {
        if (lent && lent !== next) free(lent);
        lent = next;
      };
      const lend = (bytes: Bytes): void => {
        takeBack(bytes.buffer);
        use(bytes);
      };
      try {
        return await readAnyRanges(file, cuts, lend, signal);
      } finally {
        takeBack();
      }
    },
    async size(file, signal) {
      const found = await facts(file, signal);
      return found === null ? null : found.size;
    },
    facts,
  };
}

function folderUrl(folder: string | URL): URL {
  let url: URL;
  try {
    url = new URL(folder, globalThis.location?.href);
  } catch (cause) {
    throw new ShishuError('bad-argument', `"${folder}" is not a URL.`, {
      cause,
      mend: 'Give the full URL of a folder.',
    });
  }
  if (/%(?![0-9a-f]{2})/i.test(url.pathname))
    throw new ShishuError('bad-argument', `"${folder}" has a "%" that begins no escape.`, {
      mend: 'Write %25 for a percent sign.',
    });
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}
