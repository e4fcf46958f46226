import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { encodeHeader } from '../formats/safetensors.ts';
import type { ChildTensor } from './child.ts';

/** A folder that is being written beside its final place. */
export interface Staged {
  /** Where the files are now. */
  path: string;
  write(file: string, data: Uint8Array | string): Promise<void>;
  /** Writes tensors one at a time, so that the model is never whole in memory. */
  writeTensors(file: string, tensors: readonly ChildTensor[]): Promise<void>;
  /** Puts the folder in its place. */
  commit(): Promise<void>;
  /** Removes what was written; after `commit` there is nothing. */
  discard(): Promise<void>;
}

const MENDS: Record<string, string> = {
  ENOSPC: 'Free some disk space.',
  EDQUOT: 'Free some disk space.',
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

/** Begins a folder that appears whole or not at all. @throws ShishuError `bad-argument`, `io` */
export async function stageFolder(out: string, { force }: { force: boolean }): Promise<Staged> {
  await refuseExisting(out, force);
  const beside = (what: string): string => join(dirname(out), `.${basename(out)}.${what}-${process.pid}`);
  const path = beside('part');
  await guarded(path, () => mkdir(path, { recursive: true }));
  const withFile = (
    file: string,
    write: (handle: Awaited<ReturnType<typeof open>>) => Promise<void>,
  ): Promise<void> =>
    guarded(join(path, file), async () => {
      const handle = await open(join(path, file), 'w');
      try {
        await write(handle);
        await handle.sync();
      } finally {
        await handle.close();
      }
    });
  return {
    path,
    write: (file, data) => withFile(file, (handle) => handle.writeFile(data)),
    writeTensors: (file, tensors) =>
      withFile(file, async (handle) => {
        const { bytes, order } = encodeHeader(tensors, { format: 'pt' });
        await handle.writeFile(bytes);
        const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
        for (const name of order) await handle.writeFile(await byName.get(name)!.read());
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
