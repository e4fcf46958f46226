import { ShishuError } from '../errors.ts';
import { ANY, type Characters, without } from './characters.ts';
import { disjoint } from './disjoint.ts';
import { jsonSpelling } from './json-string.ts';
import { type Bounds, integers, numbers } from './numbers.ts';
import { Refs } from './refs.ts';
import { regex, type Spelling } from './regex.ts';
import { Keywords, refuse, type Schema, subschema, TYPES, type TypeName } from './schema.ts';
import type { Term, Terms } from './term.ts';
import { words } from './words.ts';

const ENDLESS = Number.POSITIVE_INFINITY;

/** Patterns for `format`. They allow only what is valid by any reading of the format, as days up to the 28th. */
const DATE = '\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])';
const TIME = '([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-](0\\d|1[0-2]):[0-5]\\d)';
const OCTET = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const FORMATS: Record<string, string> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
  ipv4: `${OCTET}(\\.${OCTET}){3}`,
  email:
    '[A-Za-z0-9_+-]{1,32}(\\.[A-Za-z0-9_+-]{1,32}){0,2}@([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\\.){1,3}[a-z]{2,10}',
};

/**
 * JSON texts that a schema allows, as a term. Every text of the term parses and validates; not every valid text is in it:
 * properties come in the order of `properties`, others only where `additionalProperties` asks for them (or nothing is
 * declared), and among those also declared ones; strings have no needless escapes, numbers few digits, and between tokens
 * stands at most a line end with 20 spaces.
 *
 * Keywords: `type` (one or a list), `nullable`, `enum`, `const`, `anyOf`, `oneOf` (of alternatives that plainly exclude
 * each other), `$ref` and `$dynamicRef` within the schema (also recursive, to `$anchor`, `$dynamicAnchor` and `$id`),
 * `properties`, `required`, `additionalProperties`, `items` (also a list), `prefixItems`, `additionalItems`, `minItems`,
 * `maxItems`, `minLength`, `maxLength`, `pattern`, `format` (date, time, date-time, uuid, ipv4, email), `minimum`, `maximum`,
 * `exclusiveMinimum`, `exclusiveMaximum`; annotations are ignored.
 * @throws ShishuError `unsupported` or `bad-argument` with the keyword and the JSON pointer of its schema
 */
export function jsonSchema(terms: Terms, schema: unknown): Term {
  return new Compiler(terms, schema).compile();
}

class Compiler {
  readonly #terms: Terms;
  readonly #refs: Refs;
  readonly #root: Schema;
  readonly #spell: Spelling;
  readonly #space: Term;
  /** Rules that were referred to and not defined yet. They are defined in a loop: a chain of references may be long. */
  readonly #pending: (() => void)[] = [];

  constructor(terms: Terms, root: unknown) {
    this.#terms = terms;
    this.#root = { schema: root, path: '#' };
    this.#refs = new Refs(root);
    this.#spell = jsonSpelling(terms);
    const indent = terms.seq(terms.text('\n'), terms.repeat(terms.text(' '), 0, 20));
    this.#space = terms.maybe(terms.alt(terms.text(' '), indent));
  }

  compile(): Term {
    const start = this.#rule(this.#root);
    for (let make = this.#pending.pop(); make; make = this.#pending.pop()) make();
    return start;
  }

  /** A schema as a rule, so that it may contain itself. */
  #rule(at: Schema, narrow?: readonly TypeName[]): Term {
    const name = narrow ? `${at.path} ${narrow}` : at.path;
    const rule = this.#terms.rule(name);
    if (!this.#terms.isDefined(name)) {
      // For references inside of it.
      this.#terms.define(name, this.#terms.never);
      this.#pending.push(() => this.#terms.define(name, this.#value(at, narrow)));
    }
    return rule;
  }

  /** Values of a schema; only those of some types, where given. */
  #value(at: Schema, narrow?: readonly TypeName[]): Term {
    const { schema, path } = at;
    if (schema === true) return this.#anything(narrow);
    const node = new Keywords(at);
    const only = (...allowed: string[]): void => {
      const other = Object.keys(node.constraints).find((key) => !allowed.includes(key));
      if (other !== undefined) refuse(path, other, `beside "${allowed[0]}" is not supported`);
    };
    const { $ref, $dynamicRef, anyOf, oneOf, type } = node.constraints;
    const types = type === undefined ? narrow : node.types(narrow);
    if ($ref !== undefined || $dynamicRef !== undefined) {
      const keyword = $ref !== undefined ? '$ref' : '$dynamicRef';
      only(keyword, 'type');
      return this.#rule(this.#refs.follow(keyword, $ref ?? $dynamicRef, at), types);
    }
    if (anyOf !== undefined || oneOf !== undefined) {
      const keyword = anyOf !== undefined ? 'anyOf' : 'oneOf';
      only(keyword, 'type');
      const branches = node.list(keyword).map((_, i) => subschema(at, keyword, i));
      const overlap = (a: Schema, i: number): boolean =>
        branches.slice(i + 1).some((b) => !disjoint(this.#refs, a, b));
      if (keyword === 'oneOf' && branches.some(overlap))
        refuse(path, 'oneOf', 'has alternatives that may hold at once', { mend: 'Use anyOf.' });
      return this.#terms.any(branches.map((branch) => this.#value(branch, types)));
    }
    const values = node.values(narrow);
    if (values) {
      const keyword = node.constraints.enum !== undefined ? 'enum' : 'const';
      only(keyword, 'type', 'nullable');
      if (values.length === 0 && !narrow)
        refuse(path, keyword, 'has no value of the type', { code: 'bad-argument' });
      return words(
        this.#terms,
        values.map((value) => JSON.stringify(value)),
      );
    }
    if (Object.keys(node.constraints).length === 0) return this.#anything(narrow);
    return this.#terms.any(node.types(narrow).map((each) => this.#typed(at, node, each)));
  }

  #typed(at: Schema, node: Keywords, type: TypeName): Term {
    switch (type) {
      case 'null':
        return this.#terms.text('null');
      case 'boolean':
        return this.#terms.alt(this.#terms.text('true'), this.#terms.text('false'));
      case 'integer':
      case 'number':
        return this.#number(at, node, type);
      case 'string':
        return this.#string(at, node);
      case 'array':
        return this.#array(at, node);
      case 'object':
        return this.#object(at, node);
    }
  }

