// Python's values: int is bigint, float is number, dict is Map, list is Array; and how Python writes and compares them.

/** jinja2's undefined: a name, item or attribute that does not exist. Printed, it is empty; most other uses are errors. */
export class Undefined {
  readonly what: string;

  constructor(what: string) {
    this.what = what;
  }
}

export class Tuple extends Array<Value> {
  /** What has a name beside its place. */
  fields?: ReadonlyMap<string, Value>;
}

/** What Python goes through as a list and writes in other words: a range, and the keys, values or items of a dict. */
export class View extends Array<Value> {
  name = '';
  written = (): string => '';
}

export const view = (name: string, items: readonly Value[], written: () => string): View =>
  Object.assign(View.from<Value>(items) as View, { name, written });

/** What `namespace()` makes: fields that can be set. */
export class Namespace {
  readonly fields: Map<string, Value>;

  constructor(fields: Map<string, Value>) {
    this.fields = fields;
  }
}

/** `named` are the keyword arguments. */
export type Callable = (args: Value[], named: Map<string, Value>) => Value;

export type Value =
  | string
  | bigint
  | number
  | boolean
  | null
  | Undefined
  | Namespace
  | Callable
  | Value[]
  | Map<Value, Value>;

/** Inside of a character class: what Python takes for white space. */
export const WHITE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
/** Where Python's `splitlines` ends a line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they end lines there
export const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/gu;
const START = new RegExp(`^[${WHITE}]+`, 'u');
const END = new RegExp(`[${WHITE}]+$`, 'u');

export const stripStart = (text: string): string => text.replace(START, '');
export const stripEnd = (text: string): string => text.replace(END, '');

/** A value of JavaScript as Python has it after JSON. */
export function fromJs(value: unknown): Value {
  if (value === undefined) return null;
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(fromJs);
  if (typeof value !== 'object' || value === null) return value as Value;
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  return new Map(entries.map(([key, each]) => [key, fromJs(each)]));
}

export function typeOf(value: Value): string {
  if (value === null) return 'None';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof Undefined) return 'undefined';
  if (value instanceof Tuple) return 'tuple';
  if (value instanceof View) return value.name;
  if (Array.isArray(value)) return 'list';
  if (value instanceof Map) return 'dict';
  return value instanceof Namespace ? 'namespace' : 'function';
}

export const isNumber = (value: Value): value is bigint | number | boolean =>
  typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';

/** The number of a number, as a bigint where Python has an int. */
export const numberOf = (value: bigint | number | boolean): bigint | number =>
  typeof value === 'boolean' ? BigInt(value) : value;

/** @throws TypeError where there is no whole number */
export function intOf(value: Value): number {
  if (typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
  throw new TypeError(`${describe(value)} is no whole number`);
}

/** What was looked up, or that it is not there. None that is there is no absence. */
export const found = (item: Value | undefined, what: string): Value =>
  item === undefined ? new Undefined(what) : item;

export const describe = (value: Value): string =>
  value instanceof Undefined ? `${value.what} is undefined` : `a ${typeOf(value)}`;

export function truth(value: Value): boolean {
  if (value instanceof Undefined) return false;
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

export const isListOrTuple = (value: Value): value is Value[] =>
  Array.isArray(value) && !(value instanceof View);

/** @throws TypeError for what cannot be gone through */
export function iterate(value: Value): Value[] {
  if (Array.isArray(value)) return value;
  if (typeof value === 'string') return Array.from(value);
  if (value instanceof Map) return [...value.keys()];
  if (value instanceof Undefined) return [];
  throw new TypeError(`${describe(value)} is no list`);
}

/** Views of dicts have an order, and no places. */
const hasPlaces = (value: Value): value is string | Value[] =>
  ['str', 'list', 'tuple', 'range'].includes(typeOf(value));

/** An item of a dict, a namespace, a list or a text; undefined where it is not there. @throws TypeError for what is Undefined itself */
export function lookUp(object: Value, key: Value): Value | undefined {
  if (object instanceof Undefined) throw new TypeError(describe(object));
  if (object instanceof Map) return object.get(key);
  if (object instanceof Namespace) return object.fields.get(str(key));
  if (object instanceof Tuple && typeof key === 'string') return object.fields?.get(key);
  const isPlace = typeof key === 'bigint' || typeof key === 'boolean';
  return isPlace && hasPlaces(object) ? iterate(object).at(Number(key)) : undefined;
}

export const lengthOf = (value: Value): bigint => BigInt(iterate(value).length);

export function equals(a: Value, b: Value): boolean {
  // biome-ignore lint/suspicious/noDoubleEquals: 1 and 1.0 are equal in Python
  if (isNumber(a) && isNumber(b)) return numberOf(a) == numberOf(b);
  if (a instanceof Undefined) return b instanceof Undefined;
  if (Array.isArray(a) && Array.isArray(b))
    return typeOf(a) === typeOf(b) && a.length === b.length && a.every((each, i) => equals(each, b[i]!));
  if (a instanceof Map && b instanceof Map)
    return a.size === b.size && [...a].every(([key, each]) => b.has(key) && equals(each, b.get(key)!));
  return a === b;
}

/** Below 0, 0 or above. @throws TypeError for what has no order */
export function compare(a: Value, b: Value): number {
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numberOf(a), numberOf(b)];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (typeof a === 'string' && typeof b === 'string') {
    const [x, y] = [Array.from(a), Array.from(b)];
    const at = x.findIndex((character, i) => character !== y[i]);
    return at < 0 || at >= y.length ? x.length - y.length : x[at]!.codePointAt(0)! - y[at]!.codePointAt(0)!;
  }
  if (isListOrTuple(a) && isListOrTuple(b) && typeOf(a) === typeOf(b)) {
    const at = a.findIndex((each, i) => i >= b.length || !equals(each, b[i]!));
    return at < 0 || at >= b.length ? a.length - b.length : compare(a[at]!, b[at]!);
  }
  throw new TypeError(`${describe(a)} and ${describe(b)} have no order`);
}

/** Whether a value is in a list, a dict or a text. @throws TypeError */
export function contains(container: Value, item: Value): boolean {
  if (container instanceof Map) return container.has(item);
  if (typeof container !== 'string') return iterate(container).some((each) => equals(each, item));
  if (typeof item === 'string') return container.includes(item);
  throw new TypeError(`a text cannot hold ${describe(item)}`);
}

function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [digits, exponent] = value.toExponential().split('e') as [string, string];
  const power = Number(exponent);
  if (power < -4 || power >= 16)
    return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  const plain = value.toFixed(Math.max(0, digits.replace(/^-?\d\.?/, '').length - power));
  return plain.includes('.') ? plain : `${plain}.0`;
}

function stringRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(
    /[\\'"]|[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu,
    (character) => {
      if (character === '"' || character === "'") return character === quote ? `\\${character}` : character;
      if (character === '\\') return '\\\\';
      const named = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character];
      if (named) return named;
      const hex = character.codePointAt(0)!.toString(16);
      return hex.length <= 2
        ? `\\x${hex.padStart(2, '0')}`
        : hex.length <= 4
          ? `\\u${hex.padStart(4, '0')}`
          : `\\U${hex.padStart(8, '0')}`;
    },
  );
  return quote + escaped + quote;
}

/** Python's `repr`. */
export function repr(value: Value): string {
  if (typeof value === 'string') return stringRepr(value);
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Tuple) return `(${value.map(repr).join(', ')}${value.length === 1 ? ',' : ''})`;
  if (value instanceof View) return value.written();
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`;
  if (value instanceof Map)
    return `{${[...value].map(([key, each]) => `${repr(key)}: ${repr(each)}`).join(', ')}}`;
  if (value instanceof Namespace) return `<Namespace ${repr(value.fields)}>`;
  return str(value);
}

/** Python's `str`. */
export function str(value: Value): string {
  if (typeof value === 'string') return value;
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return floatText(value);
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Undefined) return '';
  return typeof value === 'function' ? '<function>' : repr(value);
}

interface JsonStyle {
  ascii: boolean;
  indent: string | undefined;
  separators: readonly [string, string];
  sorted: boolean;
}

function jsonText(text: string, { ascii }: JsonStyle): string {
  const json = JSON.stringify(text);
  if (!ascii) return json;
  return json.replace(/[\x7f-\uffff]/g, (unit) =>
    unit === '\x7f' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function json(value: Value, style: JsonStyle, depth: number): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return jsonText(value, style);
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return floatText(value).replace('nan', 'NaN').replace('inf', 'Infinity');
  const { indent, separators, sorted } = style;
  const around = (open: string, items: string[], close: string): string => {
    if (items.length === 0) return open + close;
    if (indent === undefined) return open + items.join(separators[0]) + close;
    const line = `\n${indent.repeat(depth + 1)}`;
    return `${open}${line}${items.join(separators[0] + line)}\n${indent.repeat(depth)}${close}`;
  };
  if (isListOrTuple(value))
    return around(
      '[',
      value.map((each) => json(each, style, depth + 1)),
      ']',
    );
  if (value instanceof Map) {
    const entries = [...value];
    if (sorted) entries.sort(([a], [b]) => compare(a, b));
    const members = entries.map(([key, each]) => {
      const name = typeof key === 'string' ? key : json(key, style, 0);
      return `${jsonText(name, style)}${separators[1]}${json(each, style, depth + 1)}`;
    });
    return around('{', members, '}');
  }
  throw new TypeError(`${describe(value)} cannot be written as JSON`);
}

/** Python's `json.dumps`, with transformers' defaults. */
export function toJson(value: Value, named: ReadonlyMap<string, Value>): string {
  const [indent = null, separators = null] = [named.get('indent'), named.get('separators')];
  const spaces =
    typeof indent === 'string'
      ? indent
      : indent === null
        ? undefined
        : ' '.repeat(Math.max(0, intOf(indent)));
  const given =
    separators === null ? [spaces === undefined ? ', ' : ',', ': '] : iterate(separators).map(str);
  const style: JsonStyle = {
    ascii: truth(named.get('ensure_ascii') ?? false),
    sorted: truth(named.get('sort_keys') ?? false),
    indent: spaces,
    separators: given as [string, string],
  };
  return json(value, style, 0);
}

/** Python's `[start:stop:step]` of a list or a text. @throws TypeError */
export function slice(value: Value, bounds: readonly (Value | undefined)[]): Value {
  if (!hasPlaces(value)) throw new TypeError(`${describe(value)} has no slices`);
  const items = iterate(value);
  const [start, stop, step = 1] = bounds.map((bound) =>
    bound === undefined || bound === null ? undefined : intOf(bound),
  );
  if (step === 0) throw new TypeError('the step of a slice is 0');
  const { length } = items;
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
  const place = (bound: number | undefined, otherwise: number): number =>
    bound === undefined ? otherwise : Math.min(high, Math.max(low, bound < 0 ? bound + length : bound));
  const end = place(stop, step > 0 ? high : low);
  const taken: Value[] = [];
  for (let i = place(start, step > 0 ? low : high); step > 0 ? i < end : i > end; i += step)
    taken.push(items[i]!);
  if (typeof value === 'string') return taken.join('');
  return value instanceof Tuple ? Tuple.from(taken) : taken;
}
