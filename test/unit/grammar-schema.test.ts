// What a schema allows always parses and validates; ajv is the judge.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { compileConstraint, Masks } from '../../src/grammar/constraint.ts';
import { Vocabulary } from '../../src/grammar/vocabulary.ts';
import { randomReply, tokensOfTexts } from '../support/grammar-replies.ts';
import { mulberry32 } from '../support/random.ts';

const ajv = new Ajv2020({ strict: false, validateFormats: false });
const tokens = tokensOfTexts([
  '{"',
  '": ',
  '"}',
  '",',
  '", "',
  '1',
  '10',
  '-1',
  'true',
  '\\n',
  '\\"',
  '日本',
  '\n  ',
  'é"',
]);
const END = tokens.length;
const vocabulary = new Vocabulary([...tokens, undefined]);

/** Replies under a schema, each judged; returns how many ended. */
function judge(schema: object | boolean, runs: number, seed: number): unknown[] {
  const validate = ajv.compile(schema);
  const masks = new Masks({ jsonSchema: schema }, vocabulary, Math.ceil((END + 1) / 32));
  const random = mulberry32(seed);
  const values: unknown[] = [];
  for (let run = 0; run < runs; run++) {
    const text = randomReply(masks.reply([END]), tokens, { end: END, random });
    if (text === undefined) continue;
    const value: unknown = JSON.parse(text);
    expect(
      validate(value),
      `${JSON.stringify(schema)} allowed ${text}: ${ajv.errorsText(validate.errors)}`,
    ).toBe(true);
    values.push(value);
  }
  return values;
}

/** Whether a schema allows a text. */
function allows(schema: object | boolean, text: string): boolean {
  const automaton = compileConstraint({ jsonSchema: schema });
  return automaton.run(automaton.start, new TextEncoder().encode(text))?.accepting ?? false;
}

const TREE = {
  $ref: '#/$defs/node',
  $defs: {
    node: {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 4 },
        children: { type: 'array', items: { $ref: '#/$defs/node' } },
      },
      required: ['name'],
      additionalProperties: false,
    },
  },
};

