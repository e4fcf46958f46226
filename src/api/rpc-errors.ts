import { type ErrorCode, type ErrorDetails, ShishuError } from '../errors.ts';

/** An error as plain data. */
export type WireError =
  | { kind: 'shishu'; code: ErrorCode; message: string; details: ErrorDetails; mend?: string; rest: WireRest }
  | { kind: 'error' | 'dom'; name: string; message: string; rest: WireRest }
  | { kind: 'value'; value: unknown };

interface WireRest {
  stack?: string;
  cause?: WireError;
}

const NATIVE_ERRORS: Record<string, ErrorConstructor> = {
  TypeError,
  RangeError,
  SyntaxError,
  ReferenceError,
  URIError,
  EvalError,
};

/** An error as plain data: a ShishuError keeps code, details and mend, others their name, all their stack and cause. */
export function packError(error: unknown): WireError {
  if (!(error instanceof Error)) return { kind: 'value', value: isPlain(error) ? error : String(error) };
  const { message, stack } = error;
  const rest = {
    ...(stack !== undefined && { stack }),
    ...(error.cause !== undefined && { cause: packError(error.cause) }),
  };
  if (!(error instanceof ShishuError)) {
    const kind = typeof DOMException === 'function' && error instanceof DOMException ? 'dom' : 'error';
    return { kind, name: error.name, message, rest };
  }
  const { code, details, mend } = error;
  const bare = mend && message.endsWith(` ${mend}`) ? message.slice(0, -mend.length - 1) : message;
  return { kind: 'shishu', code, message: bare, details, ...(mend !== undefined && { mend }), rest };
}

/** The error that `packError` was given, as an instance of its class. */
export function unpackError(wire: WireError): unknown {
  if (wire.kind === 'value') return wire.value;
  const { message, rest } = wire;
  const cause = rest.cause && unpackError(rest.cause);
  const own = cause === undefined ? {} : { cause };
  let error: Error;
  if (wire.kind === 'shishu') {
    const { code, details, mend } = wire;
    error = new ShishuError(code, message, { details, ...(mend !== undefined && { mend }), ...own });
  } else if (wire.kind === 'dom') {
    return new DOMException(message, wire.name);
  } else {
    error = new (NATIVE_ERRORS[wire.name] ?? Error)(message, own);
    if (error.name !== wire.name) error.name = wire.name;
  }
  if (rest.stack !== undefined) error.stack = rest.stack;
  return error;
}

/** Primitives, and what they are made of: values that surely clone. */
function isPlain(value: unknown): boolean {
  return value === null || !['object', 'function', 'symbol'].includes(typeof value);
}
