import { ShishuError } from '../errors.ts';
import {
  cacheFolder,
  DIGEST_BYTES,
  ENTRY,
  type Entry,
  listCached,
  locked,
  nameOf,
  readEntry,
  readFile,
  removeFolder,
  sha256,
  span,
  storedBytes,
  writeFile,
} from './cache-files.ts';
import { CHUNK_BYTES, DOWNLOADS, free, PREFETCHED_CHUNKS, slots } from './concurrency.ts';
import type { HttpFolder } from './http.ts';
import { type FileFacts, isRefusal } from './http-answer.ts';
import type { RawSource } from './raw-source.ts';

type Bytes = Uint8Array<ArrayBuffer>;

export interface CacheOptions {
  /** Ask the server whether cached files are still its files; without, a cached file is read with no network at all. */
  refresh?: boolean;
  /** Read what is kept whole, and keep nothing more. */
  keptOnly?: boolean;
  /** Called when files cannot be kept (default `console.warn`). */
  warn?: (message: string) => void;
}

/** An entry that is open. */
interface Open {
  entry: Entry;
  folder: FileSystemDirectoryHandle;
  /** The server confirmed that its file is still the one of this entry. */
  confirmed: boolean;
  /** Chunks whose digest was right since this page opened them. */
  checked: Set<number>;
  /** Chunks that are being read to be checked. */
  checking: Map<number, Promise<Bytes | undefined>>;
  /** Downloads under way. */
  fetching: Map<number, Promise<Bytes>>;
}

/** Bytes of a chunk, or of a range of it. */
interface ChunkBytes {
  bytes: Bytes;
  /** Other readers may hold the same memory, which is freed once all have copied from it; else it is the reader's alone. */
  shared: boolean;
}

/**
 * A folder on a server whose files stay in the Origin Private File System, keyed by URL and validator, and shared by the
 * pages of an origin. Files are fetched in chunks. A chunk counts once it is complete, so a download that was interrupted
 * continues where it stopped. The first read of a chunk checks its SHA-256; a damaged chunk is fetched again. Where files
 * cannot be kept (quota), reads go to the server as without a cache, after one warning.
 */