describe('schemas by hand', () => {
  test.each<[string, object | boolean]>([
    ['anything', true],
    ['an object', { type: 'object' }],
    ['recursion', TREE],
    ['a root that holds itself', { type: ['array', 'null'], items: { $ref: '#' }, maxItems: 2 }],
    [
      'optional members',
      { properties: { a: { type: 'null' }, b: { type: 'boolean' }, c: { const: 1 } }, required: ['b'] },
    ],
    [
      'other members',
      {
        type: 'object',
        properties: { a: { const: 1 }, ab: { const: 2 }, 'é"': { const: 3 } },
        additionalProperties: { type: 'boolean' },
      },
    ],
    [
      'required, not declared',
      { type: 'object', required: ['x', 'y'], additionalProperties: { type: 'integer' } },
    ],
    ['lengths in characters', { type: 'string', minLength: 2, maxLength: 5 }],
    ['a pattern anywhere', { type: 'string', pattern: '[0-9]"?|\\\\$' }],
    ['a pattern of the whole', { type: 'string', pattern: '^[^a-z]{2,4}$|^\\n+$' }],
    ['lists', { type: 'array', items: { enum: ['a', 1, null, { b: [1] }] }, minItems: 2, maxItems: 3 }],
    ['no items', { type: 'array', items: false }],
    [
      'a tuple',
      { prefixItems: [{ const: 1 }, { type: 'boolean' }], items: { const: 'x' }, minItems: 1, maxItems: 4 },
    ],
    ['a tuple that must be longer', { prefixItems: [{ const: 1 }], minItems: 2, maxItems: 2 }],
    ['a tuple that ends', { prefixItems: [{ const: 1 }, false, {}] }],
    [
      'annotations',
      {
        type: 'object',
        discriminator: { propertyName: 'a' },
        externalDocs: {},
        'x-own': { not: 1 },
        properties: { a: { type: 'boolean', example: { $ref: '#/none' }, 'x-order': 1 } },
      },
    ],
    [
      'a type beside alternatives',
      { type: 'object', anyOf: [{ const: 1 }, { required: ['a'], properties: { a: {} } }] },
    ],
    ['integers', { type: 'integer' }],
    ['integers between', { type: 'integer', minimum: -13, exclusiveMaximum: 105 }],
    ['integers from', { type: 'integer', exclusiveMinimum: 97 }],
    ['numbers', { type: 'number' }],
    ['numbers between', { type: 'number', exclusiveMinimum: 0.2, maximum: 0.35 }],
    ['numbers below', { type: 'number', exclusiveMaximum: -1.5 }],
    ['several types', { type: ['integer', 'string', 'null'], maximum: 3, maxLength: 2 }],
    ['nullable', { type: 'string', nullable: true, maxLength: 1 }],
    [
      'alternatives',
      {
        anyOf: [
          { type: 'integer', maximum: 5 },
          { type: 'number', minimum: 3 },
          TREE.$defs.node.properties.name,
        ],
      },
    ],
    ['one of types', { oneOf: [{ type: 'string', maxLength: 2 }, { type: 'number' }, { const: true }] }],
    [
      'one of kinds',
      {
        oneOf: ['a', 'b'].map((kind) => ({
          type: 'object',
          properties: { kind: { const: kind } },
          required: ['kind'],
        })),
      },
    ],
  ])('%s', (_, schema) => {
    expect(judge(schema, 15, 11).length).toBeGreaterThan(12);
  });

  test.each([
    ['date', '2024-02-28', '2024-02-30'],
    ['time', '23:59:59Z', '24:00:00Z'],
    ['date-time', '2024-12-01T00:00:00.5+01:00', '2024-12-01'],
    ['uuid', '123e4567-e89b-12d3-a456-426614174000', '123e4567'],
    ['ipv4', '255.0.10.99', '256.0.0.1'],
    ['email', 'a.b@c-d.org', 'a@b'],
  ])('format %s', (format, good, bad) => {
    expect(allows({ type: 'string', format }, `"${good}"`)).toBe(true);
    expect(allows({ type: 'string', format }, `"${bad}"`)).toBe(false);
  });

  test('bounds are met, and hold on both sides', () => {
    for (const [low, high] of [
      [-3, 12],
      [0, 0],
      [99, 1001],
      [-250, -5],
      [7, 999_999],
    ] as const)
      for (const value of [
        low - 1,
        low,
        low + 1,
        high - 1,
        high,
        high + 1,
        Math.floor((low + high) / 2),
        -high,
      ])
        expect(
          allows({ type: 'integer', minimum: low, maximum: high }, String(value)),
          `${value} in ${low}..${high}`,
        ).toBe(value >= low && value <= high);
    const schema = { type: 'number', minimum: 0.1, exclusiveMaximum: 2.5 };
    for (const text of ['0.1', '0.10', '1', '2.49999', '2.0', '0.100000'])
      expect(allows(schema, text), text).toBe(true);
    for (const text of ['0', '0.09', '2.5', '2.50', '3', '-1', '01', '1.', '.5'])
      expect(allows(schema, text), text).toBe(false);
  });

  test('the layouts that models write are allowed, and nothing without end', () => {
    const value = { name: 'a', children: [{ name: 'b' }, { name: 'c', children: [] }] };
    for (const indent of [undefined, 2, 4])
      expect(allows(TREE, JSON.stringify(value, null, indent))).toBe(true);
    expect(allows(TREE, '{"name": "a", "children": [ ]}')).toBe(true);
    expect(allows(TREE, `{"name":${' '.repeat(30)}"a"}`)).toBe(false);
    expect(allows(TREE, ' {"name":"a"}')).toBe(false);
  });
});

test('items as a list is a tuple, as drafts before 2020 have it', () => {
  const schema = { items: [{ const: 1 }, { type: 'boolean' }], additionalItems: { const: 'x' }, minItems: 1 };
  for (const text of ['[1]', '[1,true]', '[1,false,"x","x"]']) expect(allows(schema, text), text).toBe(true);
  for (const text of ['[]', '[true]', '[1,"x"]', '[1,true,2]'])
    expect(allows(schema, text), text).toBe(false);
  expect(allows({ ...schema, additionalItems: false }, '[1,true,"x"]')).toBe(false);
});

test('a declared name may come late where others may, and a model that began it may end it', () => {
  const schema = {
    type: 'object',
    properties: { a: { const: 1 }, name: { type: 'boolean' } },
    additionalProperties: { type: 'null' },
  };
  for (const text of [
    '{"name":true,"a":1}',
    '{"x":null,"name":false}',
    '{"names":null,"a":1}',
    '{"a":1,"name":true}',
  ])
    expect(allows(schema, text), text).toBe(true);
  for (const text of ['{"name":null}', '{"x":null,"a":null}', '{"x":1}'])
    expect(allows(schema, text), text).toBe(false);
});

