import { ShishuError } from '../errors.ts';

/** Nesting of values: more than a schema needs, less than what would overflow the stack of code that reads or copies them. */
const MAX_DEPTH = 400;

/**
 * Refuses a value that is nested too deep or contains itself, before recursive code reads it.
 * @param kind what `name` is the name of
 * @throws ShishuError `bad-argument` that names it
 */
export function refuseDeep(value: unknown, name: string, kind: 'option' | 'field' = 'option'): void {
  let level: object[] = typeof value === 'object' && value !== null ? [value] : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH)
      throw new ShishuError('bad-argument', `"${name}" is nested deeper than ${MAX_DEPTH} values.`, {
        details: { [kind]: name, limit: MAX_DEPTH },
        mend: 'Nest less: a part of a schema can be named and referred to.',
      });
    const next = new Set<object>();
    for (const each of level)
      for (const inner of Object.values(each))
        if (typeof inner === 'object' && inner !== null) next.add(inner);
    level = [...next];
  }
}
