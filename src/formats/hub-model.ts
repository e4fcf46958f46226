// A repository of a hub as a model's folder: its files, and the GGUF file of one that has nothing else.
import { ShishuError } from '../errors.ts';
import { ggufAmong, ggufIn } from './find-gguf.ts';
import type { HubFolder } from './hub.ts';
import { isObject } from './json.ts';
import type { StreamingSource } from './raw-source.ts';
import type { Source } from './source.ts';

/** The files of a repository's folder, and their bytes, as a hub lists them. @throws ShishuError `io` */
export async function listHub(
  api: Pick<Source, 'read'>,
  { place, revision }: HubFolder,
): Promise<Map<string, number>> {
  const text = new TextDecoder().decode(await api.read(revision));
  const found = new Map<string, number>();
  const rows: unknown = JSON.parse(text);
  for (const row of Array.isArray(rows) ? rows : [])
    if (
      isObject(row) &&
      row.type === 'file' &&
      typeof row.path === 'string' &&
      row.path.startsWith(place.folder)
    )
      found.set(row.path.slice(place.folder.length), Number(row.size));
  return found;
}

/**
 * The folder of a repository; where it has no config.json, the one GGUF file that it has. Nothing is asked for that a folder of
 * safetensors does not need.
 * @param list the folder's files
 */
export function orHubGguf(
  folder: Source,
  { place, revision, page }: HubFolder,
  list: () => Promise<Map<string, number>>,
): StreamingSource {
  const named = `${place.id}${revision === 'main' ? '' : `@${revision}`}/${place.folder}`;
  const among = async (): Promise<string | undefined> =>
    ggufAmong(await list().catch(() => new Map<string, number>()), page, named);
  const config = kept((signal) => found(folder.read('config.json', undefined, undefined, signal)));
  const gguf = kept(async () => {
    const file = await among();
    return file === undefined ? undefined : ggufIn(folder, file);
  });
  /** What the model's files come from in place of the folder, once that is known. */
  let other: StreamingSource | undefined;
  const instead = async (signal?: AbortSignal): Promise<StreamingSource | undefined> => {
    other = (await config(signal)) ? undefined : await gguf(signal);
    return other;
  };
  return {
    name: folder.name,
    async read(file, start, end, signal) {
      if (other) return other.read(file, start, end, signal);
      const own =
        file === 'config.json' ? await config(signal) : await found(folder.read(file, start, end, signal));
      if (!own) return (await instead(signal))?.read(file, start, end, signal);
      return file === 'config.json' ? own.slice(start, end) : own;
    },
    async size(file, signal) {
      if (other) return other.size?.(file, signal);
      const own = await found(folder.size(file, signal).then((size) => ({ size })));
      return own ? own.size : ((await (await instead(signal))?.size?.(file, signal)) ?? null);
    },
    async readHead(file, most, signal) {
      return (
        (await found(folder.readHead(file, most, signal))) ??
        (await instead(signal))?.readHead(file, most, signal)
      );
    },
    async readSpans(file, cuts, use, signal) {
      if (other) return other.readSpans(file, cuts, use, signal);
      await folder.readSpans(file, cuts, use, signal);
      return true;
    },
    async tensors(signal, asBlocks, lacking) {
      if (!lacking) return undefined;
      const model = await instead(signal);
      if (model) return model.tensors?.(signal, asBlocks);
      const file = await among();
      if (file === undefined) return undefined;
      throw new ShishuError('bad-argument', `${named} has its weights in a GGUF file alone.`, {
        details: { files: [file] },
        mend: `Name the file: ${named}${file}.`,
      });
    },
  };
}

/** What was read; undefined where it is not there. */
const found = <T>(reading: Promise<T>): Promise<T | undefined> =>
  reading.catch((error: unknown) => {
    const missing = error instanceof ShishuError && error.code === 'not-found';
    if (missing && error.details.model === undefined) return undefined;
    throw error;
  });

/** The value of the first call, unless that fails. */
function kept<T>(read: (signal?: AbortSignal) => Promise<T>): (signal?: AbortSignal) => Promise<T> {
  let reading: Promise<T> | undefined;
  return (signal) => {
    reading ??= read(signal).catch((error: unknown) => {
      reading = undefined;
      throw error;
    });
    return reading;
  };
}
