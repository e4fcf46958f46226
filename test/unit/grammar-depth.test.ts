// What is nested too deep, or is very long, is run or gets an error of ours; the stack never ends it.
import { describe, expect, test } from 'vitest';
import { type ChatModel, chatCompletions } from '../../src/api/openai.ts';
import { MaskCache } from '../../src/engine/mask-cache.ts';
import { ShishuError } from '../../src/errors.ts';
import type { Tokenizer } from '../../src/formats/tokenizer.ts';
import { type Constraint, compileConstraint } from '../../src/grammar/constraint.ts';

const DEEP = [3000, 100_000];
const nest = (depth: number, inner: unknown, around: (value: unknown) => unknown): unknown => {
  let value = inner;
  for (let i = 0; i < depth; i++) value = around(value);
  return value;
};

function typed(call: () => unknown): ShishuError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(ShishuError);
    return error as ShishuError;
  }
  throw new Error('nothing was refused');
}

describe.each(DEEP)('%i deep', (depth) => {
  test.each<[string, Constraint]>([
    ['groups', { regex: `${'('.repeat(depth)}a${')'.repeat(depth)}` }],
    ['open groups', { regex: '(?:'.repeat(depth) }],
    ['alternatives', { regex: `${'(a|'.repeat(depth)}b${')'.repeat(depth)}` }],
    ['repetitions', { regex: `${'('.repeat(depth)}a${'b)*'.repeat(depth)}` }],
    ['a pattern', { jsonSchema: { type: 'string', pattern: `${'('.repeat(depth)}a${')'.repeat(depth)}` } }],
    ['items', { jsonSchema: nest(depth, {}, (items) => ({ type: 'array', items })) as object }],
    ['properties', { jsonSchema: nest(depth, true, (a) => ({ properties: { a } })) as object }],
    ['anyOf', { jsonSchema: nest(depth, {}, (inner) => ({ anyOf: [inner, { type: 'null' }] })) as object }],
    ['oneOf', { jsonSchema: nest(depth, {}, (inner) => ({ oneOf: [inner] })) as object }],
    ['a const', { jsonSchema: { const: nest(depth, 1, (value) => [value]) } }],
    ['an annotation', { jsonSchema: { type: 'null', default: nest(depth, 1, (value) => ({ value })) } }],
  ])('%s are refused', (_, constraint) => {
    expect(typed(() => compileConstraint(constraint)).code).toMatch(/^(unsupported|bad-argument)$/);
    const cache = new MaskCache({ tokenBytes: () => [] } as unknown as Tokenizer, 32);
    expect(typed(() => cache.of(constraint)).message).toMatch(/nested/);
  });

  test('references in a row are refused', () => {
    const $defs = Object.fromEntries(
      Array.from({ length: depth }, (_, i) => [`d${i}`, { $ref: `#/$defs/d${i + 1}` }]),
    );
    const schema = { $ref: '#/$defs/d0', $defs: { ...$defs, [`d${depth}`]: { const: 1 } } };
    expect(typed(() => compileConstraint({ jsonSchema: schema })).message).toMatch(/nested/);
  });

  test.each<[string, (value: unknown) => object]>([
    [
      'response_format.json_schema.schema',
      (value) => ({ response_format: { type: 'json_schema', json_schema: { schema: value } } }),
    ],
    ['response_format.schema', (value) => ({ response_format: { type: 'json_object', schema: value } })],
    [
      'tools[0]',
      (value) => ({
        tools: [
          { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: value } } },
        ],
      }),
    ],
    [
      'messages[0].tool_calls[0].function.arguments',
      () => ({
        messages: [
          {
            role: 'assistant',
            content: null,
            tool_calls: [
              {
                type: 'function',
                function: { name: 'f', arguments: `${'['.repeat(depth)}${']'.repeat(depth)}` },
              },
            ],
          },
        ],
      }),
    ],
  ])('%s of a chat is refused', async (field, extra) => {
    const { completions } = { completions: chatCompletions({ toolFormat: 'hermes' } as ChatModel) };
    const value = nest(depth, {}, (items) => ({ items }));
    const request = { messages: [{ role: 'user', content: 'x' }], ...extra(value) };
    const error = await completions.create(request as never).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'bad-argument', details: { field } });
  });
});

test('a schema that holds itself is refused', () => {
  const schema: Record<string, unknown> = { type: 'array' };
  schema.items = schema;
  expect(typed(() => compileConstraint({ jsonSchema: schema })).code).toBe('bad-argument');
});

test('what is deep as people write it runs', () => {
  const schema = nest(100, { const: 1 }, (a) => ({ type: 'object', properties: { a }, required: ['a'] }));
  const automaton = compileConstraint({ jsonSchema: schema as object });
  const text = `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`;
  expect(automaton.run(automaton.start, new TextEncoder().encode(text))?.accepting).toBe(true);
  expect(() => compileConstraint({ regex: `${'('.repeat(200)}a${')?'.repeat(200)}` })).not.toThrow();
});

test.each<[string, Constraint, string]>([
  ['a text', { regex: 'ab'.repeat(50_000) }, 'abab'],
  ['a class', { regex: `[${'ab'.repeat(50_000)}]` }, 'a'],
  ['alternatives', { regex: 'ab|'.repeat(50_000) }, 'ab'],
  ['an enum', { jsonSchema: { enum: Array.from({ length: 20_000 }, (_, i) => `v${i}`) } }, '"v19999"'],
  ['a const', { jsonSchema: { const: 'x'.repeat(150_000) } }, '"xxx'],
])('%s may be long', (_, constraint, text) => {
  const automaton = compileConstraint(constraint);
  expect(automaton.run(automaton.start, new TextEncoder().encode(text))).not.toBeNull();
});

test('a reply may be nested as deep as it likes', () => {
  const automaton = compileConstraint({ jsonSchema: { type: 'array', items: { $ref: '#' } } });
  const text = `${'['.repeat(3000)}${']'.repeat(3000)}`;
  expect(automaton.run(automaton.start, new TextEncoder().encode(text))?.accepting).toBe(true);
});
