import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { ShishuError } from '../errors.ts';
import { ggufIn } from './find-gguf.ts';
import { openSource } from './open-source.ts';
import { checkedSource, type Source } from './source.ts';

/** Largest single read that Node takes. */
const MOST_BYTES = 2 ** 30;

/** A folder on this machine (Node only). @throws ShishuError `not-found` when it is missing or no folder. */
export async function openFolder(path: string): Promise<Source> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isDirectory())
    throw new ShishuError('not-found', info ? `${path} is not a folder.` : `There is no folder ${path}.`, {
      details: { folder: path },
      mend: 'Give the folder that holds config.json and the weights, a GGUF file, or a model of a hub: owner/name.',
    });
  return checkedSource({
    name: path,
    size: async (file) => (await stat(join(path, file))).size,
    async list(deep = false) {
      if (!deep) return readdir(path);
      const entries = await readdir(path, { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => relative(path, join(entry.parentPath, entry.name)).replaceAll(sep, '/'));
    },
    async read(file, start = 0, end) {
      const handle = await open(join(path, file));
      try {
        const size = (await handle.stat()).size;
        const stop = Math.min(end ?? size, size);
        const bytes = new Uint8Array(Math.max(stop - start, 0));
        let filled = 0;
        while (filled < bytes.length) {
          const length = Math.min(bytes.length - filled, MOST_BYTES);
          const { bytesRead } = await handle.read(bytes, filled, length, start + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return bytes.subarray(0, filled);
      } finally {
        await handle.close();
      }
    },
  });
}

/** A model on this machine: its folder, or a GGUF file. @throws ShishuError `not-found` */
export async function openModelPath(path: string): Promise<Source> {
  if (!/\.gguf$/i.test(path) || (await stat(path).catch(() => undefined))?.isDirectory())
    return openSource(await openFolder(path));
  return checkedSource(ggufIn(await openFolder(dirname(path)), basename(path)), true);
}
