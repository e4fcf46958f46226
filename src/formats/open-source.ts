// How a model's folder is opened: a hub, an address, files from a picker, a directory, a GGUF file, or storage of the caller's.
import { ShishuError } from '../errors.ts';
import { cachedHttp } from './cache.ts';
import { canCache } from './cache-files.ts';
import { rawFiles, rawHandle } from './files.ts';
import { ggufIn, ggufPlace, orGguf } from './find-gguf.ts';
import { type HttpOptions, rawHttp } from './http.ts';
import { type HubOptions, hubFolder, isHubId } from './hub.ts';
import type { RawSource } from './raw-source.ts';
import { checkedSource, type Source } from './source.ts';

export type SourceLike =
  | string
  | URL
  | File
  | Iterable<File>
  | ArrayLike<File>
  | FileSystemDirectoryHandle
  | RawSource;

/** How files of URLs and hubs are asked for. */
export interface SourceOptions extends Omit<HttpOptions, 'headers' | 'noStore'> {
  hub?: HubOptions;
  /**
   * Keep files in the browser for the next visit, and read those that are kept with no network; `refresh` asks the
   * server whether they changed. Default: off, and in environments that cannot keep files always off.
   */
  cache?: boolean | 'refresh';
  /** Called when files cannot be kept (default `console.warn`). */
  warn?: (message: string) => void;
}

/**
 * Opens a model: a hub's `owner/name` (or `owner/name@revision`) or a GGUF file of it (`owner/name/file.gguf`), the URL of a folder
 * or of a GGUF file, files from a picker, a directory handle, or an object with `read(name, start?, end?)`. Files and folders may
 * also be one model in GGUF.
 */
export function openSource(like: SourceLike, options: SourceOptions = {}): Source {
  const folder = openPlain(like, options);
  if (typeof like === 'string' || like instanceof URL) {
    const place = ggufPlace(like);
    if (!place) return folder;
    const gguf = ggufIn(folder, place.file);
    return checkedSource(gguf, true, folder.streams ? gguf : undefined);
  }
  return folder.list ? checkedSource(orGguf(folder), folder.fresh) : folder;
}

function openPlain(like: SourceLike, options: SourceOptions): Source {
  if (typeof like === 'string' || like instanceof URL) {
    const folder = ggufPlace(like)?.folder ?? like;
    const { url, headers } =
      typeof folder === 'string' && isHubId(folder)
        ? hubFolder(folder, options.hub)
        : { url: folder, headers: {} };
    const http = rawHttp(url, { ...options, headers, noStore: Boolean(options.cache) });
    if (!options.cache || !canCache()) return checkedSource(http, true, http);
    const refresh = options.cache === 'refresh';
    return checkedSource(cachedHttp(http, { refresh, ...(options.warn && { warn: options.warn }) }), true);
  }
  if (typeof like === 'object' && like !== null) {
    if ('getFileHandle' in like) return checkedSource(rawHandle(like), true);
    if ('read' in like && typeof like.read === 'function') return checkedSource(like);
    if ('arrayBuffer' in like) return checkedSource(rawFiles([like]), true);
    if (Symbol.iterator in like || 'length' in like) return checkedSource(rawFiles(Array.from(like)), true);
  }
  throw new ShishuError('bad-argument', 'The model source is of no known kind.', {
    mend: 'Give a model of the hub, the URL of a folder or of a GGUF file, File or File[], a directory handle, or an object with read(name, start?, end?).',
  });
}
