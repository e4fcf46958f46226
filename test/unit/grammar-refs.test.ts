// References by pointer, by name and by address lead where JSON Schema says; ajv is the judge where it agrees to read them.
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { callConstraint } from '../../src/api/tool-calls.ts';
import { compileConstraint } from '../../src/grammar/constraint.ts';

function allows(schema: object, text: string): boolean {
  const automaton = compileConstraint({ jsonSchema: schema });
  return automaton.run(automaton.start, new TextEncoder().encode(text))?.accepting ?? false;
}

const RESOURCES = {
  $id: 'https://example.org/root.json',
  type: 'object',
  properties: {
    whole: { $ref: 'item.json' },
    part: { $ref: 'item.json#/properties/q' },
    named: { $ref: 'item.json#eight' },
    absolute: { $ref: 'https://example.org/root.json#/$defs/nine' },
    rooted: { $ref: '/root.json#/$defs/nine' },
  },
  additionalProperties: false,
  $defs: {
    nine: { const: 9 },
    item: {
      $id: 'item.json',
      type: 'object',
      properties: { q: { $ref: '#/$defs/seven' } },
      required: ['q'],
      additionalProperties: false,
      $defs: { seven: { const: 7 }, eight: { $anchor: 'eight', const: 8 } },
    },
  },
};

const CASES: [string, object, string[], string[]][] = [
  [
    '$anchor',
    { $ref: '#colour', $defs: { c: { $anchor: 'colour', enum: ['red'] } } },
    ['"red"'],
    ['{}', '"blue"', 'null'],
  ],
  [
    'an $anchor within others',
    {
      type: 'object',
      properties: { a: { $ref: '#deep' } },
      required: ['a'],
      $defs: { x: { type: 'object', properties: { y: { anyOf: [{ $anchor: 'deep', const: 1 }] } } } },
    },
    ['{"a":1}'],
    ['{"a":{}}', '{}'],
  ],
  [
    '$dynamicRef to the root',
    { $dynamicAnchor: 'r', type: 'array', items: { $dynamicRef: '#r' } },
    ['[[]]'],
    ['[1]'],
  ],
  ['$ref to a $dynamicAnchor', { $ref: '#n', $defs: { n: { $dynamicAnchor: 'n', const: 2 } } }, ['2'], ['1']],
  [
    '$id',
    RESOURCES,
    ['{"whole":{"q":7},"part":7,"named":8,"absolute":9,"rooted":9}'],
    ['{"whole":7}', '{"part":8}', '{"named":7}', '{"absolute":8}'],
  ],
  [
    'an $id without an address of its own',
    {
      $ref: 'a',
      $defs: {
        a: { $id: 'a', items: { $ref: '#b' }, type: 'array', $defs: { b: { $anchor: 'b', const: 1 } } },
      },
    },
    ['[1,1]'],
    ['[2]', '1'],
  ],
  ['a urn', { $ref: 'urn:example:a', $defs: { a: { $id: 'urn:example:a', const: 5 } } }, ['5'], ['6']],
  ['escapes', { $ref: '#/$defs/a%25b~1c%20~0%C3%A9', $defs: { 'a%b/c ~é': { const: 3 } } }, ['3'], ['4']],
  ['an escape before a tilde', { $ref: '#/$defs/~01', $defs: { '~1': { const: 3 } } }, ['3'], ['4']],
  ['nested $defs', { $ref: '#/$defs/o/$defs/i', $defs: { o: { $defs: { i: { const: 2 } } } } }, ['2'], ['1']],
  [
    'places in lists',
    { anyOf: [{ const: 1 }, { type: 'array', items: { $ref: '#/anyOf/0' } }] },
    ['1', '[1,1]'],
    ['[[1]]'],
  ],
  [
    'names in what holds no schema are none',
    { $ref: '#x', const: undefined, default: { $anchor: 'x' }, $defs: { x: { $anchor: 'x', const: 1 } } },
    ['1'],
    ['2'],
  ],
];

test.each(CASES)('%s', (_, schema, good, bad) => {
  const plain = JSON.parse(JSON.stringify(schema)) as object;
  const validate = new Ajv2020({ strict: false }).compile(plain);
  for (const text of good) {
    expect(validate(JSON.parse(text)), text).toBe(true);
    expect(allows(plain, text), text).toBe(true);
  }
  for (const text of bad) {
    expect(validate(JSON.parse(text)), text).toBe(false);
    expect(allows(plain, text), text).toBe(false);
  }
});

