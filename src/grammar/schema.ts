import { ShishuError } from '../errors.ts';

export type TypeName = 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean' | 'null';

export const TYPES: readonly TypeName[] = ['object', 'array', 'string', 'number', 'boolean', 'null'];

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
  $dynamicRef: undefined,
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  items: 'array',
  prefixItems: 'array',
  additionalItems: 'array',
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
  '$anchor',
  '$dynamicAnchor',
  '$vocabulary',
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
  'contentEncoding',
  'contentMediaType',
  'contentSchema',
  // OpenAPI's.
  'discriminator',
  'example',
  'externalDocs',
  'xml',
];

const isAnnotation = (key: string): boolean => ANNOTATIONS.includes(key) || key.startsWith('x-');

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

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A name in a JSON pointer. */
export const escaped = (name: string): string => name.replace(/~/g, '~0').replace(/\//g, '~1');

/** What stands in a schema under some names, each within the one before. */
export function subschema({ schema, path }: Schema, ...names: (string | number)[]): Schema {
  let at: unknown = schema;
  for (const name of names) at = (at as Json)[name];
  return {
    schema: at,
    path: [path, ...names.map((name) => escaped(String(name)))].join('/'),
  };
}

/** The keywords of a schema that constrain values, and what they hold, checked. */
export class Keywords {
  readonly path: string;
  readonly constraints: Json;

  /** @throws ShishuError `unsupported` for a keyword that is not known, `bad-argument` for what is no schema */
  constructor({ schema, path }: Schema) {
    this.path = path;
    if (schema === false) refuse(path, 'false', 'allows no value', { code: 'bad-argument' });
    if (!isObject(schema)) refuse(path, String(schema), 'is no schema', { code: 'bad-argument' });
    const binding = Object.entries(schema as Json).filter(([key]) => !isAnnotation(key));
    for (const [key] of binding)
      if (!Object.hasOwn(KEYWORDS, key))
        refuse(path, key, 'is not supported', { mend: `Keywords: ${Object.keys(KEYWORDS).join(', ')}.` });
    this.constraints = Object.fromEntries(binding);
  }

  #wrong(keyword: string, wanted: string): never {
    return refuse(this.path, keyword, `is not ${wanted}`, { code: 'bad-argument' });
  }

  /** A list of some, or of none too. */
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

  /** Minimum and maximum of a count. */
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

  /** The types that values may have: as declared, else those that the keywords imply, else all; limited to `narrow`. */
  types(narrow?: readonly TypeName[]): readonly TypeName[] {
    const all = this.#declared();
    return narrow ? all.flatMap((type) => common(type, narrow)) : all;
  }

  #declared(): readonly TypeName[] {
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
  values(narrow?: readonly TypeName[]): readonly unknown[] | undefined {
    const all =
      this.constraints.enum !== undefined
        ? this.list('enum')
        : 'const' in this.constraints
          ? [this.constraints.const]
          : undefined;
    const types = this.types(narrow);
    return all?.filter((value) => {
      const type = typeOf(value);
      return types.includes(type) || (type === 'integer' && types.includes('number'));
    });
  }
}

/** The intersection of a type with some types: itself, or the narrower of `number` and `integer`. */
function common(type: TypeName, some: readonly TypeName[]): TypeName[] {
  if (some.includes(type) || (type === 'integer' && some.includes('number'))) return [type];
  return type === 'number' && some.includes('integer') ? ['integer'] : [];
}

export function typeOf(value: unknown): TypeName {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value as 'object' | 'string' | 'boolean';
}
