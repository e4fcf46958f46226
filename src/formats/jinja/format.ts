// Python's two ways to format: `'%s' % value` and `'{}'.format(value)`.
import { exponential, fixed } from './decimal.ts';
import {
  describe,
  found,
  isNumber,
  lookUp,
  numberOf,
  repr,
  str,
  Tuple,
  typeOf,
  type Value,
} from './values.ts';

interface Style {
  fill: string;
  align: string;
  sign: string;
  /** `#`: a prefix for other bases than ten. */
  alternate: boolean;
  width: number;
  /** What stands between thousands. */
  group: string;
  precision: number | undefined;
  type: string;
}

const RADIX: Record<string, number> = { x: 16, o: 8, b: 2 };

/** The format `g`: as many digits as asked for, without zeros at the end. */
function general(value: number, precision: number): string {
  const digits = Math.max(1, precision);
  const [mantissa, exponent] = exponential(value, digits - 1).split('e');
  const power = Number(exponent);
  if (power >= -4 && power < digits) return withoutZeros(fixed(value, digits - 1 - power));
  return `${withoutZeros(mantissa!)}e${exponent}`;
}

const withoutZeros = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);

/** Digits of a whole number, 0 before them up to a length. */
function wholeDigits(value: bigint, { type, precision, alternate }: Style): string {
  const radix = RADIX[type.toLowerCase()];
  const size = (value < 0 ? -value : value).toString(radix ?? 10).padStart(precision ?? 0, '0');
  return (value < 0 ? '-' : '') + (radix && alternate ? `0${type.toLowerCase()}` : '') + size;
}

function floatDigits(value: number, style: Style): string {
  const { type, precision } = style;
  if (value < 0 || Object.is(value, -0)) return `-${floatDigits(-value, style)}`;
  if (!Number.isFinite(value)) return str(value);
  const kind = type.toLowerCase();
  if (kind === 'f') return fixed(value, precision ?? 6);
  if (kind === 'e') return exponential(value, precision ?? 6);
  if (kind === 'g') return general(value, precision ?? 6);
  if (kind === '%') return `${fixed(value * 100, precision ?? 6)}%`;
  if (precision === undefined) return str(value);
  // Without a type there is one digit after the point at least.
  const text = general(value, precision);
  if (/[.e]/.test(text)) return text;
  return text.length < precision ? `${text}.0` : exponential(value, precision - 1);
}

/** @throws TypeError where the type is not one of the value's */
function digits(value: bigint | number, style: Style): string {
  const { type, group } = style;
  const isWhole = typeof value === 'bigint' && (type === '' || /^[dxXob]$/.test(type));
  if (!isWhole && !/^[fFeEgG%]?$/.test(type))
    throw new TypeError(`${describe(value)} cannot be written as "${type}"`);
  const text = isWhole ? wholeDigits(value, style) : floatDigits(Number(value), style);
  const grouped = group
    ? text.replace(/^(-?)(\d+)/, (_, sign, whole) => sign + whole.replace(/\B(?=(\d{3})+$)/g, group))
    : text;
  return /[XFEG]/.test(type) ? grouped.toUpperCase() : grouped;
}

/** A text or a number with room before and after it. */
function aligned(text: string, isNumeral: boolean, { fill, align, sign, width }: Style): string {
  const minus = !isNumeral ? '' : text.startsWith('-') ? '-' : sign === '-' ? '' : sign;
  const rest = isNumeral && text.startsWith('-') ? text.slice(1) : text;
  const room = Math.max(0, width - Array.from(minus + rest).length);
  const sides: Record<string, number> = { '<': 0, '^': Math.floor(room / 2), '>': room, '=': room };
  const before = sides[align] ?? (isNumeral ? room : 0);
  const [left, right] = [fill.repeat(before), fill.repeat(room - before)];
  return align === '=' ? minus + left + rest : left + minus + rest + right;
}

/** The character of a number, or the only one of a text. @throws TypeError */
function character(value: Value): string {
  const text = typeof value === 'bigint' ? String.fromCodePoint(Number(value)) : value;
  if (typeof text === 'string' && Array.from(text).length === 1) return text;
  throw new TypeError(`${describe(value)} is no character`);
}

