import { isHubId } from '../../src/formats/hub.ts';
import { type CachedFile, deleteCached, listCached } from '../../src/index.ts';
import { hubOfPage } from '../hub.ts';
import { fromUrl, type ModelChoice } from './model-choice.ts';

/** A model whose files are in this browser, or a part of them. */
export interface CachedModel {
  choice: ModelChoice;
  files: CachedFile[];
  storedBytes: number;
  size: number;
}

const WEIGHTS = /\.(safetensors|gguf)$/i;

/** The models in the browser's cache. @param served address of what is served with the page, which is listed elsewhere */
export async function cachedModels(served: string): Promise<CachedModel[]> {
  const groups = new Map<string, CachedFile[]>();
  for (const file of await listCached().catch(() => [])) {
    if (file.url.startsWith(served)) continue;
    const source = sourceOf(file.url);
    groups.set(source, [...(groups.get(source) ?? []), file]);
  }
  return [...groups].flatMap(([source, files]) => {
    if (!files.some(({ url }) => WEIGHTS.test(pathOf(url)))) return [];
    const sum = (of: (file: CachedFile) => number): number => files.reduce((all, file) => all + of(file), 0);
    const choice = fromUrl(source);
    const label = isHubId(source) ? source : choice.label;
    return [
      {
        choice: { ...choice, label },
        files,
        storedBytes: sum((file) => file.storedBytes),
        size: sum(({ size }) => size),
      },
    ];
  });
}

const pathOf = (url: string): string => new URL(url).pathname;

/** What a model is loaded by: a hub's name, a GGUF file or a folder. */
function sourceOf(url: string): string {
  const folder = url.slice(0, url.lastIndexOf('/') + 1);
  const place = /\.gguf$/i.test(pathOf(url)) ? url : folder;
  const hub = `${String(hubOfPage().endpoint ?? 'https://huggingface.co').replace(/\/+$/, '')}/`;
  const onHub = place.startsWith(hub) ? place.slice(hub.length) : '';
  const [, name, revision, rest = ''] = /^([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.*)$/.exec(onHub) ?? [];
  if (name === undefined) return place;
  const source = `${name}${revision === 'main' ? '' : `@${decodeURIComponent(revision!)}`}${rest && `/${rest}`}`;
  // A folder of a repository is told by its address.
  return isHubId(source) ? source : place;
}

const LOCAL = ['localhost', '127.0.0.1', '[::1]'];

/** Whether a model can be had without a network: it is from this machine, or whole in the browser. */
export async function isKept({ source }: ModelChoice): Promise<boolean> {
  if (typeof source !== 'string') return true;
  if (!isHubId(source) && LOCAL.includes(new URL(source).hostname)) return true;
  return (await cachedModels('none:')).some(
    ({ choice, storedBytes, size }) => choice.source === source && storedBytes >= size,
  );
}

/** Takes a model out of the browser. @returns bytes that are free again */
export async function removeCached({ files }: CachedModel): Promise<number> {
  let freed = 0;
  for (const { url } of files) freed += await deleteCached(url);
  return freed;
}
