import { ShishuError } from '../errors.ts';
import { openSource } from '../formats/open-source.ts';
import { REPORT_FILE } from './report.ts';
import { type Staged, WORK_FILES } from './staged.ts';

/** An error of the File System API as a ShishuError. */
function ioError(file: string, cause: unknown): ShishuError {
  if (cause instanceof ShishuError) return cause;
  const { name = '', message } = cause as DOMException;
  const mends: Record<string, string> = {
    QuotaExceededError: 'Free some disk space, or remove models that were made before.',
    NotAllowedError: 'Allow this page to write there, or choose another folder.',
  };
  return new ShishuError('io', `Could not write ${file}: ${message}.`, {
    details: { file, name },
    mend: mends[name],
    cause,
  });
}

/** Writes one file of a folder of the File System API. @throws ShishuError `io`; then an earlier file is left as it was */
export async function writeHandle(
  folder: FileSystemDirectoryHandle,
  file: string,
  data: Uint8Array | string | Blob | AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    const folders = file.split('/');
    const name = folders.pop()!;
    let at = folder;
    for (const folder of folders) at = await at.getDirectoryHandle(folder, { create: true });
    const writer = await (await at.getFileHandle(name, { create: true })).createWritable();
    try {
      const whole = typeof data === 'string' || data instanceof Uint8Array || data instanceof Blob;
      for await (const piece of whole ? [data] : data) await writer.write(piece as FileSystemWriteChunkType);
      await writer.close();
    } catch (error) {
      await writer.abort().catch(() => {});
      throw error;
    }
  } catch (cause) {
    throw ioError(file, cause);
  }
}

/**
 * Begins a folder inside `parent` (a browser's file system), or goes on with one that an earlier try left; it is complete when it has
 * `REPORT_FILE`.
 */
export async function stageHandle(parent: FileSystemDirectoryHandle, name: string): Promise<Staged> {
  const found = await parent.getDirectoryHandle(name).catch(() => undefined);
  if (await found?.getFileHandle(REPORT_FILE).catch(() => undefined))
    throw new ShishuError('bad-argument', `There is a model "${name}" already.`, {
      details: { folder: name },
      mend: 'Give another name, or remove that one.',
    });
  let folder: FileSystemDirectoryHandle;
  try {
    folder = found ?? (await parent.getDirectoryHandle(name, { create: true }));
  } catch (cause) {
    throw ioError(name, cause);
  }
  let whole = false;
  return {
    source: openSource(folder),
    place: `the browser's folder ${name}`,
    write: (file, data) => writeHandle(folder, file, data),
    async commit() {
      whole = true;
      for (const file of WORK_FILES) await folder.removeEntry(file).catch(() => {});
    },
    async discard() {
      if (!whole) await parent.removeEntry(name, { recursive: true });
    },
  };
}
