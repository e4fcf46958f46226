import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { type Json, parseJson } from '../formats/json.ts';

/** What to do about a failed write, by the system's error code. */
const mends: Record<string, string> = {
  ENOSPC: 'Free some disk space, then run the same command: it goes on from the last checkpoint.',
  EDQUOT: 'Free some disk space, then run the same command: it goes on from the last checkpoint.',
  EACCES: 'Choose a folder that you may write to.',
  EROFS: 'Choose a folder that you may write to.',
};

/** Writes to a temporary file, flushes it and renames it: a reader finds the old file or the new one, never a part of it. */
export async function writeAtomic(path: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${path}.part`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(temporary, 'w');
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    throw new ShishuError('io', `Could not write ${path}: ${(cause as Error).message}.`, {
      details: { file: path },
      ...(mends[code] && { mend: mends[code] }),
      cause,
    });
  }
}

/** The file's bytes, or undefined when there is none. */
export async function readIfExists(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ShishuError('io', `Could not read ${path}: ${(cause as Error).message}.`, {
      details: { file: path },
      cause,
    });
  }
}

/** A JSON object in a file. */
export async function readJsonFile(path: string): Promise<Json> {
  const bytes = await readIfExists(path);
  if (!bytes) throw new ShishuError('not-found', `There is no file ${path}.`, { details: { file: path } });
  return parseJson(bytes, path, { code: 'bad-config' });
}

/** Reads a model's config from its file or from the folder that holds it; `name` is the file's or folder's. */
export async function readConfigFile(path: string): Promise<{ name: string; json: Json }> {
  const folder = await stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
  return {
    name: basename(path, '.json'),
    json: await readJsonFile(folder ? join(path, 'config.json') : path),
  };
}
