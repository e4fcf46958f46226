// JSON as it is written, where values would lose what the text says: digits past a double, `1.0`, the order of keys like "2".

/** The tokens of a valid JSON text: strings, other values, and punctuation. */
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** The values of a valid JSON object's members, each as it is written; the last of those with one name. */
export function writtenMembers(json: string): Map<string, string> {
  const members = new Map<string, string>();
  let depth = 0;
  let key: string | undefined;
  let start = -1;
  let end = 0;
  for (const { 0: token, index } of json.matchAll(TOKENS)) {
    if (depth === 1 && (token === ',' || token === '}')) {
      if (key !== undefined) members.set(key, json.slice(start, end));
      key = undefined;
      start = -1;
    } else if (depth === 1 && key === undefined) key = JSON.parse(token) as string;
    else if (depth === 1 && start < 0 && token !== ':') start = index;
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    end = index + token.length;
  }
  return members;
}

// Around what is written for a template that cannot hold it: no text has these characters.
const NUMBER = '\ufdd0\ufdd1';
const KEY = '\ufdd0\ufdd2';
const END = '\ufdd3';

/**
 * The value of a valid JSON text for a chat template: as `JSON.parse`'s, but that numbers which JavaScript would write
 * otherwise, and keys that it would put first, are marked texts. `unmarked` takes the marks from the prompt.
 */
export function markedValue(json: string): unknown {
  type Open = { list: unknown[] } | { entries: [string, unknown][]; key: string | undefined };
  const open: Open[] = [];
  let last: unknown;
  const put = (value: unknown): void => {
    const to = open.at(-1);
    if (!to) last = value;
    else if ('list' in to) to.list.push(value);
    else if (to.key === undefined) to.key = String(value);
    else {
      to.entries.push([to.key, value]);
      to.key = undefined;
    }
  };
  for (const [token] of json.matchAll(TOKENS)) {
    if (token === '{') open.push({ entries: [], key: undefined });
    else if (token === '[') open.push({ list: [] });
    else if (token === '}' || token === ']') {
      const closed = open.pop()!;
      put('list' in closed ? closed.list : Object.fromEntries(closed.entries.map(inOrder)));
    } else if (token !== ',' && token !== ':') {
      const value: unknown = JSON.parse(token);
      put(typeof value === 'number' && String(value) !== token ? NUMBER + token + END : value);
    }
  }
  return last;
}

const inOrder = ([key, value]: [string, unknown], _: number, { length }: unknown[]): [string, unknown] => [
  length > 1 && /^\d+$/.test(key) ? KEY + key + END : key,
  value,
];

/** A prompt without the marks of `markedValue`. */
export function unmarked(prompt: string): string {
  if (!prompt.includes('\ufdd0')) return prompt;
  return prompt
    .replace(
      /"\ufdd0\ufdd1([^\ufdd3]*)\ufdd3"|\ufdd0\ufdd1([^\ufdd3]*)\ufdd3/g,
      (_, quoted, bare) => quoted ?? bare,
    )
    .replace(/\ufdd0\ufdd2([^\ufdd3]*)\ufdd3/g, '$1');
}