// Ajv takes such a reference for one to the root.
test('$dynamicRef to a name that no other schema has', () => {
  const list = { $dynamicAnchor: 'n', type: 'array', items: { $dynamicRef: '#n' } };
  const schema = { type: 'object', properties: { a: { $dynamicRef: '#n' } }, $defs: { list } };
  expect(allows(schema, '{"a":[[],[[]]]}')).toBe(true);
  expect(allows(schema, '{"a":{}}')).toBe(false);
});

test('a name as drafts before 2019 write it', () => {
  expect(allows({ $ref: '#x', definitions: { a: { $id: '#x', const: 3 } } }, '3')).toBe(true);
});

/** How a call of one tool must begin and end around its arguments. */
const called = (args: string): string => `<tool_call>\n{"name":"f","arguments":${args}}\n</tool_call>`;

describe('tools', () => {
  const allowsCall = (parameters: Record<string, unknown>, args: string): boolean => {
    const tools = [0, 1].map((i) => ({
      type: 'function' as const,
      function: { name: i ? 'f' : 'g', parameters },
    }));
    const automaton = compileConstraint(callConstraint('hermes', tools));
    return automaton.run(automaton.start, new TextEncoder().encode(called(args)))?.accepting ?? false;
  };

  test.each(CASES.filter(([, , good]) => good.every((text) => text.startsWith('{'))))(
    'parameters with %s',
    (_, schema, good, bad) => {
      for (const args of good) expect(allowsCall(schema as Record<string, unknown>, args), args).toBe(true);
      for (const args of bad) expect(allowsCall(schema as Record<string, unknown>, args), args).toBe(false);
    },
  );

  test.each(['#/$defs/c', '#colour', '#/properties/other/items'])('a property refers to %s', ($ref) => {
    const parameters = {
      type: 'object',
      properties: { a: { $ref }, other: { type: 'array', items: { const: 'red' } } },
      required: ['a'],
      additionalProperties: false,
      $defs: { c: { $anchor: 'colour', const: 'red' } },
    };
    expect(allowsCall(parameters, '{"a":"red"}')).toBe(true);
    expect(allowsCall(parameters, '{"a":{}}')).toBe(false);
  });

  test.each(['enum', 'const', '$ref', 'default', 'examples', '$anchor', '$id'])(
    'a parameter may be named %s',
    (name) => {
      const parameters = {
        type: 'object',
        properties: { [name]: { $ref: '#/$defs/n' } },
        required: [name],
        $defs: { n: { type: 'array', items: { $ref: '#/$defs/n' } } },
      };
      expect(allowsCall(parameters, `{"${name}":[[]]}`)).toBe(true);
      expect(allowsCall(parameters, `{"${name}":1}`)).toBe(false);
    },
  );

  test('the root of a tool is its own', () => {
    const parameters = { type: 'object', properties: { next: { $ref: '#' } }, additionalProperties: false };
    expect(allowsCall(parameters, '{"next":{"next":{}}}')).toBe(true);
    expect(allowsCall(parameters, '{"next":{"name":"f"}}')).toBe(false);
  });

  test('tools may have the same $id', () => {
    const parameters = {
      $id: 'x',
      type: 'object',
      properties: { a: { $ref: '#n' } },
      $defs: { n: { $anchor: 'n', const: 1 } },
    };
    expect(allowsCall(parameters, '{"a":1}')).toBe(true);
  });
});

test.each<[object, string, RegExp]>([
  [{ $ref: '#nothing', $defs: { c: { $anchor: 'colour' } } }, 'bad-argument', /#nothing/],
  [{ $dynamicRef: '#nothing' }, 'bad-argument', /#nothing/],
  [{ $ref: 'other.json' }, 'unsupported', /other\.json/],
  [{ $ref: 'https://example.org/x#y' }, 'unsupported', /example\.org/],
  [{ $ref: 7 }, 'bad-argument', /\$ref/],
  [{ $ref: '#/$defs/%zz' }, 'bad-argument', /\$defs/],
  [
    {
      $dynamicRef: '#n',
      $defs: { a: { $id: 'a', $dynamicAnchor: 'n', const: 1 } },
      $dynamicAnchor: 'n',
    },
    'unsupported',
    /\$dynamicRef/,
  ],
  [{ $ref: 'a', $defs: { b: { $id: 'a', const: 1 }, c: { $id: 'a', const: 2 } } }, 'unsupported', /two/],
  [{ $recursiveRef: '#' }, 'unsupported', /\$recursiveRef/],
])('%j is refused by name', (schema, code, message) => {
  expect(() => compileConstraint({ jsonSchema: schema })).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(message) }),
  );
});
