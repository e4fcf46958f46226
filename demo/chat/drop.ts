type Take = (name: string, source: SourceLike) => void;

/** Takes a folder, or the files of one, that is dropped anywhere on the page. */
import type { SourceLike } from '../../src/formats/open-source.ts';
export function listenForDrops(take: Take, fail: (error: unknown) => void): void {
  const { classList } = document.body;
  const bringsFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
  document.addEventListener('dragover', (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    classList.add('dragging');
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) classList.remove('dragging');
  });
  document.addEventListener('drop', (event) => {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    classList.remove('dragging');
    readDrop(event.dataTransfer!).then((dropped) => dropped && take(dropped.name, dropped.source), fail);
  });
}

/** The first folder of a drop, else its files. What the event holds must be asked for before the first await. */
async function readDrop(data: DataTransfer): Promise<{ name: string; source: SourceLike } | undefined> {
  const folders = [...data.items]
    .map((item) => item.webkitGetAsEntry?.())
    .filter((entry) => entry?.isDirectory);
  const files = [...data.files];
  if (folders[0]) {
    const folder = folders[0] as FileSystemDirectoryEntry;
    return { name: folder.name, source: await filesOf(folder) };
  }
  return files.length > 0 ? { name: 'dropped files', source: files } : undefined;
}

/** The files of a folder, without those of its subfolders: a model's lie at the top. */
async function filesOf(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    // A reader gives its entries in batches, an empty one last.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return files;
    const batch = entries.filter((entry): entry is FileSystemFileEntry => entry.isFile);
    files.push(
      ...(await Promise.all(
        batch.map((entry) => new Promise<File>((resolve, reject) => entry.file(resolve, reject))),
      )),
    );
  }
}
