// The files of a child that is healed further.
import { ShishuError, throwIfAborted } from '../errors.ts';
import type { Source } from '../formats/source.ts';
import { REPORT_FILE } from './report.ts';
import { type Staged, WORK_FILES } from './staged.ts';

/** Bytes of a file that are copied at a time. */
const PIECE = 2 ** 26;

/** Paths of a folder's files. @throws ShishuError `bad-argument` where it cannot tell */
async function filesOf(folder: Source): Promise<readonly string[]> {
  if (folder.list) return folder.list(true);
  throw new ShishuError('bad-argument', `What files are in ${folder.name} cannot be known.`, {
    details: { child: folder.name },
    mend: 'Give the child as a folder, a directory handle or files, or its storage a list().',
  });
}

/** Copies a folder's files, but for those of work that is under way, and the report, which says that a folder is complete. */
export async function copyFiles(
  from: Source,
  staged: Staged,
  signal: AbortSignal | undefined,
): Promise<void> {
  async function* pieces(file: string, size: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < size; at += PIECE) {
      throwIfAborted(signal);
      yield await from.read(file, at, Math.min(size, at + PIECE), signal);
    }
  }
  for (const file of await filesOf(from)) {
    if (WORK_FILES.includes(file) || file === REPORT_FILE) continue;
    const size = await from.size(file, signal);
    await staged.write(file, pieces(file, size ?? 0));
  }
}
