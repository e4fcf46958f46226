// Decimal digits of floats, rounded as Python does: by the exact value, halves to the even neighbour.
import { TemplateFault } from './faults.ts';

/** The whole number nearest to a fraction, halves to the even one. */
export function nearest(numerator: bigint, denominator: bigint): bigint {
  const [one, two] = [BigInt(1), BigInt(2)];
  if (numerator < 0) return -nearest(-numerator, denominator);
  const below = numerator / denominator;
  const rest = (numerator % denominator) * two;
  const up = rest > denominator || (rest === denominator && below % two === one);
  return up ? below + one : below;
}

/** Far more digits than a float has; what a damaged template asks for must end. */
const MOST_DIGITS = 10_000;

/** The whole number nearest to a finite float times a power of ten. @throws TemplateFault for too many digits */
export function scaled(value: number, power: number): bigint {
  if (Math.abs(power) > MOST_DIGITS) throw new TemplateFault(`${Math.abs(power)} digits are too many`);
  // A float is a whole number over a power of two.
  let [numerator, halvings] = [value, 0];
  for (; !Number.isInteger(numerator); halvings++) numerator *= 2;
  const scale = BigInt(10) ** BigInt(Math.abs(power));
  const below = BigInt(2) ** BigInt(halvings);
  return power >= 0 ? nearest(BigInt(numerator) * scale, below) : nearest(BigInt(numerator), below * scale);
}

/** The float nearest to the quotient of two integers. */
export function quotient(a: bigint, b: bigint): number {
  const [x, y] = [Number(a), Number(b)];
  if (Number.isSafeInteger(x) && Number.isSafeInteger(y)) return x / y;
  if (a < 0 !== b < 0) return -quotient(a < 0 ? -a : a, b < 0 ? -b : b);
  // More bits than a float has; that something is left matters for the rounding, not how much.
  const bits = (value: bigint): number => value.toString(2).length;
  const shift = Math.max(0, 66 + bits(b) - bits(a));
  const scaled = a << BigInt(shift);
  const isExact = scaled % b === BigInt(0);
  return Number((scaled / b) | BigInt(isExact ? 0 : 1)) / 2 ** shift;
}

/** A float that is not below 0, with so many digits after the point. */
export function fixed(value: number, digits: number): string {
  const text = String(scaled(value, digits)).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** Such a float like `1.5e+03`, with so many digits after the point and two of the exponent at least. */
export function exponential(value: number, digits: number): string {
  let power = Number(value.toExponential().split('e')[1]);
  let text = String(scaled(value, digits - power));
  // 9.99 becomes 10.0.
  if (text.length > digits + 1) text = String(scaled(value, digits - ++power));
  const exponent = `e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  return (digits === 0 ? text : `${text[0]}.${text.slice(1).padEnd(digits, '0')}`) + exponent;
}
