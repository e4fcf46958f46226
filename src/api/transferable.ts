import { ShishuError } from '../errors.ts';
import { isHubId } from '../formats/hub.ts';
import type { SourceLike } from '../formats/open-source.ts';

/** A source in a form that clones: what cannot be cloned (a page's object with `read`) is called back. */
export type TransferableSource =
  | { kind: 'url'; url: string }
  | { kind: 'handle'; handle: FileSystemDirectoryHandle }
  /** `paths` are the files' `webkitRelativePath`, which not every browser clones. */
  | { kind: 'files'; files: File[]; paths: string[] }
  | { kind: 'read'; source: Extract<SourceLike, { read: unknown }> };

/** The source as it crosses to a worker. @throws ShishuError `bad-argument` */
export function toTransferable(source: SourceLike): TransferableSource {
  if (typeof source === 'string' && isHubId(source)) return { kind: 'url', url: source };
  if (typeof source === 'string' || source instanceof URL) {
    // Relative to the page, not to the worker's script.
    const page = globalThis.location?.href;
    const url = URL.canParse(source, page) ? new URL(source, page).href : String(source);
    return { kind: 'url', url };
  }
  if (typeof source === 'object' && source !== null) {
    if ('getFileHandle' in source) return { kind: 'handle', handle: source };
    if ('read' in source && typeof source.read === 'function') {
      const { name, list, tensors } = source;
      const read: typeof source.read = (...args) => source.read(...args);
      const size: NonNullable<typeof source.size> = (...args) => source.size?.(...args);
      return {
        kind: 'read',
        source: {
          ...(name !== undefined && { name }),
          read,
          size,
          ...(list && { list: () => source.list!() }),
          ...(tensors && { tensors: (signal?: AbortSignal) => source.tensors!(signal) }),
        },
      };
    }
    if ('arrayBuffer' in source) return { kind: 'files', files: [source], paths: [''] };
    if (Symbol.iterator in source || 'length' in source) {
      const files = Array.from(source as ArrayLike<File>);
      return { kind: 'files', files, paths: files.map((file) => file.webkitRelativePath ?? '') };
    }
  }
  throw new ShishuError('bad-argument', 'The model source is of no known kind.', {
    mend: 'Give a model of the hub, the URL of a folder or of a GGUF file, File or File[], a directory handle, or an object with read(name, start?, end?).',
  });
}

/** The source again, in the worker. What calls back to the page goes through `source`, which a later call may fill anew. */
export function openTransferable(source: TransferableSource): SourceLike {
  switch (source.kind) {
    case 'url':
      return source.url;
    case 'handle':
      return source.handle;
    case 'read':
      return {
        ...source.source,
        read: (...args) => source.source.read(...args),
        size: (...args) => source.source.size?.(...args),
        ...(source.source.list && { list: () => source.source.list!() }),
        ...(source.source.tensors && { tensors: (signal) => source.source.tensors!(signal) }),
      };
    case 'files':
      return source.files.map((file, i) =>
        Object.defineProperty(file, 'webkitRelativePath', { value: source.paths[i]! }),
      );
  }
}
