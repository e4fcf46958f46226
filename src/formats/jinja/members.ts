// What jinja2 finds by a dot, by brackets, and by the path of a filter's `attribute`.
import { dictMethod, listMethod, stringMethod } from './strings.ts';
import { found, lookUp, str, typeOf, Undefined, type Value } from './values.ts';

function methodOf(object: Value, name: string): Value | undefined {
  if (object instanceof Map) return dictMethod(object, name);
  if (typeof object === 'string') return stringMethod(object, name);
  return Array.isArray(object) ? listMethod(object, name) : undefined;
}

const absence = (object: Value, key: Value): string => `"${str(key)}" of a ${typeOf(object)}`;

/** `object[key]`: an item, else a method. @throws TypeError for what is undefined itself */
export function itemOf(object: Value, key: Value): Value {
  const item = lookUp(object, key);
  return found(
    item === undefined && typeof key === 'string' ? methodOf(object, key) : item,
    absence(object, key),
  );
}

/** `object.name`: a method, else an item. @throws TypeError for what is undefined itself */
export function attributeOf(object: Value, name: string): Value {
  return found(methodOf(object, name) ?? lookUp(object, name), absence(object, name));
}

/** An item by a path like `a.0.b`; what is not there may be something else, but not None. */
export function itemAt(value: Value, path: Value, otherwise: Value = null): Value {
  const keys = typeof path === 'string' ? path.split('.') : [path];
  return keys.reduce<Value>((from, key) => {
    const item = itemOf(from, typeof key === 'string' && /^\d+$/.test(key) ? BigInt(key) : key);
    return item instanceof Undefined && otherwise !== null ? otherwise : item;
  }, value);
}
