// Which GGUF file a source is, and how it becomes a model's folder.
import { ShishuError } from '../errors.ts';
import { lazy } from '../lazy.ts';
import { hubGguf } from './hub.ts';
import type { RawSource, StreamingSource } from './raw-source.ts';
import type { Source } from './source.ts';

const isGguf = (name: string): boolean => /\.gguf$/i.test(name);

/** The folder, or the hub's repository, in which a GGUF file is that an address names; undefined where it names none. */
export function ggufPlace(address: string | URL): { folder: string; file: string } | undefined {
  const hub = hubGguf(String(address));
  if (hub) return { folder: hub.id, file: hub.file };
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

/**
 * The GGUF file to load of a folder that has no model in safetensors; undefined where it has one, or no GGUF.
 * @throws ShishuError `bad-argument` where there are several
 */
function ggufAmong(names: readonly string[], folder: string): string | undefined {
  if (names.some((name) => name.endsWith('.safetensors') || name.endsWith('.safetensors.index.json')))
    return undefined;
  const models = new Map<string, string>();
  for (const name of names.filter(isGguf).sort()) {
    const model = name.replace(PART_OF, '');
    if (!models.has(model)) models.set(model, name);
  }
  const [first, ...others] = models.values();
  if (others.length === 0) return first;
  throw new ShishuError('bad-argument', `There are ${models.size} GGUF files in ${folder}.`, {
    details: { files: [...models.values()] },
    mend: `Name one of them: ${[...models.values()].slice(0, 10).join(', ')}.`,
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
    const file = ggufAmong(names ?? [], folder.name);
    return file === undefined ? folder : ggufIn(folder, file);
  };
  return later(folder.name, () => {
    opened ??= find();
    return opened;
  });
}
