// Filters that make numbers.
import type { Arguments } from './arguments.ts';
import { trim } from './strings.ts';
import { describe, isNumber, numberOf, Undefined, type Value } from './values.ts';

/** The filter `int`. */
export function toInt(value: Value, args: Arguments): Value {
  const otherwise = args.get(0, 'default') ?? BigInt(0);
  const base = args.int(1, 'base', 10);
  if (typeof value === 'string') {
    const text = trim(value).replaceAll('_', '');
    if (base !== 10) {
      const parsed = Number.parseInt(text.replace(/^0[xob]/i, ''), base);
      return Number.isNaN(parsed) ? otherwise : BigInt(parsed);
    }
    if (/^[+-]?\d+$/.test(text)) return BigInt(text.replace(/^\+/, ''));
    const number = /\d/.test(text) ? Number(text) : Number.NaN;
    return Number.isFinite(number) ? BigInt(Math.trunc(number)) : otherwise;
  }
  if (value instanceof Undefined) throw new TypeError(describe(value));
  if (!isNumber(value)) return otherwise;
  const number = numberOf(value);
  if (typeof number === 'bigint') return number;
  return Number.isFinite(number) ? BigInt(Math.trunc(number)) : otherwise;
}

/** The filter `float`. */
export function toFloat(value: Value, args: Arguments): Value {
  const otherwise = args.get(0, 'default') ?? 0;
  if (value instanceof Undefined) throw new TypeError(describe(value));
  if (isNumber(value)) return Number(value);
  const number = typeof value === 'string' && trim(value) !== '' ? Number(trim(value)) : Number.NaN;
  return Number.isNaN(number) ? otherwise : number;
}

/** The filter `round`. @throws TypeError */
export function round(value: Value, args: Arguments): Value {
  if (!isNumber(value)) throw new TypeError(`${describe(value)} cannot be rounded`);
  const precision = args.int(0, 'precision', 0);
  const how = args.optional(1, 'method') ?? 'common';
  const scale = 10 ** precision;
  const number = Number(value);
  if (how === 'ceil') return Math.ceil(number * scale) / scale;
  if (how === 'floor') return Math.floor(number * scale) / scale;
  if (typeof numberOf(value) === 'bigint' && precision >= 0) return numberOf(value);
  if (precision < 0) return Math.round(number * scale) / scale;
  // Halves go to the even neighbour, which the exact digits tell.
  const exact = number.toFixed(Math.min(100, precision + 60));
  const [, kept, rest] = /^(.*?\d*?)(\d{60})$/.exec(exact.replace('.', '')) ?? [];
  const isHalf = rest !== undefined && /^50*$/.test(rest) && Number(kept!.at(-1) ?? 0) % 2 === 0;
  return Number(isHalf ? exact.slice(0, -60) : number.toFixed(precision));
}