/** `{:spec}`. @throws TypeError */
function withSpec(value: Value, spec: string): string {
  if (spec === '') return str(value);
  const parts = /^(?:(.)?([<>=^]))?([-+ ]?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([a-zA-Z%]?)$/u.exec(spec);
  if (!parts) throw new TypeError(`"${spec}" is no format`);
  const [, fill, align = '', sign = '', alternate, zero, width, group = '', precision, type = ''] = parts;
  const isNumeral = isNumber(value);
  const style: Style = {
    fill: fill ?? (zero ? '0' : ' '),
    align: align || (zero && isNumeral ? '=' : ''),
    sign,
    alternate: alternate === '#',
    width: Number(width),
    group,
    precision: precision === undefined ? undefined : Number(precision),
    type,
  };
  if (!isNumeral) {
    if (typeof value !== 'string' || (type && type !== 's') || sign || group || alternate || align === '=')
      throw new TypeError(`${describe(value)} cannot be written as "${spec}"`);
    return aligned(Array.from(value).slice(0, style.precision).join(''), false, style);
  }
  const number = numberOf(value);
  if (type === 'c') return aligned(character(number), false, style);
  if (typeof number === 'bigint' && precision !== undefined && /^[dxXob]?$/.test(type))
    throw new TypeError('a whole number has no precision');
  return aligned(digits(number, style), true, style);
}

const FIELD = /\{\{|\}\}|\{([^{}!:]*)(?:!([rs]))?(?::((?:[^{}]|\{[^{}]*\})*))?\}/g;

/** `text.format(...)` */
export function formatFields(
  text: string,
  args: readonly Value[],
  named: ReadonlyMap<string, Value>,
): string {
  let next = 0;
  const replaced = (within: string): string =>
    within.replace(FIELD, (whole, field: string | undefined, conversion: string | undefined, spec = '') => {
      if (field === undefined) return whole[0]!;
      const [name = '', ...path] = field.split(/[.[]/).map((each) => each.replace(/\]$/, ''));
      const first = /^\d*$/.test(name) ? args[name === '' ? next++ : Number(name)] : named.get(name);
      if (first === undefined) throw new TypeError(`the format's "${field}" is not given`);
      const value = path.reduce<Value>(
        (from, key) => found(lookUp(from, /^\d+$/.test(key) ? BigInt(key) : key), `"${key}"`),
        first,
      );
      return withSpec(conversion === 'r' ? repr(value) : value, replaced(spec));
    });
  return replaced(text);
}

/** One `%` of a text. @throws TypeError */
function percent(value: Value, style: Style): string {
  const { type, precision } = style;
  if (type === 's' || type === 'r') {
    const text = type === 'r' ? repr(value) : str(value);
    return aligned(Array.from(text).slice(0, precision).join(''), false, { ...style, fill: ' ' });
  }
  if (type === 'c') return aligned(character(value), false, { ...style, fill: ' ' });
  if (!isNumber(value)) throw new TypeError(`${describe(value)} cannot be written as "${type}"`);
  const number = numberOf(value);
  if (!/^[diu]$/.test(type)) return aligned(digits(number, style), true, style);
  if (typeof number === 'number' && !Number.isFinite(number))
    throw new TypeError(`${str(number)} is no whole number`);
  const whole = typeof number === 'bigint' ? number : BigInt(Math.trunc(number));
  return aligned(digits(whole, { ...style, type: 'd' }), true, style);
}

/** `text % values` */
export function formatPercent(text: string, values: Value): string {
  const list = values instanceof Tuple ? values : [values];
  let next = 0;
  const formatted = text.replace(
    /%(?:\(([^)]*)\))?([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z%])/g,
    (
      _,
      name: string | undefined,
      flags: string,
      width: string,
      precision: string | undefined,
      type: string,
    ) => {
      if (type === '%') return '%';
      const value = name === undefined ? list[next++] : values instanceof Map ? values.get(name) : undefined;
      if (value === undefined) throw new TypeError('there are too few values to format');
      const left = flags.includes('-');
      const zero = flags.includes('0') && !left && isNumber(value);
      return percent(value, {
        fill: zero ? '0' : ' ',
        align: left ? '<' : zero ? '=' : '>',
        sign: flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '',
        alternate: flags.includes('#'),
        width: Number(width),
        group: '',
        precision: precision === undefined ? undefined : Number(precision),
        type,
      });
    },
  );
  // Python counts tuples and plain values, and not what can be looked up in.
  const counted = values instanceof Tuple || ['str', 'int', 'float', 'bool', 'None'].includes(typeOf(values));
  if (counted && next < list.length) throw new TypeError('there are too many values to format');
  return formatted;
}
