import { type ErrorCode, ShishuError } from '../errors.ts';
import { otherKind } from './other-kind.ts';
import { readOptional, type Source } from './source.ts';

export type Json = Record<string, unknown>;

export interface JsonOptions {
  /** Class of the error for a file that is not what it should be. */
  code: ErrorCode;
  /** Refuse objects that hold a key twice, which `JSON.parse` hides. */
  uniqueKeys?: boolean;
}

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads a JSON object. @throws ShishuError `not-found`, `io`, or `options.code` naming the file. */
export async function readJson(
  source: Source,
  file: string,
  options: JsonOptions,
  signal?: AbortSignal,
): Promise<Json> {
  return parseJson(await source.read(file, undefined, undefined, signal), file, options);
}

/** As `readJson`, but undefined when the file is missing. */
export async function readOptionalJson(
  source: Source,
  file: string,
  options: JsonOptions,
  signal?: AbortSignal,
): Promise<Json | undefined> {
  const bytes = await readOptional(source, file, signal);
  return bytes && parseJson(bytes, file, options);
}

/** Parses UTF-8 JSON that must be an object. @throws ShishuError `options.code` naming the file and the place. */
export function parseJson(bytes: Uint8Array, file: string, { code, uniqueKeys }: JsonOptions): Json {
  const other = otherKind(bytes);
  const fail = (message: string, cause?: unknown, details = {}): never => {
    throw new ShishuError(code, other ? `${file} is ${other.what}.` : `${file}: ${message}`, {
      details: { file, ...details, ...(other?.page && { page: true }) },
      mend: other?.mend ?? 'The file may be cut short or damaged: fetch it again.',
      cause,
    });
  };
  let text = '';
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    fail('the text is not UTF-8.', error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const position = /position (\d+)/.exec(message)?.[1];
    fail(`not JSON (${message}).`, error, position === undefined ? {} : { position: Number(position) });
  }
  if (!isObject(value)) return fail('expected a JSON object.');
  const twice = uniqueKeys ? duplicateKey(text) : undefined;
  if (twice !== undefined)
    fail(`the key ${JSON.stringify(twice)} is there twice.`, undefined, { key: twice });
  return value;
}

/** The first key that an object of this valid JSON text holds twice. */
function duplicateKey(text: string): string | undefined {
  const mark = /["{}]/g;
  const open: Set<string>[] = [];
  for (let match = mark.exec(text); match; match = mark.exec(text)) {
    if (match[0] === '{') open.push(new Set());
    else if (match[0] === '}') open.pop();
    else {
      const end = stringEnd(text, match.index);
      mark.lastIndex = end;
      if (!isColonNext(text, end)) continue;
      const key: string = JSON.parse(text.slice(match.index, end));
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}

/** One past the closing quote of the string that opens at `start`: a quote after an even number of backslashes. */
function stringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text[at - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
}

function isColonNext(text: string, at: number): boolean {
  const space = /\s*/y;
  space.lastIndex = at;
  space.exec(text);
  return text[space.lastIndex] === ':';
}
