// How fields of a `config.json` are read: each is checked, and named where it is wrong.
import { ShishuError } from '../errors.ts';

export type Json = Record<string, unknown>;

const details = { file: 'config.json' };

/** @throws ShishuError `bad-config`: what cannot be */
export const fail = (message: string, mend?: string): never => {
  throw new ShishuError('bad-config', `config.json: ${message}`, { details, mend });
};

/** @throws ShishuError `unsupported`: what this engine does not run */
export const refuse = (message: string, mend?: string): never => {
  throw new ShishuError('unsupported', `config.json: ${message}`, { details, mend });
};

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads a field that may be absent or null; `check` says whether a present value is of the right kind. */
export function field<T>(
  json: Json,
  name: string,
  kind: string,
  check: (value: unknown) => value is T,
): T | undefined {
  const value = json[name];
  if (value === undefined || value === null) return undefined;
  return check(value) ? value : fail(`"${name}" is ${JSON.stringify(value)}, expected ${kind}.`);
}

const MAX_SIZE = 2 ** 31 - 1;
const isSize = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) <= MAX_SIZE;
export const isCount = (value: unknown): value is number => value === 0 || isSize(value);
export const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);
const isPositive = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0;
export const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every(isPositive);
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isString = (value: unknown): value is string => typeof value === 'string';

export const size = (json: Json, name: string): number | undefined =>
  field(json, name, 'a positive whole number', isSize);
export const count = (json: Json, name: string): number | undefined =>
  field(json, name, 'a whole number', isCount);
export const positive = (json: Json, name: string): number | undefined =>
  field(json, name, 'a positive number', isPositive);
export const flag = (json: Json, name: string): boolean | undefined =>
  field(json, name, 'true or false', isBoolean);
export const text = (json: Json, name: string): string | undefined => field(json, name, 'a string', isString);
export const object = (json: Json, name: string): Json | undefined =>
  field(json, name, 'an object', isObject);

export const need = (json: Json, name: string): number =>
  size(json, name) ?? fail(`"${name}" is missing.`, 'The folder may not hold a Llama-family model.');

/** A config, and which model type it says it is of. @throws ShishuError `bad-config` */
export function modelTypeOf(json: unknown): [type: string, json: Json] {
  const object = isObject(json) ? json : fail('expected an object.');
  return [text(object, 'model_type') ?? fail('"model_type" is missing.'), object];
}

/** @throws ShishuError `unsupported` */
export const refuseType = (type: string, supported: readonly string[]): never =>
  refuse(`model type "${type}" is not supported.`, `Supported: ${supported.join(', ')}.`);
