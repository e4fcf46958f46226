import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { openFolder } from '../formats/node-folder.ts';
import { guardWrite, MENDS, writeAtomic } from '../train/io.ts';
import { type Staged, WORK_FILES } from './staged.ts';

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

/**
 * Begins a folder beside its place, to which it moves once it is complete (Node only); one that an earlier try left is gone on with.
 * @throws ShishuError `bad-argument`, `io`
 */
export async function stageFolder(out: string, { force }: { force: boolean }): Promise<Staged> {
  await refuseExisting(out, force);
  const path = `${out}.work`;
  await guardWrite(path, () => mkdir(path, { recursive: true }));
  return {
    source: await openFolder(path),
    place: path,
    write: (file, data) => writeAtomic(join(path, file), data, MENDS),
    async commit() {
      await refuseExisting(out, force);
      await guardWrite(out, async () => {
        const old = join(dirname(out), `.${basename(out)}.old-${process.pid}`);
        const replaced = await exists(out);
        if (replaced) await rename(out, old);
        await rename(path, out).catch(async (error) => {
          if (replaced) await rename(old, out);
          throw error;
        });
        for (const file of WORK_FILES) await rm(join(out, file), { force: true });
        await rm(old, { recursive: true, force: true });
      });
    },
    discard: () => rm(path, { recursive: true, force: true }),
  };
}
