import { REPORT_FILE } from '../src/convert/report.ts';
import { canCache } from '../src/formats/cache-files.ts';
import type { ModelChoice } from './chat/picker.ts';

const FOLDER = 'shishulm-made';

/** Where this browser keeps the models that the conversion page wrote; undefined where it can keep none. */
export async function savedModelsFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  if (!canCache()) return undefined;
  return (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
}

/** The id by which the chat page finds a saved model again. */
export const savedModelId = (name: string): string => `made/${name}`;

type Entries = AsyncIterable<[string, FileSystemHandle]>;

/** Folders of complete models. With `clean`, folders that a closed page left incomplete are removed. */
export async function savedModels(clean = false): Promise<FileSystemDirectoryHandle[]> {
  const place = await savedModelsFolder();
  const found: FileSystemDirectoryHandle[] = [];
  for await (const [name, entry] of (place as unknown as Entries) ?? []) {
    const folder = entry as FileSystemDirectoryHandle;
    const isComplete = await folder.getFileHandle(REPORT_FILE).catch(() => undefined);
    if (isComplete) found.push(folder);
    else if (clean) await place!.removeEntry(name, { recursive: true }).catch(() => {});
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Saved models as entries of the chat page's list. */
export async function savedChoices(): Promise<ModelChoice[]> {
  return (await savedModels().catch(() => [])).map((folder) => ({
    label: folder.name,
    description: 'Made in this browser, on the conversion page.',
    source: folder,
    saved: { kind: 'included', id: savedModelId(folder.name) },
    openers: [],
  }));
}

export async function filesOf(folder: FileSystemDirectoryHandle): Promise<File[]> {
  const files: File[] = [];
  for await (const [, entry] of folder as unknown as Entries)
    if (entry.kind === 'file') files.push(await (entry as FileSystemFileHandle).getFile());
  return files;
}

export async function removeSavedModel(name: string): Promise<void> {
  await (await savedModelsFolder())?.removeEntry(name, { recursive: true });
}
