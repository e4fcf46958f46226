// What requests in OpenAI's shapes have in common: how their fields are judged, and errors in their names.
import { ShishuError } from '../errors.ts';

/** How one call is made. */
export interface CallOptions {
  signal?: AbortSignal;
}

export function refuse(field: string, value: unknown, wanted: string): never {
  throw new ShishuError('bad-argument', `Field "${field}" is ${describe(value)}, expected ${wanted}.`, {
    details: { field, value: describe(value) },
  });
}

export function refuseUnknown(field: string, known: readonly string[]): never {
  throw new ShishuError('bad-argument', `The field "${field}" is not supported.`, {
    details: { field },
    mend: `Fields: ${known.join(', ')}.`,
  });
}

export function describe(value: unknown): string {
  if (typeof value !== 'object') return String(value);
  try {
    return JSON.stringify(value).slice(0, 80);
  } catch {
    // It holds itself, or is too deep.
    return 'an object';
  }
}

export function checkText(field: string, value: unknown): void {
  if (typeof (value ?? '') !== 'string') refuse(field, value, 'a text');
}

export function checkFlag(field: string, value: unknown): void {
  if (typeof (value ?? false) !== 'boolean') refuse(field, value, 'true or false');
}

export const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** How a request asks for a stream. */
interface Streaming {
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean } | null;
}

export function checkStreaming({ stream, stream_options: options }: Streaming): void {
  if (options === undefined || options === null) return;
  if (!isObject(options)) refuse('stream_options', options, '{ include_usage }');
  onlyFields(options, ['include_usage'], 'stream_options');
  checkFlag('stream_options.include_usage', options.include_usage);
  if (!stream) refuse('stream_options', options, 'to be used with "stream": true');
}

/** Refuses fields of an object that are not known, by name. */
export function onlyFields(value: object, known: readonly string[], path: string): void {
  for (const [name, each] of Object.entries(value))
    if (!known.includes(name) && each !== undefined && each !== null)
      refuse(`${path}.${name}`, each, `only ${known.join(', ')}`);
}

/** The name of an adapter that is loaded may stand for the model: then it chooses the adapter. */
export function chooseByModel(
  options: { adapter?: string },
  model: string | null | undefined,
  { adapters }: { adapters?: readonly { readonly name: string }[] } = {},
): void {
  if (model && adapters?.some(({ name }) => name === model)) options.adapter ??= model;
}

/**
 * An error of the engine about one of its options, in the name of the request's field.
 * @param fields the request's names of options, by the engine's
 */
export function fieldError(fields: ReadonlyMap<string, string>, error: unknown): unknown {
  if (!(error instanceof ShishuError)) return error;
  const { code, details, mend, cause } = error;
  const [option] = /^\w+/.exec(String(details.option ?? ('keyword' in details ? 'constraint' : ''))) ?? [];
  const field = option && fields.get(option);
  if (!field) return error;
  const own = String(details.option ?? field).replace(/^\w+/, field);
  const renamed = (text: string): string =>
    [...fields].reduce((said, [from, to]) => said.replace(new RegExp(`"${from}\\b`, 'g'), `"${to}`), text);
  const said = mend ? error.message.slice(0, -mend.length - 1) : error.message;
  return new ShishuError(code, renamed(said), {
    details: { ...details, option: own, field: own },
    ...(mend !== undefined && { mend: renamed(mend) }),
    cause,
  });
}