/** A random schema of the supported kind. */
function randomSchema(random: () => number, depth: number): object | boolean {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
  const inner = (): object | boolean => randomSchema(random, depth - 1);
  const maybe = <T extends object>(made: T): T | object => (random() < 0.5 ? made : {});
  const least = Math.floor(random() * 3);
  const leaves = [
    () => ({ type: 'string', ...maybe({ minLength: least }), ...maybe({ maxLength: least + 3 }) }),
    () => ({ type: 'string', pattern: pick(['^a+', '[^a-z]$', '[^0-9]{2}', '^(x|"y")*$']) }),
    () => ({ type: 'integer', ...maybe({ minimum: -7 * least }), ...maybe({ maximum: 40 + least }) }),
    () => ({
      type: 'number',
      ...maybe({ minimum: least - 1.25 }),
      ...maybe({ exclusiveMaximum: least + 0.5 }),
    }),
    () => ({ enum: [random() < 0.5 ? 'é\n' : 'b', least, null, [1, 'x']] }),
    () => ({ const: pick(['x', 0.5, false, { a: 1 }]) }),
    () => ({ type: ['boolean', 'null'] }),
    () => ({ $ref: '#/$defs/tree' }),
  ];
  if (depth === 0) return pick(leaves)();
  return pick([
    ...leaves,
    () => ({ type: 'array', items: inner(), ...maybe({ minItems: least }), maxItems: least + 2 }),
    () => ({ anyOf: [inner(), inner()] }),
    ...Array(6).fill(() => {
      const names = ['a', 'b', 'long name', 'q"'].slice(0, 1 + Math.floor(random() * 4));
      const properties = Object.fromEntries(names.map((name) => [name, inner()]));
      const others = pick<object>([{}, { additionalProperties: false }, { additionalProperties: inner() }]);
      return { type: 'object', properties, required: names.filter(() => random() < 0.5), ...others };
    }),
  ])();
}

test('40 random schemas, 5 replies each', () => {
  const random = mulberry32(21);
  let ended = 0;
  for (let i = 0; i < 40; i++) {
    const schema = randomSchema(random, 3);
    const whole = {
      ...(schema as object),
      $defs: { tree: { type: 'array', items: { $ref: '#/$defs/tree' }, maxItems: 2 } },
    };
    ended += judge(whole, 5, 100 + i).length;
  }
  expect(ended).toBeGreaterThan(185);
});

describe('refusals name keyword and path', () => {
  test.each<[unknown, string, string, string]>([
    [{ type: 'object', properties: { a: { multipleOf: 2 } } }, 'unsupported', 'multipleOf', '#/properties/a'],
    [{ items: { not: {} } }, 'unsupported', 'not', '#/items'],
    [
      { $defs: { 'a/b': { uniqueItems: true } }, $ref: '#/$defs/a~1b' },
      'unsupported',
      'uniqueItems',
      '#/$defs/a~1b',
    ],
    [{ anyOf: [{ type: 'string' }, { format: 'hostname' }] }, 'unsupported', 'format', '#/anyOf/1'],
    [{ type: 'string', pattern: '(?!a)' }, 'unsupported', 'pattern', '#'],
    [{ type: 'string', pattern: 'a', minLength: 3 }, 'unsupported', 'minLength', '#'],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'unsupported', 'oneOf', '#'],
    [{ $ref: 'https://example.com/schema' }, 'unsupported', '$ref', '#'],
    [{ $ref: '#/$defs/none' }, 'bad-argument', '$ref', '#/$defs/none'],
    [{ anyOf: [{}], minimum: 1 }, 'unsupported', 'minimum', '#'],
    [{ type: 'text' }, 'bad-argument', 'type', '#'],
    [{ type: [] }, 'bad-argument', 'type', '#'],
    [{ anyOf: [] }, 'bad-argument', 'anyOf', '#'],
    [{ type: 'integer', minimum: 0.1, maximum: 0.9 }, 'bad-argument', 'minimum', '#'],
    [{ type: 'string', minLength: 4, maxLength: 3 }, 'bad-argument', 'maxLength', '#'],
    [{ type: 'string', enum: [1] }, 'bad-argument', 'enum', '#'],
    [{ properties: [] }, 'bad-argument', 'properties', '#'],
    [{ items: 'string' }, 'bad-argument', 'string', '#/items'],
  ])('%j', (schema, code, keyword, path) => {
    let error: unknown;
    try {
      compileConstraint({ jsonSchema: schema as object });
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ code, details: { keyword, path } });
  });

  test.each([
    { $ref: '#' },
    { anyOf: [{ $ref: '#' }, { $ref: '#' }] },
    { type: 'object', properties: { next: { $ref: '#' } }, required: ['next'] },
  ])('%j has no finite value', (schema) => {
    expect(() => compileConstraint({ jsonSchema: schema })).toThrow(
      expect.objectContaining({ code: 'bad-argument' }),
    );
  });

  test('an alternative without a finite value is never begun', () => {
    const endless = { type: 'object', properties: { x: { $ref: '#/anyOf/0' } }, required: ['x'] };
    expect(judge({ anyOf: [endless, { type: 'null' }] }, 3, 1)).toEqual([null, null, null]);
  });
});
