// How a model's folder is opened: a hub, an address, files from a picker, a directory, a GGUF file, or storage of the caller's.
import { ShishuError } from '../errors.ts';
import { importModule } from '../lazy.ts';
import { cachedHttp } from './cache.ts';
import { canCache } from './cache-files.ts';
import { rawFiles, rawHandle } from './files.ts';
import { ggufIn, ggufPlace, orGguf } from './find-gguf.ts';
import { type HttpOptions, rawHttp } from './http.ts';
import { type HubOptions, type HubPlace, hubFolder, hubPlace } from './hub.ts';
import { listHub, orHubGguf } from './hub-model.ts';
import type { RawSource, StreamingSource } from './raw-source.ts';
import { checkedSource, isChecked, type Source } from './source.ts';

export type SourceLike =
  | string
  | URL
  | File
  | Iterable<File>
  | ArrayLike<File>
  | FileSystemDirectoryHandle
  | RawSource;

/** How files of URLs and hubs are asked for. */
export interface SourceOptions extends Omit<HttpOptions, 'headers' | 'explain' | 'flat' | 'noStore'> {
  hub?: HubOptions;
  /**
   * Keep files in the browser for the next visit, and read those that are kept with no network; `refresh` asks the
   * server whether they changed, and `kept-only` keeps no more. Default: off, and in environments that cannot keep files
   * always off.
   */
  cache?: boolean | 'refresh' | 'kept-only';
  /** Called when files cannot be kept (default `console.warn`). */
  warn?: (message: string) => void;
  /** Said beside a hub's address in errors. */
  note?: string;
}

/**
 * Opens a model: a hub's `owner/name` (or `owner/name@revision`) or a GGUF file of it (`owner/name/file.gguf`), `hf:` and one of
 * these, the address of the hub's page of it, the URL of a folder or of a GGUF file, files from a picker, a directory handle, or an
 * object with `read(name, start?, end?)`. Files and folders may also be one model in GGUF.
 */
export function openSource(like: SourceLike, options: SourceOptions = {}): Source {
  if (typeof like === 'string' || like instanceof URL) return openAddress(String(like), options);
  const folder = openFiles(like);
  if (!folder.list || searched.has(folder)) return folder;
  const model = checkedSource(orGguf(folder), folder.fresh);
  searched.add(model);
  return model;
}

/** Folders that are read as the GGUF file in them, where they have no other model. */
const searched = new WeakSet<Source>();

function openAddress(address: string, options: SourceOptions): Source {
  const hub = hubPlace(address, options.hub);
  if (hub) return openHub(hub, options);
  const place = ggufPlace(address);
  const folder = openHttp(place?.folder ?? address, {}, options);
  return place ? fromFolder(folder, ggufIn(folder, place.file)) : folder;
}

/** What is in a folder, read as the folder is. */
const fromFolder = (folder: Source, model: StreamingSource): Source =>
  checkedSource(model, true, folder.streams ? model : undefined);

function openHub(place: HubPlace, options: SourceOptions): Source {
  const hub = hubFolder(place, options.hub);
  const { headers } = hub;
  const explain: HttpOptions['explain'] = async (response, file) => {
    const { hubRefusal } = await importModule(() => import('./hub-refusal.ts'));
    return hubRefusal(hub, response, file, options.note);
  };
  const http = { headers, explain };
  const folder = openHttp(hub.url, http, options);
  if (place.file !== undefined) return fromFolder(folder, ggufIn(folder, place.file));
  const list = () => listHub(openHttp(hub.list, { ...http, flat: true }, options), hub);
  return fromFolder(folder, orHubGguf(folder, hub, list));
}

function openHttp(
  url: string | URL,
  own: Pick<HttpOptions, 'headers' | 'explain' | 'flat'>,
  options: SourceOptions,
): Source {
  const http = rawHttp(url, { ...options, ...own, noStore: Boolean(options.cache) });
  const name = options.note ? `${http.name} (${options.note})` : http.name;
  if (!options.cache || !canCache()) return checkedSource({ ...http, name }, true, http);
  const [refresh, keptOnly] = [options.cache === 'refresh', options.cache === 'kept-only'];
  const cached = cachedHttp(http, { refresh, keptOnly, ...(options.warn && { warn: options.warn }) });
  return checkedSource({ ...cached, name }, true);
}

function openFiles(like: Exclude<SourceLike, string | URL>): Source {
  if (typeof like === 'object' && like !== null) {
    if (isChecked(like)) return like;
    if ('getFileHandle' in like) return checkedSource(rawHandle(like), true);
    if ('read' in like && typeof like.read === 'function') return checkedSource(like);
    if ('arrayBuffer' in like) return checkedSource(rawFiles([like]), true);
    if (Symbol.iterator in like || 'length' in like) return checkedSource(rawFiles(Array.from(like)), true);
  }
  throw new ShishuError('bad-argument', 'The model source is of no known kind.', {
    mend: 'Give a model of the hub, the URL of a folder or of a GGUF file, File or File[], a directory handle, or an object with read(name, start?, end?).',
  });
}
