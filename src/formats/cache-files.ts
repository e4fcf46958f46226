// The files of the cache: a folder of the Origin Private File System for each URL, with what is noted of the file and its chunks.
import { CHUNK_BYTES } from './concurrency.ts';

type Bytes = Uint8Array<ArrayBuffer>;

export const DIGEST_BYTES = 32;
const FOLDER = 'shishulm-cache';
export const ENTRY = 'entry.json';

/** A file of a model in the cache. */
export interface CachedFile {
  url: string;
  /** Bytes of the file, and how many of them are in the cache. */
  size: number;
  storedBytes: number;
  /** ETag or date of the file on its server. */
  validator: string | undefined;
}

/** The record of a file, in `entry.json`. Beside it each chunk is a file named by its number: SHA-256 (32 bytes), then data. */
export interface Entry {
  url: string;
  size: number;
  validator?: string;
  chunkBytes: number;
  /** The server has no such file. */
  missing?: true;
}

/** Whether this environment can keep files: a secure page or worker with the Origin Private File System. */
export function canCache(): boolean {
  return (
    typeof navigator !== 'undefined' &&
    !!navigator.storage?.getDirectory &&
    !!globalThis.crypto?.subtle &&
    'createWritable' in FileSystemFileHandle.prototype
  );
}

export async function cacheFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

/** Name of a URL's folder. */
export async function nameOf(url: string): Promise<string> {
  const digest = await sha256(new TextEncoder().encode(url));
  return [...digest.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Holds a lock that all pages of this origin share, where the browser has locks. */
export async function locked<T>(
  name: string,
  signal: AbortSignal | undefined,
  run: () => Promise<T>,
): Promise<T> {
  if (!navigator.locks) return run();
  return navigator.locks.request(`${FOLDER}/${name}`, signal ? { signal } : {}, run) as Promise<T>;
}

export async function readFile(folder: FileSystemDirectoryHandle, name: string): Promise<File | undefined> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return undefined;
  }
}

/** Writes a file atomically: none of it is visible before it is complete. */
export async function writeFile(
  folder: FileSystemDirectoryHandle,
  name: string,
  parts: readonly (Bytes | string)[],
): Promise<void> {
  const handle = await folder.getFileHandle(name, { create: true });
  const writer = await handle.createWritable();
  try {
    for (const part of parts) await writer.write(part);
    await writer.close();
  } catch (error) {
    await writer.abort().catch(() => {});
    throw error;
  }
}

export async function readEntry(folder: FileSystemDirectoryHandle): Promise<Entry | undefined> {
  try {
    const entry = JSON.parse(await (await readFile(folder, ENTRY))!.text()) as Entry;
    const { url, size, chunkBytes } = entry;
    const sane = typeof url === 'string' && Number.isSafeInteger(size) && size >= 0;
    return sane && chunkBytes === CHUNK_BYTES ? entry : undefined;
  } catch {
    return undefined;
  }
}

export async function removeFolder(name: string): Promise<void> {
  await (await cacheFolder()).removeEntry(name, { recursive: true }).catch(() => {});
}

interface Kept {
  name: string;
  folder: FileSystemDirectoryHandle;
  entry: Entry;
}

async function* keptFiles(): AsyncGenerator<Kept> {
  for await (const folder of (await cacheFolder()).values()) {
    if (folder.kind !== 'directory') continue;
    const entry = await readEntry(folder);
    if (entry) yield { name: folder.name, folder, entry };
  }
}

/** Bytes of the chunks that have their length. */
export async function storedBytes(folder: FileSystemDirectoryHandle, entry: Entry): Promise<number> {
  let bytes = 0;
  for await (const chunk of folder.values()) {
    const index = Number(chunk.name);
    if (chunk.kind !== 'file' || !Number.isInteger(index)) continue;
    const { start, end } = span(entry, index);
    // It may be gone: others use the cache too.
    if ((await readFile(folder, chunk.name))?.size === DIGEST_BYTES + end - start) bytes += end - start;
  }
  return bytes;
}

export const span = ({ size }: Entry, index: number): { start: number; end: number } => ({
  start: index * CHUNK_BYTES,
  end: Math.min(size, (index + 1) * CHUNK_BYTES),
});

/** The files in the cache, complete and partial, by URL. */
export async function listCached(): Promise<CachedFile[]> {
  if (!canCache()) return [];
  const found: CachedFile[] = [];
  for await (const { folder, entry } of keptFiles()) {
    const { url, size, validator, missing } = entry;
    if (!missing) found.push({ url, size, storedBytes: await storedBytes(folder, entry), validator });
  }
  return found.sort((a, b) => (a.url < b.url ? -1 : 1));
}

/**
 * Deletes files from the cache: those whose URL begins with `url` (a folder's URL means its files), or all.
 * @returns bytes of model files that were freed
 */
export async function deleteCached(url?: string | URL): Promise<number> {
  if (!canCache()) return 0;
  let freed = 0;
  const doomed: string[] = [];
  for await (const { name, folder, entry } of keptFiles()) {
    if (url !== undefined && !entry.url.startsWith(String(url))) continue;
    freed += await storedBytes(folder, entry);
    doomed.push(name);
  }
  for (const name of doomed) await removeFolder(name);
  return freed;
}
