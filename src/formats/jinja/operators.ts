// Python's operators.
import { quotient } from './decimal.ts';
import { TemplateFault } from './faults.ts';
import { formatPercent } from './format.ts';
import {
  describe,
  intOf,
  isListOrTuple,
  isNumber,
  numberOf,
  str,
  truth,
  typeOf,
  type Value,
} from './values.ts';

/** A value with its sign, or `not` it. @throws TypeError */
export function unary(operator: string, value: Value): Value {
  if (operator === 'not') return !truth(value);
  if (!isNumber(value)) throw new TypeError(`${describe(value)} has no sign`);
  const number = numberOf(value);
  return operator === '-' ? -number : number;
}

/** What is no comparison. @throws TypeError */
export function arithmetic(operator: string, left: Value, right: Value): Value {
  if (operator === '~') return str(left) + str(right);
  if (operator === '+') {
    if (typeof left === 'string' && typeof right === 'string') return left + right;
    if (isListOrTuple(left) && isListOrTuple(right) && typeOf(left) === typeOf(right)) {
      checkLength(left.length + right.length);
      return left.concat(right);
    }
  }
  if (operator === '%' && typeof left === 'string') return formatPercent(left, right);
  if (operator === '*') {
    const [many, count] = isNumber(left) ? [right, left] : [left, right];
    if (typeof many === 'string') return many.repeat(Math.max(0, intOf(count)));
    if (isListOrTuple(many)) return repeated(many, Math.max(0, intOf(count)));
  }
  if (!isNumber(left) || !isNumber(right))
    throw new TypeError(`"${operator}" cannot be used on ${describe(left)} and ${describe(right)}`);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (['/', '//', '%'].includes(operator) && Number(b) === 0) throw new TypeError('a number is divided by 0');
  if (operator === '**' && Number(a) === 0 && b < 0) throw new TypeError('0 has no negative power');
  if (typeof a === 'bigint' && typeof b === 'bigint' && operator !== '/' && !(operator === '**' && b < 0))
    return wholes(operator, a, b);
  const [x, y] = [Number(a), Number(b)];
  if (operator === '+') return x + y;
  if (operator === '-') return x - y;
  if (operator === '*') return x * y;
  if (operator === '/') return typeof a === 'bigint' && typeof b === 'bigint' ? quotient(a, b) : x / y;
  if (operator === '//') return divided(x, y).quotient;
  if (operator === '%') return divided(x, y).rest;
  if (x < 0 && !Number.isInteger(y)) throw new TypeError(`a power of ${x} that is no real number`);
  return x ** y;
}

/** Most items of a list that is made by a number, and most bits of a power: what a damaged template asks for must end. */
const MOST_ITEMS = 1_000_000;
const MOST_BITS = 1_000_000;

/** @throws TemplateFault */
function checkLength(items: number): void {
  if (items > MOST_ITEMS) throw new TemplateFault(`a list of ${items} items is too long`);
}

function repeated(many: Value[], count: number): Value[] {
  checkLength(many.length * count);
  // Of the same kind.
  const all = many.slice(0, 0);
  if (many.length > 0) for (let i = 0; i < count; i++) for (const each of many) all.push(each);
  return all;
}

function power(a: bigint, b: bigint): bigint {
  if (a.toString(2).length * Number(b) > MOST_BITS && a * a > BigInt(1))
    throw new TemplateFault(`a power with the exponent ${b} has too many digits`);
  return a ** b;
}

/** Division of floats towards minus infinity, as Python does it. */
function divided(x: number, y: number): { quotient: number; rest: number } {
  const rest = x % y;
  const isOpposite = rest !== 0 && rest < 0 !== y < 0;
  const exact = (x - rest) / y - (isOpposite ? 1 : 0);
  const below = Math.floor(exact);
  const quotient = exact - below > 0.5 ? below + 1 : below;
  return {
    quotient: exact === 0 ? 0 * (x / y) : quotient,
    rest: isOpposite ? rest + y : rest === 0 ? 0 * y : rest,
  };
}

function wholes(operator: string, a: bigint, b: bigint): bigint {
  if (operator === '+') return a + b;
  if (operator === '-') return a - b;
  if (operator === '*') return a * b;
  if (operator === '**') return power(a, b);
  // Python rounds towards minus infinity.
  const rest = ((a % b) + b) % b;
  return operator === '%' ? rest : (a - rest) / b;
}
