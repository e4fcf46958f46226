import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { type Json, parseJson } from '../formats/json.ts';

/** What to do about a failed write, by the system's error code. */
export const MENDS: Record<string, string> = {
  ENOSPC: 'Free some disk space.',
  EDQUOT: 'Free some disk space.',
  EFBIG: 'Raise the limit on the size of files (ulimit -f), or choose another disk.',
  EACCES: 'Choose a folder that you may write to.',
  EROFS: 'Choose a folder that you may write to.',
};
const RESUME = 'Free some disk space, then run the same command: it goes on from the last checkpoint.';

/** Runs what writes to a path. @throws ShishuError `io`, with what to do by the system's error code */
export async function guardWrite<T>(path: string, write: () => Promise<T>, mends = MENDS): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    if (cause instanceof ShishuError) throw cause;
    const { code = '', message } = cause as NodeJS.ErrnoException;
    throw new ShishuError('io', `Could not write ${path}: ${message}.`, {
      details: { file: path },
      mend: mends[code],
      cause,
    });
  }
}

/** Writes a file and flushes it to the disk; its folder is made where there is none. */
export async function writeFlushed(
  path: string,
  data: Uint8Array | string | AsyncIterable<Uint8Array>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, 'w');
  try {
    const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
    for await (const piece of pieces) await file.writeFile(piece);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Writes to a temporary file and renames it: a reader finds the old file or the new one, never a part of it. */
export function writeAtomic(
  path: string,
  data: Uint8Array | string | AsyncIterable<Uint8Array>,
  mends: Record<string, string> = { ...MENDS, ENOSPC: RESUME, EDQUOT: RESUME },
): Promise<void> {
  const temporary = `${path}.part`;
  const write = async (): Promise<void> => {
    try {
      await writeFlushed(temporary, data);
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {});
      throw error;
    }
  };
  return guardWrite(path, write, mends);
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
