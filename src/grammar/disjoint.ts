import type { Refs } from './refs.ts';
import { Keywords, type Schema, subschema, type TypeName, typeOf } from './schema.ts';

/** Members within members that are compared. */
const MAX_DEPTH = 20;

/**
 * Whether no value can be valid in both: their types differ, or their values are listed and differ, or both are objects
 * that must have a member whose schemas are disjoint. False where that is not plain.
 */
export function disjoint(refs: Refs, a: Schema, b: Schema, depth = 0): boolean {
  if (depth > MAX_DEPTH) return false;
  const [one, other] = [followed(refs, a), followed(refs, b)];
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
      disjoint(refs, member(one, name), member(other, name), depth + 1),
  );
}

const member = ({ constraints, path }: Keywords, name: string): Schema =>
  subschema({ schema: constraints, path }, 'properties', name);

/** The keywords of a schema, or of the one it refers to; undefined for alternatives and for `true`. */
function followed(refs: Refs, at: Schema, hops = 0): Keywords | undefined {
  if (typeof at.schema === 'boolean' || hops > 100) return undefined;
  const keywords = new Keywords(at);
  const { $ref, $dynamicRef, anyOf, oneOf } = keywords.constraints;
  if (anyOf !== undefined || oneOf !== undefined) return undefined;
  const keyword = $ref !== undefined ? '$ref' : '$dynamicRef';
  const ref = $ref ?? $dynamicRef;
  return ref === undefined ? keywords : followed(refs, refs.follow(keyword, ref, at), hops + 1);
}
