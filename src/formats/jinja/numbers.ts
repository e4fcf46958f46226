// Numbers as Python reads and rounds them.
import type { Arguments } from './arguments.ts';
import { nearest, scaled } from './decimal.ts';
import { trim } from './strings.ts';
import { describe, isNumber, numberOf, Undefined, type Value } from './values.ts';

const BASES: Record<string, number> = { x: 16, o: 8, b: 2 };
const DIGITS = '\\d+(?:_\\d+)*';
const FLOAT = new RegExp(`^[+-]?(?:${DIGITS}(?:\\.(?:${DIGITS})?)?|\\.${DIGITS})(?:e[+-]?${DIGITS})?$`, 'i');

const isDigit = (code: number): boolean => /\p{Nd}/u.test(String.fromCodePoint(code));

/** Text without white space around it, its digits of any script as 0 to 9: they stand in runs that begin with a zero. */
const numeral = (text: string): string =>
  trim(text).replace(/\p{Nd}/gu, (digit) => {
    const code = digit.codePointAt(0)!;
    let zero = code;
    while (zero > 0 && isDigit(zero - 1)) zero--;
    return String((code - zero) % 10);
  });

/** Python's `int(text, base)`; undefined for what is no whole number in the base. */
function readInt(text: string, base: number): bigint | undefined {
  const [, sign, prefix = '', digits = ''] = /^([+-]?)(0[xob]_?)?(\w+)$/i.exec(numeral(text)) ?? [];
  const prefixBase = BASES[prefix[1]?.toLowerCase() ?? ''];
  const isPrefix = prefixBase !== undefined && (base === 0 || base === prefixBase);
  const radix = base === 0 ? (prefixBase ?? 10) : base;
  const all = isPrefix ? digits : prefix + digits;
  if (radix < 2 || radix > 36 || !/^[\da-z]+(_[\da-z]+)*$/i.test(all)) return undefined;
  if (base === 0 && !isPrefix && /^0[0_]*[1-9]/.test(all)) return undefined;
  let value = BigInt(0);
  for (const digit of all.replaceAll('_', '')) {
    const worth = Number.parseInt(digit, radix);
    if (Number.isNaN(worth)) return undefined;
    value = value * BigInt(radix) + BigInt(worth);
  }
  return sign === '-' ? -value : value;
}

/** Python's `float(text)`; undefined for what is no number. */
function readFloat(text: string): number | undefined {
  const bare = numeral(text);
  const [, sign, word] = /^([+-]?)(nan|inf(?:inity)?)$/i.exec(bare) ?? [];
  if (word) return word[0]!.toLowerCase() === 'n' ? Number.NaN : Number(`${sign}Infinity`);
  return FLOAT.test(bare) ? Number(bare.replaceAll('_', '')) : undefined;
}

/** A number without what follows the point; undefined where it has no end. */
const whole = (number: number): bigint | undefined =>
  Number.isFinite(number) ? BigInt(Math.trunc(number)) : undefined;

/** The default of a filter, which may be None. */
const defaultOf = (args: Arguments, otherwise: Value): Value => {
  const given = args.get(0, 'default');
  return given === undefined ? otherwise : given;
};

/** The filter `int`. */
export function toInt(value: Value, args: Arguments): Value {
  const otherwise = defaultOf(args, BigInt(0));
  if (typeof value === 'string') {
    const parsed = readInt(value, args.int(1, 'base', 10)) ?? whole(readFloat(value) ?? Number.NaN);
    return parsed === undefined ? otherwise : parsed;
  }
  if (value instanceof Undefined) throw new TypeError(describe(value));
  if (!isNumber(value)) return otherwise;
  const number = numberOf(value);
  return typeof number === 'bigint' ? number : (whole(number) ?? otherwise);
}

/** The filter `float`. */
export function toFloat(value: Value, args: Arguments): Value {
  if (value instanceof Undefined) throw new TypeError(describe(value));
  if (isNumber(value)) return Number(value);
  const number = typeof value === 'string' ? readFloat(value) : undefined;
  return number === undefined ? defaultOf(args, 0) : number;
}

/** The filter `round`. @throws TypeError */
export function round(value: Value, args: Arguments): Value {
  if (!isNumber(value)) throw new TypeError(`${describe(value)} cannot be rounded`);
  const precision = args.int(0, 'precision', 0);
  const how = args.optional(1, 'method') ?? 'common';
  if (how === 'ceil' || how === 'floor') {
    const scale = 10 ** precision;
    // Python's `ceil` and `floor` are whole numbers, which have no -0.
    return (Math[how](Number(value) * scale) + 0) / scale;
  }
  if (how !== 'common') throw new TypeError(`there is no method "${how}" to round`);
  const number = numberOf(value);
  if (typeof number === 'bigint') {
    const unit = BigInt(10) ** BigInt(Math.max(0, -precision));
    return nearest(number, unit) * unit;
  }
  if (!Number.isFinite(number)) return number;
  const rounded = scaled(number, precision);
  const size = Number(`${rounded < 0 ? -rounded : rounded}e${-precision}`);
  return number < 0 || Object.is(number, -0) ? -size : size;
}
