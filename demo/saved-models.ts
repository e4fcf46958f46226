import { REPORT_FILE } from '../src/convert/report.ts';
import { canCache } from '../src/formats/cache-files.ts';
import type { ModelChoice } from './chat/model-choice.ts';

const FOLDER = 'shishulm-made';

/** Where this browser keeps the models that the conversion page wrote; undefined where it can keep none. */
export async function savedModelsFolder(): Promise<FileSystemDirectoryHandle | undefined> {
  if (!canCache()) return undefined;
  return (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
}

/** The id by which the chat page finds a saved model again. */
export const savedModelId = (name: string): string => `made/${name}`;

type Entries = AsyncIterable<[string, FileSystemHandle]>;

/** All folders, by name; one that is not complete is of a conversion that is under way, or was stopped. */
export async function madeFolders(): Promise<{ folder: FileSystemDirectoryHandle; complete: boolean }[]> {
  const found: { folder: FileSystemDirectoryHandle; complete: boolean }[] = [];
  for await (const [, entry] of ((await savedModelsFolder()) as unknown as Entries) ?? []) {
    const folder = entry as FileSystemDirectoryHandle;
    const report = await folder.getFileHandle(REPORT_FILE).catch(() => undefined);
    found.push({ folder, complete: report !== undefined });
  }
  return found.sort((a, b) => (a.folder.name < b.folder.name ? -1 : 1));
}

/** Folders of complete models. */
export const savedModels = async (): Promise<FileSystemDirectoryHandle[]> =>
  (await madeFolders()).filter(({ complete }) => complete).map(({ folder }) => folder);

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

/** The files of a folder, and of those inside it, by their paths. */
export async function filesOf(folder: FileSystemDirectoryHandle): Promise<Map<string, File>> {
  const files = new Map<string, File>();
  for await (const [name, entry] of folder as unknown as Entries)
    if (entry.kind === 'file') files.set(name, await (entry as FileSystemFileHandle).getFile());
    else
      for (const [path, file] of await filesOf(entry as FileSystemDirectoryHandle))
        files.set(`${name}/${path}`, file);
  return files;
}

export async function removeSavedModel(name: string): Promise<void> {
  await (await savedModelsFolder())?.removeEntry(name, { recursive: true });
}
