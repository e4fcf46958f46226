import { el } from './chat/dom.ts';

/** Hands files to the browser's downloads, one after the other. */
export async function download(files: readonly File[]): Promise<void> {
  for (const file of files) {
    const url = URL.createObjectURL(file);
    el('a', { href: url, download: file.name }).click();
    // Browsers drop downloads that are asked for at once; by then this one has begun.
    await new Promise((resume) => setTimeout(resume, 150));
    URL.revokeObjectURL(url);
  }
}

/** Lets the reader choose a folder to write to; undefined when they think better of it, or the browser has no such dialog. */
export async function chooseFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  if (!('showDirectoryPicker' in window)) return undefined;
  const pick = window.showDirectoryPicker as (options: object) => Promise<FileSystemDirectoryHandle>;
  return pick({ mode: 'readwrite' }).catch(() => undefined);
}
