import type { CachedFile } from '../formats/cache.ts';
import { part } from '../part.ts';

const cache = () => part(() => import('../formats/cache.ts'));

/** The files in the cache, whole and half, by URL. */
export async function listCached(): Promise<CachedFile[]> {
  return (await cache()).listCached();
}

/**
 * Throws files out of the cache: those whose URL begins so (a folder's URL means its files), or all.
 * @returns bytes of model files that were freed
 */
export async function deleteCached(url?: string | URL): Promise<number> {
  return (await cache()).deleteCached(url);
}
