import { decodeUri } from '../decode-uri.ts';
import { ShishuError } from '../errors.ts';

export type TypeName = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';

const TYPES: readonly TypeName[] = ['object', 'array', 'string', 'number', 'boolean', 'null'];

/** A schema (true, false or an object, not yet checked) and its JSON pointer. */
export interface Schema {
  schema: unknown;
  path: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Keywords, and the type that those of one type imply. */
const KEYWORDS: Record<string, TypeName | undefined> = {
  type: undefined,
  nullable: undefined,
  enum: undefined,
  const: undefined,
  anyOf: undefined,
  oneOf: undefined,
  $ref: undefined,
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  items: 'array',
  minItems: 'array',
  maxItems: 'array',
  minLength: 'string',
  maxLength: 'string',
  pattern: 'string',
  format: 'string',
  minimum: 'number',
  maximum: 'number',
  exclusiveMinimum: 'number',
  exclusiveMaximum: 'number',
};
/** Keywords that say nothing about what is valid. */
const ANNOTATIONS = [
  '$schema',
  '$id',
  '$comment',
  '$defs',
  'definitions',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
];

export function refuse(
  path: string,
  keyword: string,
  what: string,
  { mend, code = 'unsupported' }: { mend?: string; code?: 'unsupported' | 'bad-argument' } = {},
): never {
  throw new ShishuError(code, `JSON schema, at ${path}: "${keyword}" ${what}.`, {
    details: { path, keyword },
    ...(mend !== undefined && { mend }),
  });
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What stands in a schema under one or two names. */
export function subschema({ schema, path }: Schema, ...names: (string | number)[]): Schema {
  let at: unknown = schema;
  for (const name of names) at = (at as Json)[name];
  return {
    schema: at,
    path: [path, ...names.map((name) => String(name).replace(/~/g, '~0').replace(/\//g, '~1'))].join('/'),
  };
}

/** The schema at a JSON pointer, as `#/$defs/node`. @throws ShishuError `bad-argument` when there is none */
export function schemaAt(root: unknown, pointer: string): unknown {
  let at: unknown = root;
  for (const part of pointer.split('/').slice(1)) {
    const name = decodeUri(part)?.replace(/~1/g, '/').replace(/~0/g, '~');
    if (name === undefined)
      return refuse(pointer, '$ref', 'has a "%" that begins no escape of UTF-8', { code: 'bad-argument' });
    if ((!isObject(at) && !Array.isArray(at)) || !Object.hasOwn(at, name))
      return refuse(pointer, '$ref', 'names nothing in the schema', { code: 'bad-argument' });
    at = (at as Json)[name];
  }
  return at;
}

/** The keywords of a schema that bind, and their values in the form they must have. */
export class Keywords {
  readonly path: string;
  readonly constraints: Json;

  /** @throws ShishuError `unsupported` for a keyword that is not known, `bad-argument` for what is no schema */
  constructor({ schema, path }: Schema) {
    this.path = path;
    if (schema === false) refuse(path, 'false', 'allows no value', { code: 'bad-argument' });
    if (!isObject(schema)) refuse(path, String(schema), 'is no schema', { code: 'bad-argument' });
    const binding = Object.entries(schema as Json).filter(([key]) => !ANNOTATIONS.includes(key));
    for (const [key] of binding)
      if (!Object.hasOwn(KEYWORDS, key))
        refuse(path, key, 'is not supported', { mend: `Keywords: ${Object.keys(KEYWORDS).join(', ')}.` });
    this.constraints = Object.fromEntries(binding);
  }

  #wrong(keyword: string, wanted: string): never {
    return refuse(this.path, keyword, `is not ${wanted}`, { code: 'bad-argument' });
  }

  list(keyword: string, orNone = false): readonly unknown[] {
    const value = this.constraints[keyword] ?? (orNone ? [] : undefined);
    return Array.isArray(value) && (orNone || value.length > 0)
      ? value
      : this.#wrong(keyword, 'a list of some');
  }

  object(keyword: string): Json {
    const value = this.constraints[keyword] ?? {};
    return isObject(value) ? value : this.#wrong(keyword, 'an object');
  }

  number(keyword: string): number | undefined {
    const value = this.constraints[keyword];
    return value === undefined || Number.isFinite(value)
      ? (value as number | undefined)
      : this.#wrong(keyword, 'a number');
  }

  /** Least and most of something that is counted. */
  count(least: string, most: string): [number, number] {
    const [min, max] = [this.number(least) ?? 0, this.number(most) ?? Number.POSITIVE_INFINITY];
    for (const [keyword, value] of [
      [least, min],
      [most, max],
    ] as const)
      if (value < 0 || (Number.isFinite(value) && !Number.isInteger(value)))
        this.#wrong(keyword, 'a whole number');
    if (max < min) refuse(this.path, most, `is below "${least}"`, { code: 'bad-argument' });
    return [min, max];
  }

  /** The types that values may have: as declared, else those that the keywords speak of, else all. */
  types(): readonly TypeName[] {
    const { type, nullable, enum: list } = this.constraints;
    const implied = new Set(Object.keys(this.constraints).map((key) => KEYWORDS[key]));
    implied.delete(undefined);
    const declared = (
      type === undefined ? (implied.size > 0 ? [...implied] : TYPES) : [type].flat()
    ) as TypeName[];
    if (declared.length === 0) this.#wrong('type', 'a type, or a list of types');
    for (const name of declared)
      if (name !== 'integer' && !TYPES.includes(name)) this.#wrong('type', 'a type, or a list of types');
    return nullable === true && list === undefined && !declared.includes('null')
      ? [...declared, 'null']
      : declared;
  }

  /** The values of `enum` or `const` that are of the type; undefined where there is neither. */
  values(): readonly unknown[] | undefined {
    const all =
      this.constraints.enum !== undefined
        ? this.list('enum')
        : 'const' in this.constraints
          ? [this.constraints.const]
          : undefined;
    const types = this.types();
    return all?.filter((value) => {
      const type = typeOf(value);
      return types.includes(type) || (type === 'integer' && types.includes('number'));
    });
  }
}

function typeOf(value: unknown): TypeName {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value as 'object' | 'string' | 'boolean';
}

/**
 * Whether no value can be valid in both: their types differ, or their values are listed and differ, or both are objects
 * that must have a member whose schemas are disjoint. False where that is not plain.
 */
export function disjoint(root: unknown, a: Schema, b: Schema): boolean {
  const [one, other] = [followed(root, a), followed(root, b)];
  if (!one || !other) return false;
  const [values, others] = [one.values(), other.values()];
  if (values && others) {
    const texts = new Set(others.map((value) => JSON.stringify(value)));
    return values.every((value) => !texts.has(JSON.stringify(value)));
  }
  const types = (keywords: Keywords): TypeName[] =>
    (keywords.values()?.map(typeOf) ?? [...keywords.types()]).map((type) =>
      type === 'integer' ? 'number' : type,
    );
  const common = types(one).filter((type) => types(other).includes(type));
  if (common.length === 0) return true;
  if (common.some((type) => type !== 'object') || values || others) return false;
  const required = (keywords: Keywords): readonly unknown[] => keywords.list('required', true);
  return Object.keys(one.object('properties')).some(
    (name) =>
      required(one).includes(name) &&
      required(other).includes(name) &&
      Object.hasOwn(other.object('properties'), name) &&
      disjoint(
        root,
        { schema: one.object('properties')[name], path: one.path },
        { schema: other.object('properties')[name], path: other.path },
      ),
  );
}

/** The keywords of a schema, or of the one it refers to; undefined for alternatives and for `true`. */
function followed(root: unknown, { schema, path }: Schema, hops = 0): Keywords | undefined {
  if (typeof schema === 'boolean' || hops > 100) return undefined;
  const keywords = new Keywords({ schema, path });
  const { $ref, anyOf, oneOf } = keywords.constraints;
  if (anyOf !== undefined || oneOf !== undefined) return undefined;
  if (typeof $ref !== 'string') return keywords;
  return followed(root, { schema: schemaAt(root, $ref), path: $ref }, hops + 1);
}
