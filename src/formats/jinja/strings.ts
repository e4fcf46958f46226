// Methods of Python's str.
import { Arguments } from './arguments.ts';
import { formatFields } from './format.ts';
import {
  type Callable,
  equals,
  iterate,
  LINE_END,
  repr,
  stripEnd,
  stripStart,
  Tuple,
  typeOf,
  type Value,
  view,
  WHITE,
} from './values.ts';

type Method = (text: string, args: Arguments) => Value;

/** Cuts characters of a set, white space without one, from either end. */
function cut(text: string, set: string | undefined, start: boolean, end: boolean): string {
  if (set === undefined) return (start ? stripStart : String)(end ? stripEnd(text) : text);
  const characters = Array.from(text);
  let [from, to] = [0, characters.length];
  while (start && from < to && set.includes(characters[from]!)) from++;
  while (end && to > from && set.includes(characters[to - 1]!)) to--;
  return characters.slice(from, to).join('');
}

const strip =
  (start: boolean, end: boolean): Method =>
  (text, args) =>
    cut(text, args.optional(0, 'chars'), start, end);

export const trim = (text: string, set?: string): string => cut(text, set, true, true);

const WORDS = new RegExp(`[^${WHITE}]+`, 'gu');

/** Parts between separators, at most `most` cuts, from the right where asked. */
function split(text: string, args: Arguments, fromRight: boolean): string[] {
  const separator = args.optional(0, 'sep');
  const limit = args.int(1, 'maxsplit', -1);
  const most = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  if (separator === '') throw new TypeError('the separator is empty');
  if (separator !== undefined) {
    const parts = text.split(separator);
    if (parts.length - 1 <= most) return parts;
    if (!fromRight) return [...parts.slice(0, most), parts.slice(most).join(separator)];
    const kept = parts.length - most;
    return [parts.slice(0, kept).join(separator), ...parts.slice(kept)];
  }
  const words = [...text.matchAll(WORDS)];
  if (words.length - 1 < most) return words.map(([word]) => word);
  if (!fromRight)
    return [...words.slice(0, most).map(([word]) => word), stripStart(text.slice(words[most]!.index))];
  const first = words.length - most;
  const last = words[first - 1]!;
  return [stripEnd(text.slice(0, last.index + last[0].length)), ...words.slice(first).map(([word]) => word)];
}

/** A text with up to `count` parts replaced, all where it is below 0. */
export function replaced(text: string, from: string, to: string, count: number): string {
  if (count === 0) return text;
  const parts = from === '' ? ['', ...Array.from(text), ''] : text.split(from);
  const most = count < 0 ? parts.length : Math.min(count + 1, parts.length);
  return [parts.slice(0, most).join(to), ...parts.slice(most)].join(from);
}

/** `text[start:end]` as methods take it that look for something; undefined where even '' is not found. */
function range(text: string, args: Arguments): { characters: string[]; start: number } | undefined {
  const all = Array.from(text);
  const bound = (at: number): number => (at < 0 ? Math.max(0, at + all.length) : at);
  const start = bound(args.int(1, 'start', 0));
  const end = Math.min(all.length, bound(args.int(2, 'end', all.length)));
  return start <= end ? { characters: all.slice(start, end), start } : undefined;
}

const ends =
  (check: (text: string, affix: string) => boolean): Method =>
  (text, args) => {
    const affix = args.all[0] ?? '';
    const affixes = affix instanceof Tuple ? affix : [args.text(0, 'affix')];
    const within = range(text, args)?.characters.join('');
    return within !== undefined && affixes.some((each) => typeof each === 'string' && check(within, each));
  };

function find(text: string, args: Arguments, fromRight: boolean): number {
  const sub = args.text(0, 'sub');
  const searched = range(text, args);
  const within = searched?.characters.join('');
  const at = within?.[fromRight ? 'lastIndexOf' : 'indexOf'](sub) ?? -1;
  return at < 0 ? -1 : searched!.start + Array.from(within!.slice(0, at)).length;
}

const finder =
  (fromRight: boolean, must: boolean): Method =>
  (text, args) => {
    const at = find(text, args, fromRight);
    if (at < 0 && must) throw new TypeError('the text is not found');
    return BigInt(at);
  };

const divider =
  (fromRight: boolean): Method =>
  (text, args) => {
    const separator = args.text(0, 'sep');
    if (separator === '') throw new TypeError('the separator is empty');
    const at = text[fromRight ? 'lastIndexOf' : 'indexOf'](separator);
    if (at < 0) return Tuple.from(fromRight ? ['', '', text] : [text, '', '']);
    return Tuple.from([text.slice(0, at), separator, text.slice(at + separator.length)]);
  };

export function capitalize(text: string): string {
  // One letter may become two, as ß does.
  const [first = '', ...rest] = Array.from(text);
  const [head = '', ...tail] = Array.from(first.toUpperCase());
  return head + (tail.join('') + rest.join('')).toLowerCase();
}

const title: Method = (text) => text.replace(/\p{L}+/gu, (word) => capitalize(word));

const swapcase: Method = (text) =>
  text.replace(/\p{L}/gu, (letter) =>
    letter === letter.toUpperCase() ? letter.toLowerCase() : letter.toUpperCase(),
  );

const all =
  (pattern: RegExp): Method =>
  (text) =>
    pattern.test(text);

/** A text with room before and after it, as much before as `left` says. @throws TypeError */
function padded(text: string, width: number, fill: string, left: (room: number) => number): string {
  if (Array.from(fill).length !== 1) throw new TypeError('a text is filled up with one character');
  const room = Math.max(0, width - Array.from(text).length);
  return fill.repeat(left(room)) + text + fill.repeat(room - left(room));
}

