import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { openFolder } from '../formats/node-folder.ts';
import type { Staged } from './staged.ts';

const MENDS: Record<string, string> = {
  ENOSPC: 'Free some disk space.',
  EDQUOT: 'Free some disk space.',
  EFBIG: 'Raise the limit on the size of files (ulimit -f), or choose another disk.',
  EACCES: 'Choose a folder that you may write to.',
  EROFS: 'Choose a folder that you may write to.',
};

async function guarded<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    if (cause instanceof ShishuError) throw cause;
    const { code = '', message } = cause as NodeJS.ErrnoException;
    throw new ShishuError('io', `Could not write ${path}: ${message}.`, {
      details: { file: path },
      mend: MENDS[code],
      cause,
    });
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** @throws ShishuError `bad-argument` when the folder is there and may not be replaced */
export async function refuseExisting(out: string, force: boolean): Promise<void> {
  if (!force && (await exists(out)))
    throw new ShishuError('bad-argument', `${out} exists already.`, {
      details: { folder: out },
      mend: 'Choose another folder, or replace it with --force.',
    });
}

/** Begins a folder beside its place, where it appears whole or not at all (Node only). @throws ShishuError `bad-argument`, `io` */
export async function stageFolder(out: string, { force }: { force: boolean }): Promise<Staged> {
  await refuseExisting(out, force);
  const beside = (what: string): string => join(dirname(out), `.${basename(out)}.${what}-${process.pid}`);
  const path = beside('part');
  await guarded(path, () => mkdir(path, { recursive: true }));
  return {
    source: await openFolder(path),
    write: (file, data) =>
      guarded(join(path, file), async () => {
        await mkdir(dirname(join(path, file)), { recursive: true });
        const handle = await open(join(path, file), 'w');
        try {
          const pieces = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
          for await (const piece of pieces) await handle.writeFile(piece);
          await handle.sync();
        } finally {
          await handle.close();
        }
      }),
    async commit() {
      await refuseExisting(out, force);
      await guarded(out, async () => {
        const old = beside('old');
        const replaced = await exists(out);
        if (replaced) await rename(out, old);
        await rename(path, out).catch(async (error) => {
          if (replaced) await rename(old, out);
          throw error;
        });
        await rm(old, { recursive: true, force: true });
      });
    },
    discard: () => rm(path, { recursive: true, force: true }),
  };
}
