import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { chatsOf, type TextPart } from '../convert/text-parts.ts';
import { ShishuError } from '../errors.ts';
import { numberOf, usageError } from './args.ts';
import { readText } from './io.ts';

/** Files of conversations, a JSON object a line. */
const CHATS = /\.(jsonl|ndjson)$/i;

const kindOf = (path: string): Promise<'file' | 'folder' | undefined> =>
  stat(path).then(
    (info) => (info.isDirectory() ? 'folder' : 'file'),
    () => undefined,
  );

const refuseEmpty = (path: string): never => {
  throw new ShishuError('bad-argument', `${path} holds no text.`, {
    details: { file: path },
    mend: 'Give UTF-8 text files, or JSONL files with "messages".',
  });
};

/** A weight above 0. */
function weightOf(option: string, value: string): number {
  const weight = numberOf(option, value)!;
  if (!(weight > 0)) throw usageError(`--${option} is ${value}, expected a weight above 0.`);
  return weight;
}

/** A path and its weight: `FILE`, or `FILE:WEIGHT` where there is no file of that name. */
async function placeOf(given: string): Promise<{ path: string; weight: number }> {
  const [, path, weight] = /^(.+):([^:/\\]*)$/.exec(given) ?? [];
  if (path === undefined || (await kindOf(given)) || (path !== '-' && !(await kindOf(path))))
    return { path: given, weight: 1 };
  return { path, weight: weightOf('text', weight!) };
}

async function partOf(path: string, weight: number): Promise<TextPart> {
  const text = await readText(path);
  if (text.trim() === '') refuseEmpty(path);
  const part = { name: path === '-' ? 'stdin' : path, weight };
  return CHATS.test(path)
    ? { ...part, kind: 'chats', chats: chatsOf(path, text) }
    : { ...part, kind: 'text', texts: [text] };
}

/** The files of a folder and those in it that are text, as one text and one list of chats, by their sizes. */
async function partsOfFolder(folder: string, weight: number): Promise<TextPart[]> {
  const names = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const texts: string[] = [];
  const chats: Extract<TextPart, { kind: 'chats' }>['chats'][number][] = [];
  let sizes = { texts: 0, chats: 0 };
  for (const file of names) {
    const text = await readText(file).catch((error) => {
      // Pictures and the like may lie beside the text.
      if (error instanceof ShishuError && error.cause instanceof TypeError) return '';
      throw error;
    });
    if (text.trim() === '' || text.includes('\0')) continue;
    if (CHATS.test(file)) {
      chats.push(...chatsOf(file, text));
      sizes = { ...sizes, chats: sizes.chats + text.length };
    } else {
      texts.push(text);
      sizes = { ...sizes, texts: sizes.texts + text.length };
    }
  }
  const total = sizes.texts + sizes.chats;
  if (total === 0) refuseEmpty(folder);
  return [
    ...(texts.length > 0
      ? [{ kind: 'text' as const, name: folder, weight: (weight * sizes.texts) / total, texts }]
      : []),
    ...(chats.length > 0
      ? [
          {
            kind: 'chats' as const,
            name: `chats of ${folder}`,
            weight: (weight * sizes.chats) / total,
            chats,
          },
        ]
      : []),
  ];
}

const partsAt = async (path: string, weight: number): Promise<TextPart[]> =>
  path !== '-' && (await kindOf(path)) === 'folder'
    ? partsOfFolder(path, weight)
    : [await partOf(path, weight)];

/**
 * What `--text`, `--own` and `--other` name.
 * @throws ShishuError `not-found`, `io`, `bad-argument`
 */
export async function textsOf(values: {
  text?: readonly string[];
  own?: string;
  other?: string;
}): Promise<{ parts?: TextPart[]; other?: TextPart }> {
  const parts: TextPart[] = [];
  for (const given of values.text ?? []) {
    const { path, weight } = await placeOf(given);
    parts.push(...(await partsAt(path, weight)));
  }
  if (values.own !== undefined)
    parts.push({ kind: 'own', name: "the model's own samples", weight: weightOf('own', values.own) });
  const other = values.other === undefined ? undefined : await partsAt(values.other, 1);
  return { ...(parts.length > 0 && { parts }), ...(other && { other: other[0]! }) };
}
