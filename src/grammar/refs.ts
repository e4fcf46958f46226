import { decodeUri } from '../decode-uri.ts';
import { escaped, isObject, refuse, type Schema } from './schema.ts';

/** The URI of a document without `$id`. */
const NAMELESS = 'json-schema:///';
/** Keywords whose values hold no schema. */
const VALUES = ['enum', 'const', 'default', 'example', 'examples', 'required'];

/** A schema with its own `$id`, or the root: references without a URI are resolved within it. */
interface Resource {
  schema: unknown;
  path: string;
  uri: string;
  anchors: Map<string, Schema>;
  /** Names of those of `anchors` that are dynamic. */
  dynamic: Set<string>;
}

/** What the references of a schema lead to: JSON pointers, `$anchor`, `$dynamicAnchor` and `$id`. */
export class Refs {
  /** By path; the root is the first. */
  readonly #resources = new Map<string, Resource>();

  constructor(root: unknown) {
    this.#add({ schema: root, path: '#' }, NAMELESS);
    const open: [Schema, Resource][] = [[{ schema: root, path: '#' }, this.#resources.get('#')!]];
    for (let next = open.pop(); next; next = open.pop()) {
      const [at, outer] = next;
      const { schema, path } = at;
      if (Array.isArray(schema))
        schema.forEach((each, i) => {
          open.push([{ schema: each, path: `${path}/${i}` }, outer]);
        });
      if (!isObject(schema)) continue;
      const within = path === '#' ? outer : this.#resourceOf(at, outer);
      this.#name(at, within);
      for (const [key, value] of Object.entries(schema)) {
        if (VALUES.includes(key) || typeof value !== 'object' || value === null) continue;
        const inner = `${path}/${escaped(key)}`;
        const isMap = /^(properties|patternProperties|dependentSchemas|\$defs|definitions)$/.test(key);
        if (isMap && isObject(value))
          for (const [name, each] of Object.entries(value))
            open.push([{ schema: each, path: `${inner}/${escaped(name)}` }, within]);
        else open.push([{ schema: value, path: inner }, within]);
      }
    }
  }

  #add({ schema, path }: Schema, uri: string): Resource {
    const resource = { schema, path, uri, anchors: new Map(), dynamic: new Set<string>() };
    this.#resources.set(path, resource);
    return resource;
  }

  /** The resource that a schema is, where it has an `$id`, else the one it is within. */
  #resourceOf(at: Schema, outer: Resource): Resource {
    const { $id } = at.schema as Record<string, unknown>;
    return typeof $id === 'string' && !$id.startsWith('#') ? this.#add(at, addressOf($id, outer.uri)) : outer;
  }

  /** Records the anchors that a schema defines. */
  #name(at: Schema, resource: Resource): void {
    const { $id, $anchor, $dynamicAnchor } = at.schema as Record<string, unknown>;
    if (at.path === '#' && typeof $id === 'string') resource.uri = addressOf($id, NAMELESS);
    if (typeof $anchor === 'string') resource.anchors.set($anchor, at);
    // As drafts before 2019 have it.
    if (typeof $id === 'string' && $id.startsWith('#')) resource.anchors.set($id.slice(1), at);
    if (typeof $dynamicAnchor !== 'string') return;
    resource.anchors.set($dynamicAnchor, at);
    resource.dynamic.add($dynamicAnchor);
  }

  /**
   * The schema that a `$ref` or `$dynamicRef` leads to, with its pointer from the root of all.
   * @throws ShishuError `bad-argument` when it names nothing, `unsupported` when it leads out of the schema
   */
  follow(keyword: '$ref' | '$dynamicRef', ref: unknown, { path }: Schema): Schema {
    if (typeof ref !== 'string') return refuse(path, keyword, 'is no text', { code: 'bad-argument' });
    const [address = '', ...rest] = ref.split('#');
    const resource = this.#resource(address, path, keyword, ref);
    const fragment = decoded(rest.join('#'));
    if (fragment === '') return { schema: resource.schema, path: resource.path };
    if (fragment.startsWith('/')) return pointed(resource, fragment, keyword);
    const found = resource.anchors.get(fragment);
    if (!found)
      return refuse(path, keyword, `is ${ref}, which names nothing in the schema`, { code: 'bad-argument' });
    const alike = [...this.#resources.values()].filter(({ dynamic }) => dynamic.has(fragment));
    if (keyword === '$dynamicRef' && resource.dynamic.has(fragment) && alike.length > 1)
      return refuse(path, keyword, `is ${ref}, which more than one "$id" has`, { mend: 'Use $ref.' });
    return found;
  }

  #resource(address: string, path: string, keyword: string, ref: string): Resource {
    let own = this.#resources.get('#')!;
    // The innermost resource on the path.
    for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1))
      own = this.#resources.get(path.slice(0, end)) ?? own;
    own = this.#resources.get(path) ?? own;
    if (address === '') return own;
    const uri = addressOf(address, own.uri);
    const all = [...this.#resources.values()].filter((each) => each.uri === uri);
    // Two tools may contain the same schema: the nearest one is meant.
    const near = Math.max(...all.map((each) => shared(each.path, path)));
    const [found, other] = all.filter((each) => shared(each.path, path) === near);
    if (found && !other) return found;
    return refuse(
      path,
      keyword,
      found ? `is ${ref}, which two "$id" have` : `is ${ref}, which is none within the schema`,
    );
  }
}

/** The number of leading names that two pointers share. */
function shared(a: string, b: string): number {
  const [one, other] = [a.split('/'), b.split('/')];
  const end = one.findIndex((name, i) => name !== other[i]);
  return end < 0 ? one.length : end;
}

/** Percent signs that are no escapes stay. */
const decoded = (text: string): string => decodeUri(text) ?? text;

function addressOf(address: string, base: string): string {
  try {
    return new URL(address.replace(/#.*$/, ''), base).href;
  } catch {
    return address;
  }
}

/** The schema at a JSON pointer of a resource. */
function pointed({ schema, path }: Resource, pointer: string, keyword: string): Schema {
  const whole = path + pointer;
  let at: unknown = schema;
  for (const token of pointer.split('/').slice(1)) {
    const name = token.replace(/~1/g, '/').replace(/~0/g, '~');
    if ((!isObject(at) && !Array.isArray(at)) || !Object.hasOwn(at, name))
      return refuse(whole, keyword, 'names nothing in the schema', { code: 'bad-argument' });
    at = (at as Record<string, unknown>)[name];
  }
  return { schema: at, path: whole };
}