/** Python has more room before the text only where the width is odd. */
export const centered = (text: string, width: number, fill: string): string =>
  padded(text, width, fill, (room) => Math.floor(room / 2) + (room & width & 1));

const padding =
  (pad: (text: string, width: number, fill: string) => string): Method =>
  (text, args) =>
    pad(text, args.int(0, 'width', 0), args.optional(1, 'fillchar') ?? ' ');

const zfill: Method = (text, args) => {
  const [, sign = '', digits = ''] = /^([+-]?)([\s\S]*)$/.exec(text)!;
  const room = args.int(0, 'width', 0) - Array.from(text).length;
  return sign + '0'.repeat(Math.max(0, room)) + digits;
};

const splitlines: Method = (text, args) => {
  const keep = args.flag(0, 'keepends');
  const lines: string[] = [];
  let at = 0;
  for (const { 0: end, index } of text.matchAll(LINE_END)) {
    lines.push(text.slice(at, keep ? index + end.length : index));
    at = index + end.length;
  }
  if (at < text.length) lines.push(text.slice(at));
  return lines;
};

const join: Method = (text, args) =>
  iterate(args.all[0] ?? null)
    .map((each) => {
      if (typeof each !== 'string') throw new TypeError(`a ${typeOf(each)} cannot be joined to texts`);
      return each;
    })
    .join(text);

const METHODS: Record<string, Method> = {
  strip: strip(true, true),
  lstrip: strip(true, false),
  rstrip: strip(false, true),
  split: (text, args) => split(text, args, false),
  rsplit: (text, args) => split(text, args, true),
  splitlines,
  replace: (text, args) => replaced(text, args.text(0, 'old'), args.text(1, 'new'), args.int(2, 'count', -1)),
  startswith: ends((text, affix) => text.startsWith(affix)),
  endswith: ends((text, affix) => text.endsWith(affix)),
  find: finder(false, false),
  rfind: finder(true, false),
  index: finder(false, true),
  rindex: finder(true, true),
  count(text, args) {
    const sub = args.text(0, 'sub');
    const characters = range(text, args)?.characters;
    if (!characters) return BigInt(0);
    return BigInt(sub === '' ? characters.length + 1 : characters.join('').split(sub).length - 1);
  },
  partition: divider(false),
  rpartition: divider(true),
  removeprefix(text, args) {
    const prefix = args.text(0, 'prefix');
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  },
  removesuffix(text, args) {
    const suffix = args.text(0, 'suffix');
    return suffix && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  },
  join,
  upper: (text) => text.toUpperCase(),
  lower: (text) => text.toLowerCase(),
  casefold: (text) => text.toLowerCase().replaceAll('ß', 'ss'),
  capitalize,
  title,
  swapcase,
  isdigit: all(/^\p{Nd}+$/u),
  isdecimal: all(/^\p{Nd}+$/u),
  isnumeric: all(/^\p{N}+$/u),
  isalpha: all(/^\p{L}+$/u),
  isalnum: all(/^[\p{L}\p{N}]+$/u),
  isspace: all(new RegExp(`^[${WHITE}]+$`, 'u')),
  isascii: (text) => Array.from(text).every((character) => character.codePointAt(0)! < 128),
  isupper: (text) => text === text.toUpperCase() && text !== text.toLowerCase(),
  islower: (text) => text === text.toLowerCase() && text !== text.toUpperCase(),
  zfill,
  center: padding(centered),
  ljust: padding((text, width, fill) => padded(text, width, fill, () => 0)),
  rjust: padding((text, width, fill) => padded(text, width, fill, (room) => room)),
  expandtabs: (text, args) => {
    const size = args.int(0, 'tabsize', 8);
    return text
      .split('\n')
      .map((line) =>
        line.split('\t').reduce((done, next) => done + ' '.repeat(size - (done.length % size)) + next),
      )
      .join('\n');
  },
  format: (text, args) => formatFields(text, args.all, args.named),
};

/** A method of a text, undefined where Python has none. */
export function stringMethod(text: string, name: string): Callable | undefined {
  const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  return method && ((args, named) => method(text, new Arguments(args, named)));
}

/** Methods of lists and tuples that change nothing. */
export function listMethod(list: Value[], name: string): Callable | undefined {
  if (name === 'count') return ([value]) => BigInt(list.filter((each) => equals(each, value!)).length);
  if (name === 'copy' && !(list instanceof Tuple)) return () => [...list];
  if (name !== 'index') return undefined;
  return ([value]) => {
    const at = list.findIndex((each) => equals(each, value!));
    if (at < 0) throw new TypeError('the value is not in the list');
    return BigInt(at);
  };
}

/** Pairs of keys and values. */
export const itemsOf = (dict: ReadonlyMap<Value, Value>): Value[] =>
  [...dict].map((entry) => Tuple.from<Value>(entry));

const viewOf = (name: string, items: Value[]): Value =>
  view(`dict_${name}`, items, () => `dict_${name}(${repr(items)})`);

/** Methods of dicts that change nothing. */
export function dictMethod(dict: Map<Value, Value>, name: string): Callable | undefined {
  switch (name) {
    case 'get':
      return ([key, otherwise = null]) => (dict.has(key!) ? dict.get(key!)! : otherwise);
    case 'items':
      return () => viewOf(name, itemsOf(dict));
    case 'keys':
      return () => viewOf(name, [...dict.keys()]);
    case 'values':
      return () => viewOf(name, [...dict.values()]);
    case 'copy':
      return () => new Map(dict);
    default:
      return undefined;
  }
}