export function cachedHttp(http: HttpFolder, options: CacheOptions = {}): RawSource {
  const { refresh = false, keptOnly = false, warn = (message) => console.warn(message) } = options;
  const files = new Map<string, Promise<Open | null | undefined>>();
  // A chunk is in memory several times over while it is hashed and written.
  const downloads = slots(DOWNLOADS);
  const checks = slots(1);
  let full = false;
  let weights: Promise<boolean> | undefined;

  const giveUp = (why: string): undefined => {
    if (!full) warn(`The model is not kept for the next visit: ${why}`);
    full = true;
  };

  /** null: the server has no such file; undefined: it cannot be cached. */
  function open(file: string, signal?: AbortSignal): Promise<Open | null | undefined> {
    let opened = files.get(file);
    if (!opened) {
      opened = openFile(file, signal);
      opened.catch(() => files.delete(file));
      files.set(file, opened);
    }
    return opened;
  }

  async function openFile(file: string, signal?: AbortSignal): Promise<Open | null | undefined> {
    const url = http.url(file);
    const name = await nameOf(url);
    return locked(name, signal, async () => {
      const folders = await cacheFolder();
      const old = await folders.getDirectoryHandle(name).catch(() => undefined);
      const entry = old && (await readEntry(old));
      if (old && entry && !refresh) {
        if (entry.missing) {
          if (await hasWeights()) return null;
        } else if ((await storedBytes(old, entry)) === entry.size) return openEntry(old, entry, false);
      }
      if (keptOnly) return undefined;
      // A partial download may only continue with the version that it began with.
      const facts = await http.facts(file, signal).catch(async (error) => {
        // A file that the server refuses counts as missing, next time without the network too; not where a hub refuses the model.
        if (!entry && !full && isRefusal(error) && error.details.model === undefined)
          await create(name, { url, size: 0, chunkBytes: CHUNK_BYTES, missing: true });
        throw error;
      });
      if (old && entry && facts && isSame(entry, facts)) return openEntry(old, entry, true);
      await removeFolder(name);
      if (full) return facts && undefined;
      if (facts === null) {
        await create(name, { url, size: 0, chunkBytes: CHUNK_BYTES, missing: true });
        return null;
      }
      const { size, validator } = facts;
      if (size === undefined) return undefined;
      return create(name, {
        url,
        size,
        chunkBytes: CHUNK_BYTES,
        ...(validator !== undefined && { validator }),
      });
    });
  }

  /** A record that a file is missing counts only once the model's weights are complete: before, its folder may be unfinished. */
  function hasWeights(): Promise<boolean> {
    weights ??= listCached().then((all) =>
      all.some(
        ({ url, size, storedBytes }) =>
          url.startsWith(http.name.split('?')[0]!) &&
          /\.(safetensors|gguf)$/.test(new URL(url).pathname) &&
          size === storedBytes,
      ),
    );
    weights.catch(() => {
      weights = undefined;
    });
    return weights;
  }

  async function create(name: string, entry: Entry): Promise<Open | undefined> {
    const { url, size } = entry;
    const { quota, usage = 0 } = await navigator.storage.estimate();
    if (quota !== undefined && size > quota - usage)
      return giveUp(`there is room for ${quota - usage} more bytes, ${url} has ${size}.`);
    // Without this the browser may throw the files away when the disk is full; workers cannot ask.
    void navigator.storage.persist?.().catch(() => {});
    try {
      const folder = await (await cacheFolder()).getDirectoryHandle(name, { create: true });
      await writeFile(folder, ENTRY, [JSON.stringify(entry)]);
      return openEntry(folder, entry, true);
    } catch (error) {
      return giveUp(messageOf(error));
    }
  }

  /** Bytes `[from, to)` of a kept chunk, undefined when it is not here or damaged. */
  async function stored(
    open: Open,
    index: number,
    from: number,
    to: number,
  ): Promise<ChunkBytes | undefined> {
    const file = await readFile(open.folder, String(index));
    const { start, end } = span(open.entry, index);
    if (file?.size !== DIGEST_BYTES + end - start) return undefined;
    if (open.checked.has(index)) {
      const bytes = await bytesOf(file.slice(DIGEST_BYTES + from, DIGEST_BYTES + to));
      return bytes && { bytes, shared: false };
    }
    // Several readers may want ranges of it at once.
    const checking = open.checking.get(index) ?? checks(() => check(open, index, file));
    open.checking.set(index, checking);
    const whole = await checking;
    return whole && { bytes: whole.subarray(from, to), shared: true };
  }

  /** All bytes of a kept chunk, unless it is damaged. */
  async function check(open: Open, index: number, file: File): Promise<Bytes | undefined> {
    try {
      const bytes = await bytesOf(file);
      const data = bytes?.subarray(DIGEST_BYTES);
      const digest = data && (await sha256(data));
      if (!data || digest!.some((byte, i) => byte !== bytes![i])) return undefined;
      open.checked.add(index);
      freeSoon(data);
      return data;
    } finally {
      open.checking.delete(index);
    }
  }

  /** Fetches a chunk and keeps it. @returns all its bytes */
  async function fetchChunk(file: string, open: Open, index: number, signal?: AbortSignal): Promise<Bytes> {
    const { start, end } = span(open.entry, index);
    return locked(`${await nameOf(open.entry.url)}/${index}`, signal, async () => {
      // Another page may have fetched it while this one waited.
      const there = await stored(open, index, 0, end - start);
      // A copy: the memory of the check may be freed before the caller runs.
      if (there) return there.bytes.slice();
      const facts = open.confirmed ? undefined : await http.facts(file, signal);
      const changed = facts === null || (facts && !isSame(open.entry, facts));
      const bytes = changed ? undefined : ((await http.read(file, start, end, signal)) as Bytes | undefined);
      if (bytes?.length !== end - start) {
        await removeFolder(await nameOf(open.entry.url));
        throw new ShishuError('io', `The server has other bytes in ${file} than the cache was filled from.`, {
          details: { file, start, end, found: bytes?.length ?? 0 },
          mend: 'Load the model again: it is fetched anew.',
        });
      }
      open.confirmed = true;
      if (full) return bytes;
      try {
        await writeFile(open.folder, String(index), [await sha256(bytes), bytes]);
        open.checked.add(index);
      } catch (error) {
        giveUp(messageOf(error));
      }
      return bytes;
    });
  }

  function fetchShared(file: string, open: Open, index: number, signal?: AbortSignal): Promise<Bytes> {
    let fetching = open.fetching.get(index);
    if (!fetching) {
      fetching = downloads(() => fetchChunk(file, open, index, signal)).finally(() =>
        open.fetching.delete(index),
      );
      fetching.then(freeSoon, () => {});
      open.fetching.set(index, fetching);
    }
    return fetching;
  }

  /** Starts on the chunks after `index` that are not here; whoever wants them sees their errors. */
  async function prefetch(file: string, open: Open, index: number, signal?: AbortSignal): Promise<void> {
    const last = Math.ceil(open.entry.size / CHUNK_BYTES) - 1;
    for (let next = index + 1; next <= Math.min(last, index + PREFETCHED_CHUNKS); next++)
      if (!open.checked.has(next) && !(await readFile(open.folder, String(next))))
        fetchShared(file, open, next, signal).catch(() => {});
  }

  async function readChunk(
    file: string,
    open: Open,
    index: number,
    [from, to]: [number, number],
    signal?: AbortSignal,
  ): Promise<ChunkBytes> {
    const here = open.fetching.has(index) ? undefined : await stored(open, index, from, to);
    if (here) return here;
    if (full) {
      const { start } = span(open.entry, index);
      return { bytes: (await http.read(file, start + from, start + to, signal)) as Bytes, shared: false };
    }
    // A download that another call began may have been aborted by it.
    const shared = fetchShared(file, open, index, signal).catch((error) => {
      const aborted = error instanceof ShishuError ? error.code === 'aborted' : error?.name === 'AbortError';
      if (aborted && !signal?.aborted) return fetchShared(file, open, index, signal);
      throw error;
    });
    void prefetch(file, open, index, signal);
    return { bytes: (await shared).subarray(from, to), shared: true };
  }

  return {
    name: http.name,
    async read(file, first, end, signal) {
      const opened = await open(file, signal);
      if (opened === null) return undefined;
      if (!opened) return http.read(file, first, end, signal);
      const start = first ?? 0;
      const { size } = opened.entry;
      const stop = Math.min(end ?? size, size);
      const into = new Uint8Array(Math.max(0, stop - start));
      for (let at = start; at < stop; ) {
        const index = Math.floor(at / CHUNK_BYTES);
        const chunk = span(opened.entry, index);
        const to = Math.min(stop, chunk.end);
        const range: [number, number] = [at - chunk.start, to - chunk.start];
        const { bytes, shared } = await readChunk(file, opened, index, range, signal);
        into.set(bytes, at - start);
        if (!shared) free(bytes.buffer);
        at = to;
      }
      return into;
    },
    async size(file, signal) {
      const opened = await open(file, signal);
      if (opened === null) return null;
      return opened ? opened.entry.size : http.size!(file, signal);
    },
  };
}

/** What a kept file holds; undefined where another page has taken it away since it was found. */
async function bytesOf(file: Blob): Promise<Bytes | undefined> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    return undefined;
  }
}

/** Frees a chunk after all that wait for it have run: they copy what they want at once. */
function freeSoon(bytes: Bytes): void {
  setTimeout(() => free(bytes.buffer), 0);
}

function openEntry(folder: FileSystemDirectoryHandle, entry: Entry, confirmed: boolean): Open {
  return { entry, folder, confirmed, checked: new Set(), checking: new Map(), fetching: new Map() };
}

/** The same length, and the same validator where both are known. */
function isSame(entry: Entry, { size, validator }: FileFacts): boolean {
  const same = (a: unknown, b: unknown): boolean => a === undefined || b === undefined || a === b;
  return same(entry.size, size) && same(entry.validator, validator);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