  /** Any JSON value, or any of some types. */
  #anything(narrow?: readonly TypeName[]): Term {
    if (narrow)
      return this.#terms.any(narrow.map((type) => this.#value({ schema: { type }, path: 'any value' })));
    return this.#rule({ schema: { type: [...TYPES] }, path: 'any value' });
  }

  #number({ path }: Schema, node: Keywords, type: 'integer' | 'number'): Term {
    const [low, lowOut] = tightest(node.number('minimum'), node.number('exclusiveMinimum'), Math.max);
    const [high, highOut] = tightest(node.number('maximum'), node.number('exclusiveMaximum'), Math.min);
    const bounds: Bounds = { low, high, lowOut, highOut };
    const term = (type === 'integer' ? integers : numbers)(this.#terms, bounds);
    const keyword = low !== undefined ? 'minimum' : 'maximum';
    return term ?? refuse(path, keyword, 'leaves no number that can be written', { code: 'bad-argument' });
  }

  #quoted(content: Term): Term {
    return this.#terms.seq(this.#terms.text('"'), content, this.#terms.text('"'));
  }

  #string({ path }: Schema, node: Keywords): Term {
    const { pattern, format } = node.constraints;
    const [min, max] = node.count('minLength', 'maxLength');
    const set = ['pattern', 'format', 'minLength', 'maxLength'].filter((key) => key in node.constraints);
    const other = set.find((key) => key !== 'minLength' && key !== 'maxLength');
    if (other === undefined) return this.#quoted(this.#terms.repeat(this.#spell(ANY)!, min, max));
    if (set.length > 1) refuse(path, set.find((key) => key !== other)!, `beside "${other}" is not supported`);
    if (format !== undefined) {
      const pattern = Object.hasOwn(FORMATS, String(format)) ? FORMATS[String(format)] : undefined;
      if (pattern === undefined)
        refuse(path, 'format', `is ${String(format)}`, {
          mend: `Formats: ${Object.keys(FORMATS).join(', ')}.`,
        });
      return this.#quoted(regex(this.#terms, pattern!, { spell: this.#spell }));
    }
    if (typeof pattern !== 'string') refuse(path, 'pattern', 'is no text', { code: 'bad-argument' });
    try {
      return this.#quoted(regex(this.#terms, pattern as string, { spell: this.#spell, search: true }));
    } catch (error) {
      if (!(error instanceof ShishuError)) throw error;
      const { code, message, details } = error;
      throw new ShishuError(code, `At ${path}: ${message}`, {
        details: { ...details, path, keyword: 'pattern' },
      });
    }
  }

  /** `item` between `min` and `max` times with commas between. */
  #listed(item: Term, min: number, max: number): Term {
    if (max === 0) return this.#terms.empty;
    const more = this.#terms.seq(this.#comma(), item);
    const some = this.#terms.seq(item, this.#terms.repeat(more, Math.max(0, min - 1), max - 1));
    return min === 0 ? this.#terms.maybe(some) : some;
  }

  #comma(): Term {
    return this.#terms.seq(this.#terms.text(','), this.#space);
  }

  #array(at: Schema, node: Keywords): Term {
    const terms = this.#terms;
    const { first, rest, min, max } = places(at, node);
    const item = rest.schema === false ? terms.never : this.#value(rest);
    const value = (i: number): Term => (i < first.length ? this.#value(first[i]!) : item);
    // Built from the end: what may follow the items with a schema of their own, then these from the last to the first.
    const more = terms.seq(this.#comma(), item);
    const count = Math.min(first.length, max);
    let after =
      count === 0 ? this.#listed(item, min, max) : terms.repeat(more, Math.max(0, min - count), max - count);
    for (let i = count - 1; i >= 0; i--) {
      const here = terms.seq(...(i > 0 ? [this.#comma()] : []), value(i), after);
      after = i < min ? here : terms.maybe(here);
    }
    return terms.seq(terms.text('['), this.#space, after, this.#space, terms.text(']'));
  }

  #object(at: Schema, node: Keywords): Term {
    const { terms, properties, required, additional } = { terms: this.#terms, ...members(at, node) };
    const key = (name: Term, value: Term): Term => terms.seq(name, terms.text(':'), this.#space, value);
    const declared = [...properties]
      .filter(([, { schema }]) => schema !== false)
      .map(([name, schema]) => ({
        name,
        member: key(terms.text(JSON.stringify(name)), this.#value(schema)),
      }));
    // `open` holds what may follow when no member was written yet, `more` when one was.
    let more: Term = terms.empty;
    let open: Term = terms.empty;
    if (additional) {
      const name = this.#quoted(notOneOf(terms, this.#spell, [...properties.keys()]));
      const value = additional.schema === true ? this.#anything() : this.#value(additional);
      // A declared property that was left out may come here too: a model that has begun its name can finish it.
      const extra = terms.any([key(name, value), ...declared.map(({ member }) => member)]);
      open = this.#listed(extra, 0, ENDLESS);
      more = terms.repeat(terms.seq(this.#comma(), extra), 0, ENDLESS);
    }
    for (const { name, member } of declared.reverse()) {
      const [first, next] = [terms.seq(member, more), terms.seq(this.#comma(), member, more)];
      open = required.has(name) ? first : terms.alt(first, open);
      more = required.has(name) ? next : terms.alt(next, more);
    }
    return terms.seq(terms.text('{'), this.#space, open, this.#space, terms.text('}'));
  }
}

/** The items of an array: those with a schema for their place, the others, and how many there may be in all. */
function places(at: Schema, node: Keywords): { first: Schema[]; rest: Schema; min: number; max: number } {
  const [min, most] = node.count('minItems', 'maxItems');
  const { items, prefixItems } = node.constraints;
  const keyword = Array.isArray(items) ? 'items' : 'prefixItems';
  if (keyword === 'items' && prefixItems !== undefined)
    refuse(at.path, 'items', 'is a list beside "prefixItems"', { code: 'bad-argument' });
  const first = node.list(keyword, true);
  const other = keyword === 'items' ? 'additionalItems' : 'items';
  // Beyond the items with a schema for their place, others come only where the schema asks for them.
  const unasked = first.length === 0 || min > first.length;
  const rest =
    node.constraints[other] === undefined ? { schema: unasked, path: at.path } : subschema(at, other);
  const forbidden = first.indexOf(false);
  const end = forbidden >= 0 ? forbidden : rest.schema === false ? first.length : most;
  if (min > end) refuse(at.path, 'minItems', 'asks for items that are forbidden', { code: 'bad-argument' });
  return {
    first: first.map((_, i) => subschema(at, keyword, i)),
    rest,
    min,
    max: Math.min(most, end),
  };
}

/** The declared members of an object in order, and the schema of others where they may be. */
function members(at: Schema, node: Keywords) {
  const { properties: declared, additionalProperties: others } = node.constraints;
  const required = new Set(node.list('required', true).map(String));
  const properties = new Map<string, Schema>(
    Object.keys(node.object('properties')).map((name) => [name, subschema(at, 'properties', name)]),
  );
  const other: Schema =
    others === undefined ? { schema: true, path: at.path } : subschema(at, 'additionalProperties');
  for (const name of required) {
    if (!properties.has(name)) properties.set(name, other);
    if (properties.get(name)!.schema === false)
      refuse(at.path, 'required', `asks for "${name}", which is forbidden`, { code: 'bad-argument' });
  }
  const wanted = others === undefined ? declared === undefined : others !== false;
  return { properties, required, additional: wanted ? other : undefined };
}

/** A string's content that is none of some words. */
function notOneOf(terms: Terms, spell: Spelling, words: readonly string[]): Term {
  const anything = terms.repeat(spell(ANY)!, 0, ENDLESS);
  if (words.length === 0) return anything;
  const starts = new Map<number, string[]>();
  for (const word of words) {
    const code = word.codePointAt(0);
    if (code === undefined) continue;
    starts.set(code, [...(starts.get(code) ?? []), word.slice(code > 0xffff ? 2 : 1)]);
  }
  const met: Characters = [...starts.keys()].sort((a, b) => a - b).map((code) => [code, code] as const);
  const alternatives = [terms.seq(spell(without(ANY, met))!, anything)];
  for (const [code, rests] of starts) {
    const start = spell([[code, code]]);
    if (start) alternatives.push(terms.seq(start, notOneOf(terms, spell, rests)));
  }
  if (!words.includes('')) alternatives.push(terms.empty);
  return terms.alt(...alternatives);
}

function tightest(
  bound: number | undefined,
  out: number | undefined,
  choose: (a: number, b: number) => number,
): [number | undefined, boolean] {
  if (bound === undefined || out === undefined) return [bound ?? out, out !== undefined];
  return [choose(bound, out), choose(bound, out) === out];
}
