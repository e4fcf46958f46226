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

class FileHandle {
  readonly kind = 'file';
  readonly name: string;
  readonly #path: string;

  constructor(folder: string, name: string) {
    this.name = name;
    this.#path = join(folder, name);
  }

  async getFile(): Promise<FilePart> {
    return new FilePart(this.#path, 0, (await stat(this.#path)).size);
  }

  /** What is written is there once it is closed, whole. */
  async createWritable() {
    const draft = `${this.#path}.${process.pid}-${drafts++}.part`;
    const file = await open(draft, 'w');
    return {
      write: (data: string | Bytes) => file.writeFile(data),
      close: async () => {
        await file.close();
        await rename(draft, this.#path);
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
    if (create) await mkdir(path, { recursive: true });
    else await stat(path);
    return new FolderHandle(path, name);
  }

  async getFileHandle(name: string): Promise<FileHandle> {
    return new FileHandle(this.#path, name);
  }

  removeEntry(name: string): Promise<void> {
    return rm(join(this.#path, name), { recursive: true });
  }

  async *values(): AsyncGenerator<FileHandle | FolderHandle> {
    for (const entry of await readdir(this.#path, { withFileTypes: true })) {
      if (entry.isDirectory()) yield new FolderHandle(join(this.#path, entry.name), entry.name);
      else yield new FileHandle(this.#path, entry.name);
    }
  }
}

/** Gives Node a `navigator.storage` in which downloads are kept, as pages have one. @throws where the folder cannot be written to */
export async function provideStorage(folder = cacheFolder()): Promise<void> {
  await mkdir(folder, { recursive: true });
  await access(folder, constants.W_OK);
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
