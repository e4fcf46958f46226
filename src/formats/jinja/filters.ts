// Jinja's filters and tests.
import { Arguments } from './arguments.ts';
import { TemplateFault } from './faults.ts';
import { formatPercent } from './format.ts';
import { attributeOf, itemAt } from './members.ts';
import { round, toFloat, toInt } from './numbers.ts';
import { arithmetic } from './operators.ts';
import { TUPLE_OF_ONE } from './rewrite.ts';
import { capitalize, centered, dictMethod, itemsOf, replaced, trim } from './strings.ts';
import {
  type Callable,
  compare,
  contains,
  describe,
  equals,
  found,
  intOf,
  isNumber,
  iterate,
  LINE_END,
  lengthOf,
  numberOf,
  str,
  Tuple,
  toJson,
  truth,
  typeOf,
  Undefined,
  type Value,
} from './values.ts';

type Filter = (value: Value, args: Arguments) => Value;
/** `other` is what the test compares with. */
type Test = (value: Value, other: Value) => boolean;

/** An argument that may be None. */
const given = (value: Value | undefined, otherwise: Value): Value =>
  value === undefined ? otherwise : value;

/** Texts are compared without regard to case unless asked to. */
const folded = (value: Value, caseSensitive: boolean): Value =>
  typeof value === 'string' && !caseSensitive ? value.toLowerCase() : value;

const maker =
  (args: Arguments): ((value: Value) => Value) =>
  (value) => {
    const path = args.named.get('attribute');
    return path === undefined || path === null ? value : itemAt(value, path, args.named.get('default'));
  };

function sorted(value: Value, args: Arguments): Value[] {
  const reverse = args.flag(0, 'reverse');
  const caseSensitive = args.flag(1, 'case_sensitive');
  const paths = args.get(2, 'attribute');
  const keys = (each: Value): Value[] =>
    (typeof paths === 'string' ? paths.split(',') : [paths]).map((path) =>
      folded(path === undefined || path === null ? each : itemAt(each, path), caseSensitive),
    );
  return [...iterate(value)].sort((a, b) => (reverse ? -1 : 1) * compare(keys(a), keys(b)));
}

const extreme =
  (sign: number): Filter =>
  (value, args) => {
    const caseSensitive = args.flag(0, 'case_sensitive');
    const of = maker(args);
    const key = (each: Value): Value => folded(of(each), caseSensitive);
    const items = iterate(value);
    return items.length === 0
      ? new Undefined('the extreme of no items')
      : items.reduce((best, each) => (sign * compare(key(each), key(best)) > 0 ? each : best));
  };

/** Whatever is false has no items here. */
const some = (value: Value): Value[] => (truth(value) ? iterate(value) : []);

/** `select('test', ...)`, or by an attribute; without a test, what is true. */
const selecting =
  (wanted: boolean, byAttribute: boolean): Filter =>
  (value, args) => {
    const [name, ...rest] = byAttribute ? args.all.slice(1) : args.all;
    const test = name === undefined ? truth : testOf(str(name));
    return some(value).filter((each) => {
      const tested = byAttribute ? itemAt(each, args.all[0]!) : each;
      return test(tested, rest[0]) === wanted;
    });
  };

const map: Filter = (value, args) => {
  const [name, ...rest] = args.all;
  if (name === undefined) return some(value).map(maker(args));
  const filter = filterOf(str(name));
  return some(value).map((each) => filter([each, ...rest], new Map(args.named)));
};

const groupby: Filter = (value, args) => {
  const path = args.get(0, 'attribute')!;
  const caseSensitive = args.flag(2, 'case_sensitive');
  const pairs = iterate(value).map((each): [Value, Value] => [
    itemAt(each, path, args.get(1, 'default')),
    each,
  ]);
  const key = ([own]: [Value, ...unknown[]]): Value => folded(own, caseSensitive);
  const groups: [Value, Value[]][] = [];
  for (const pair of pairs.sort((a, b) => compare(key(a), key(b)))) {
    const last = groups.at(-1);
    if (last && equals(key(last), key(pair))) last[1].push(pair[1]);
    else groups.push([pair[0], [pair[1]]]);
  }
  return groups.map((group) => {
    const fields = new Map<string, Value>([
      ['grouper', group[0]],
      ['list', group[1]],
    ]);
    return Object.assign(Tuple.from<Value>(group) as Tuple, { fields });
  });
};

const batch: Filter = (value, args) => {
  const size = args.int(0, 'linecount', 1);
  const items = [...iterate(value)];
  const fill = args.get(1, 'fill_with');
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => {
    const row = items.slice(i * size, (i + 1) * size);
    while (fill !== undefined && fill !== null && row.length < size) row.push(fill);
    return row;
  });
};

const slices: Filter = (value, args) => {
  const items = [...iterate(value)];
  const count = args.int(0, 'slices', 1);
  const fill = args.get(1, 'fill_with');
  const each = Math.floor(items.length / count);
  const more = items.length % count;
  return Array.from({ length: count }, (_, i) => {
    const start = i * each + Math.min(i, more);
    const row = items.slice(start, start + each + (i < more ? 1 : 0));
    return fill !== undefined && fill !== null && i >= more ? [...row, fill] : row;
  });
};

