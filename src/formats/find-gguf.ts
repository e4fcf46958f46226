// Which GGUF file a source is, and how it becomes a model's folder.
import { ShishuError } from '../errors.ts';
import { lazy } from '../lazy.ts';
import type { RawSource, StreamingSource } from './raw-source.ts';
import type { Source } from './source.ts';

const isGguf = (name: string): boolean => /\.gguf$/i.test(name);

/** The folder in which a GGUF file is that an address names; undefined where it names none. */
export function ggufPlace(address: string | URL): { folder: string; file: string } | undefined {
  const [path = '', rest = ''] = splitAt(String(address), /[?#]/);
  if (!isGguf(path)) return undefined;
  const cut = path.lastIndexOf('/') + 1;
  return { folder: `${path.slice(0, cut) || './'}${rest}`, file: decoded(path.slice(cut)) };
}

/** A name of an address; one with a percent sign that begins no code is taken as it is written. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function splitAt(text: string, mark: RegExp): [string, string] {
  const at = text.search(mark);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at)];
}

const PART_OF = /-\d{5}-of-\d{5}\.gguf$/i;

/** Projectors of pictures lie beside the models that they are for. */
const PROJECTOR = /(^|\/)mmproj[^/]*$/i;

/** The files that are named in an error. */
const MOST_NAMED = 40;

/**
 * The GGUF file to load of a folder that has no model in safetensors; undefined where it has one, or no GGUF.
 * @param files with their bytes, where they are known
 * @param prefix stands before a file's name where the file is named alone
 * @throws ShishuError `bad-argument` where there are several
 */
export function ggufAmong(
  files: ReadonlyMap<string, number | undefined>,
  folder: string,
  prefix = '',
): string | undefined {
  const names = [...files.keys()];
  if (names.some((name) => /[.]safetensors([.]index[.]json)?$/.test(name))) return undefined;
  const models = new Map<string, { name: string; bytes: number }>();
  for (const name of names.filter((name) => isGguf(name) && !PROJECTOR.test(name)).sort()) {
    const key = name.replace(PART_OF, '');
    const model = models.get(key) ?? { name, bytes: 0 };
    models.set(key, { ...model, bytes: model.bytes + (files.get(name) ?? 0) });
  }
  const [first, ...others] = models.values();
  if (others.length === 0) return first?.name;
  const texts = [...models.values()].map(
    ({ name, bytes }) =>
      `${prefix}${name}${bytes > 0 ? ` (${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB)` : ''}`,
  );
  throw new ShishuError('bad-argument', `There are ${models.size} GGUF files in ${folder}.`, {
    details: { files: [...models.values()].map(({ name }) => name) },
    mend: `Name one of them: ${texts.slice(0, MOST_NAMED).join(', ')}.`,
  });
}

/** Storage that is known once it is first asked. */
function later(name: string, open: () => Promise<RawSource>): RawSource {
  return {
    name,
    read: async (...args) => (await open()).read(...args),
    size: async (...args) => (await open()).size?.(...args),
    tensors: async (...args) => (await open()).tensors?.(...args),
  };
}

/** The model in a GGUF file of a folder; what reads it is fetched when it is first asked. */
export function ggufIn(folder: Source, file: string): StreamingSource {
  const open = lazy(async () => (await import('./gguf/folder.ts')).ggufFolder(folder, file));
  return {
    ...later(`${file} of ${folder.name}`, open),
    readHead: async (...args) => (await open()).readHead(...args),
    readSpans: async (...args) => (await open()).readSpans(...args),
  };
}

/** A folder that can list its files: where it has no other model than one in GGUF, that one. */
export function orGguf(folder: Source): RawSource {
  let opened: Promise<RawSource> | undefined;
  const find = async (): Promise<RawSource> => {
    // Storage that cannot list its files says what is wrong when one is read.
    const names = await Promise.resolve(folder.list?.()).catch(() => undefined);
    const file = ggufAmong(new Map(names?.map((name) => [name, undefined])), folder.name);
    return file === undefined ? folder : ggufIn(folder, file);
  };
  const model = later(folder.name, () => {
    opened ??= find();
    return opened;
  });
  return { ...model, ...(folder.list && { list: folder.list }) };
}
