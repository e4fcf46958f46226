import type { RawSource } from './raw-source.ts';

async function slice(file: File, start = 0, end = file.size): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await file.slice(start, end).arrayBuffer());
}

/**
 * Files from a picker or a drop. With relative paths the folder of the topmost `config.json`, or else of the topmost GGUF file, is
 * the model's; plain names are taken as they are.
 */
export function rawFiles(files: readonly File[]): RawSource {
  const pathOf = (file: File): string => file.webkitRelativePath || file.name;
  const depth = (path: string): number => path.split('/').length;
  const paths = files.map(pathOf).sort((a, b) => depth(a) - depth(b));
  const config = paths.find((path) => path === 'config.json' || path.endsWith('/config.json'));
  const first = config ?? paths.find((path) => path.endsWith('.gguf')) ?? paths[0] ?? '';
  const root = first.slice(0, first.lastIndexOf('/') + 1);
  const byName = new Map<string, File>();
  for (const file of files) {
    const path = pathOf(file);
    if (path.startsWith(root)) byName.set(path.slice(root.length), file);
  }
  return {
    name: root ? `the folder ${root.slice(0, -1)}` : 'the chosen files',
    read(name, start, end) {
      const file = byName.get(name);
      return file && slice(file, start, end);
    },
    size: (name) => byName.get(name)?.size ?? null,
    list: () => [...byName.keys()],
  };
}

/** A folder that the user opened with `showDirectoryPicker` or dropped, or one of the origin-private file system. */
export function rawHandle(folder: FileSystemDirectoryHandle): RawSource {
  const open = async (path: string): Promise<File> => {
    const parts = path.split('/');
    const name = parts.pop() ?? '';
    let at = folder;
    for (const part of parts) at = await at.getDirectoryHandle(part);
    return (await at.getFileHandle(name)).getFile();
  };
  return {
    name: `the folder ${folder.name}`,
    read: async (path, start, end) => slice(await open(path), start, end),
    size: async (path) => (await open(path)).size,
    async list(deep = false) {
      const names: string[] = [];
      for await (const [name, entry] of folder.entries()) {
        if (deep && entry.kind === 'directory') {
          const inside = await rawHandle(entry as FileSystemDirectoryHandle).list!(true);
          names.push(...inside.map((path) => `${name}/${path}`));
        } else names.push(name);
      }
      return names;
    },
  };
}