const unique: Filter = (value, args) => {
  const caseSensitive = args.flag(0, 'case_sensitive');
  const of = maker(args);
  const seen: Value[] = [];
  return iterate(value).filter((each) => {
    const key = folded(of(each), caseSensitive);
    if (contains(seen, key)) return false;
    seen.push(key);
    return true;
  });
};

const indent: Filter = (value, args) => {
  if (typeof value !== 'string') throw new TypeError(`${describe(value)} is no text`);
  const width = args.get(0, 'width') ?? BigInt(4);
  const by = typeof width === 'string' ? width : ' '.repeat(intOf(width));
  const blank = args.flag(2, 'blank');
  const lines = `${value}\n`.split(LINE_END).slice(0, -1);
  const text = blank
    ? lines.join(`\n${by}`)
    : [lines[0], ...lines.slice(1).map((line) => (line ? by + line : line))].join('\n');
  return args.flag(1, 'first') ? by + text : text;
};

const truncate: Filter = (value, args) => {
  const text = str(value);
  const length = args.int(0, 'length', 255);
  const end = args.optional(2, 'end') ?? '...';
  const leeway = args.int(3, 'leeway', 5);
  if (length < end.length) throw new TypeError(`a text cut to ${length} has no room for "${end}"`);
  if (Array.from(text).length <= length + leeway) return text;
  const cut = Array.from(text)
    .slice(0, length - end.length)
    .join('');
  return (args.flag(1, 'killwords') ? cut : cut.replace(/ [^ ]*$/, '')) + end;
};

const dictsort: Filter = (value, args) => {
  if (!(value instanceof Map)) throw new TypeError(`${describe(value)} is no dict`);
  const caseSensitive = args.flag(0, 'case_sensitive');
  const by = (args.optional(1, 'by') ?? 'key') === 'key' ? 0 : 1;
  const sign = args.flag(2, 'reverse') ? -1 : 1;
  return [...value]
    .sort((a, b) => sign * compare(folded(a[by], caseSensitive), folded(b[by], caseSensitive)))
    .map((entry) => Tuple.from<Value>(entry));
};

const escaped = (value: Value): string =>
  str(value).replace(
    /[&<>'"]/g,
    (sign) => `&${{ '&': 'amp', '<': 'lt', '>': 'gt', "'": '#39', '"': '#34' }[sign]};`,
  );

const quoted = (value: Value): string =>
  encodeURIComponent(str(value)).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );

const isIterable = (value: Value): boolean =>
  value instanceof Undefined || typeof value === 'string' || Array.isArray(value) || value instanceof Map;

const defaulted: Filter = (value, args) => {
  const absent = args.flag(1, 'boolean') ? !truth(value) : value instanceof Undefined;
  return absent ? given(args.get(0, 'default_value'), '') : value;
};

const sum: Filter = (value, args) => {
  const path = args.get(0, 'attribute');
  return iterate(value)
    .map((each) => (path === undefined || path === null ? each : itemAt(each, path)))
    .reduce<Value>((total, each) => arithmetic('+', total, each), given(args.get(1, 'start'), BigInt(0)));
};

const join: Filter = (value, args) => {
  const path = args.get(1, 'attribute');
  return iterate(value)
    .map((each) => str(path === undefined || path === null ? each : itemAt(each, path)))
    .join(str(given(args.get(0, 'd'), '')));
};

