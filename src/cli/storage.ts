// The part of the browser's file system that the cache of downloads needs, in a folder of this machine.
import { access, constants, mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheFolder } from './user-folder.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes `[start, end)` of a file, which are read when they are asked for. */
class FilePart {
  readonly size: number;
  readonly #path: string;
  readonly #start: number;

  constructor(path: string, start: number, end: number) {
    this.size = end - start;
    this.#path = path;
    this.#start = start;
  }

  slice(start: number, end = this.size): FilePart {
    return new FilePart(this.#path, this.#start + start, this.#start + Math.min(end, this.size));
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    const file = await open(this.#path);
    try {
      const bytes = new Uint8Array(this.size);
      const { bytesRead } = await file.read(bytes, 0, this.size, this.#start);
      return bytesRead === this.size ? bytes.buffer : bytes.buffer.slice(0, bytesRead);
    } finally {
      await file.close();
    }
  }

  async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }
}

let drafts = 0;
/** Nobody writes for longer: a draft that is older was left by a process that was ended. */
const LONGEST_DRAFT_MS = 86_400_000;

/** Makes a folder, and does something in it: once more where another process takes the folder away meanwhile. */
async function inFolder(folder: string, run = async (): Promise<void> => {}): Promise<void> {
  for (let tries = 1; ; tries++)
    try {
      await mkdir(folder, { recursive: true });
      return await run();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries === 20) throw error;
    }
}

class FileHandle {
  readonly kind = 'file';
  readonly name: string;
  readonly #folder: string;
  readonly #path: string;

  constructor(folder: string, name: string) {
    this.name = name;
    this.#folder = folder;
    this.#path = join(folder, name);
  }

  async getFile(): Promise<FilePart> {
    return new FilePart(this.#path, 0, (await stat(this.#path)).size);
  }

  /** What is written is there once it is closed, whole. */
  async createWritable() {
    const draft = `${this.#folder}.${process.pid}-${drafts++}.part`;
    const file = await open(draft, 'w');
    return {
      write: (data: string | Bytes) => file.writeFile(data),
      close: async () => {
        await file.close();
        await inFolder(this.#folder, () => rename(draft, this.#path));
      },
      abort: async () => {
        await file.close();
        await rm(draft, { force: true });
      },
    };
  }
}

class FolderHandle {
  readonly kind = 'directory';
  readonly name: string;
  readonly #path: string;

  constructor(path: string, name: string) {
    this.#path = path;
    this.name = name;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<FolderHandle> {
    const path = join(this.#path, name);
    if (create) await inFolder(path);
    else await stat(path);
    return new FolderHandle(path, name);
  }

  async getFileHandle(name: string): Promise<FileHandle> {
    return new FileHandle(this.#path, name);
  }

  removeEntry(name: string): Promise<void> {
    return rm(join(this.#path, name), { recursive: true, maxRetries: 3 });
  }

  async *values(): AsyncGenerator<FileHandle | FolderHandle> {
    // Another process may have taken it away.
    for (const entry of await readdir(this.#path, { withFileTypes: true }).catch(() => [])) {
      if (entry.isDirectory()) yield new FolderHandle(join(this.#path, entry.name), entry.name);
      else yield new FileHandle(this.#path, entry.name);
    }
  }
}

async function removeOldDrafts(folder: string): Promise<void> {
  const names = await readdir(folder, { recursive: true }).catch((): string[] => []);
  for (const path of names.filter((name) => name.endsWith('.part')).map((name) => join(folder, name))) {
    const { mtimeMs = Date.now() } = (await stat(path).catch(() => undefined)) ?? {};
    if (Date.now() - mtimeMs > LONGEST_DRAFT_MS) await rm(path, { force: true });
  }
}

/** Gives Node a `navigator.storage` in which downloads are kept, as pages have one. @throws where the folder cannot be written to */
export async function provideStorage(folder = cacheFolder()): Promise<void> {
  await mkdir(folder, { recursive: true });
  await access(folder, constants.W_OK);
  await removeOldDrafts(folder);
  if (!globalThis.navigator)
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  const storage = {
    getDirectory: async () => new FolderHandle(folder, ''),
    async estimate() {
      const { bavail, bsize } = await statfs(folder);
      return { quota: bavail * bsize };
    },
  };
  Object.defineProperty(globalThis.navigator, 'storage', { value: storage, configurable: true });
  Object.assign(globalThis, { FileSystemFileHandle: FileHandle });
}
