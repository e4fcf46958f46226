import { LAST_FILE } from '../src/convert/handle-folder.ts';
import { canCache } from '../src/formats/cache-files.ts';
import type { Choice } from './chat/picker.ts';

const FOLDER = 'shishulm-made';

/** Where this browser keeps the models that its pages made; undefined where it can keep none. */
export async function madeFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  if (!canCache()) return undefined;
  return (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
}

/** A model that was made here, as the chat page finds it again. */
export const madeId = (name: string): string => `made/${name}`;

type Entries = AsyncIterable<[string, FileSystemHandle]>;

/** Folders of whole models; those that a closed page left half written are removed when `clean`. */
export async function madeModels(clean = false): Promise<FileSystemDirectoryHandle[]> {
  const place = await madeFolder();
  const found: FileSystemDirectoryHandle[] = [];
  for await (const [name, entry] of (place as unknown as Entries) ?? []) {
    const folder = entry as FileSystemDirectoryHandle;
    const whole = await folder.getFileHandle(LAST_FILE).catch(() => undefined);
    if (whole) found.push(folder);
    else if (clean) await place!.removeEntry(name, { recursive: true }).catch(() => {});
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The same for the chat page's list. */
export async function madeChoices(): Promise<Choice[]> {
  return (await madeModels().catch(() => [])).map((folder) => ({
    label: folder.name,
    description: 'Made in this browser, on the conversion page.',
    source: folder,
    saved: { kind: 'included', id: madeId(folder.name) },
    openers: [],
  }));
}

export async function filesOf(folder: FileSystemDirectoryHandle): Promise<File[]> {
  const files: File[] = [];
  for await (const [, entry] of folder as unknown as Entries)
    if (entry.kind === 'file') files.push(await (entry as FileSystemFileHandle).getFile());
  return files;
}

export async function removeMade(name: string): Promise<void> {
  await (await madeFolder())?.removeEntry(name, { recursive: true });
}