const FILTERS: Record<string, Filter> = {
  [TUPLE_OF_ONE]: (value) => Tuple.from<Value>([value]),
  abs(value) {
    if (!isNumber(value)) throw new TypeError(`${describe(value)} is no number`);
    const number = numberOf(value);
    return typeof number === 'number' ? Math.abs(number) : number < 0 ? -number : number;
  },
  attr(value, args) {
    const name = str(args.all[0]!);
    // It looks for no items.
    return value instanceof Map ? found(dictMethod(value, name), name) : attributeOf(value, name);
  },
  batch,
  capitalize: (value) => capitalize(str(value)),
  center: (value, args) => centered(str(value), args.int(0, 'width', 80), ' '),
  count: lengthOf,
  default: defaulted,
  d: defaulted,
  dictsort,
  escape: escaped,
  e: escaped,
  first: (value) => found(iterate(value)[0], 'the first of no items'),
  float: toFloat,
  forceescape: escaped,
  format: (value, args) =>
    formatPercent(str(value), args.named.size > 0 ? new Map<Value, Value>(args.named) : Tuple.from(args.all)),
  groupby,
  indent,
  int: toInt,
  items(value) {
    if (value instanceof Undefined) return [];
    if (value instanceof Map) return itemsOf(value);
    throw new TypeError(`${describe(value)} is no dict`);
  },
  join,
  last: (value) => found(iterate(value).at(-1), 'the last of no items'),
  length: lengthOf,
  list: (value) => [...iterate(value)],
  lower: (value) => str(value).toLowerCase(),
  map,
  max: extreme(1),
  min: extreme(-1),
  reject: selecting(false, false),
  rejectattr: selecting(false, true),
  replace: (value, args) => {
    const [from, to] = [args.get(0, 'old') ?? null, args.get(1, 'new') ?? null];
    return replaced(str(value), str(from), str(to), args.int(2, 'count', -1));
  },
  reverse: (value) =>
    typeof value === 'string' ? Array.from(value).reverse().join('') : [...iterate(value)].reverse(),
  round,
  safe: (value) => str(value),
  select: selecting(true, false),
  selectattr: selecting(true, true),
  slice: slices,
  sort: sorted,
  string: (value) => str(value),
  sum,
  title: (value) =>
    str(value).replace(
      /([^-\s({[<])([^-\s({[<]*)/gu,
      (_, first, rest) => first.toUpperCase() + rest.toLowerCase(),
    ),
  tojson: (value, args) =>
    toJson(
      value,
      new Map([
        ...['ensure_ascii', 'indent', 'separators', 'sort_keys'].flatMap((name, i): [string, Value][] =>
          args.all[i] === undefined ? [] : [[name, args.all[i]]],
        ),
        ...args.named,
      ]),
    ),
  trim: (value, args) => trim(str(value), args.optional(0, 'chars')),
  truncate,
  unique,
  upper: (value) => str(value).toUpperCase(),
  urlencode(value) {
    if (typeof value === 'string' || !isIterable(value)) return quoted(value).replaceAll('%2F', '/');
    const pairs = value instanceof Map ? itemsOf(value) : iterate(value);
    return pairs.map((pair) => iterate(pair).map(quoted).join('=').replaceAll('%20', '+')).join('&');
  },
  wordcount: (value) => BigInt(str(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0),
};

const ordered =
  (check: (order: number) => boolean): Test =>
  (value, other) =>
    check(compare(value, other));

const remainder = (value: Value, by: Value): number => Number(arithmetic('%', value, by));
const two = BigInt(2);

const TESTS: Record<string, Test> = {
  boolean: (value) => typeof value === 'boolean',
  callable: (value) => typeof value === 'function' || value instanceof Undefined,
  defined: (value) => !(value instanceof Undefined),
  divisibleby: (value, by) => remainder(value, by) === 0,
  eq: equals,
  equalto: equals,
  escaped: () => false,
  even: (value) => remainder(value, two) === 0,
  false: (value) => value === false,
  filter: (value) => typeof value === 'string' && Object.hasOwn(FILTERS, value),
  float: (value) => typeof value === 'number',
  ge: ordered((order) => order >= 0),
  greaterthan: ordered((order) => order > 0),
  gt: ordered((order) => order > 0),
  in: (value, whole) => contains(whole, value),
  integer: (value) => typeof value === 'bigint',
  iterable: isIterable,
  le: ordered((order) => order <= 0),
  lessthan: ordered((order) => order < 0),
  lower: (value) => str(value) === str(value).toLowerCase() && str(value) !== str(value).toUpperCase(),
  lt: ordered((order) => order < 0),
  mapping: (value) => value instanceof Map,
  ne: (value, other) => !equals(value, other),
  none: (value) => value === null,
  number: isNumber,
  odd: (value) => remainder(value, two) === 1,
  sameas: (value, other) => value === other,
  sequence: (value) =>
    value instanceof Undefined || ['str', 'list', 'tuple', 'dict', 'range'].includes(typeOf(value)),
  string: (value) => typeof value === 'string',
  test: (value) => typeof value === 'string' && Object.hasOwn(TESTS, value),
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => str(value) === str(value).toUpperCase() && str(value) !== str(value).toLowerCase(),
};

const SIGNS: Record<string, string> = {
  '==': 'eq',
  '!=': 'ne',
  '>': 'gt',
  '>=': 'ge',
  '<': 'lt',
  '<=': 'le',
};

/** @throws TemplateFault where there is none; what it gives throws TypeError without the other value that it needs */
function testOf(given: string): (value: Value, other: Value | undefined) => boolean {
  const name = SIGNS[given] ?? given;
  const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  if (!test) throw new TemplateFault(`there is no test "${given}"`);
  return (value, other) => {
    if (other === undefined && test.length > 1) throw new TypeError(`the test "${given}" needs a value`);
    return test(value, other ?? null);
  };
}

/** A filter, or a test as `is NAME` or `is not NAME`; the first argument is what it is applied to. @throws TemplateFault */
export function filterOf(name: string): Callable {
  const [, not, tested] = /^is (not )?(.*)$/.exec(name) ?? [];
  if (tested !== undefined) {
    const test = testOf(tested);
    return ([value, other]) => test(value!, other) === !not;
  }
  const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  if (!filter) throw new TemplateFault(`there is no filter "${name}"`);
  return ([value, ...rest], named) => filter(value!, new Arguments(rest, named));
}
