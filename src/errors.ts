/** What went wrong, by class of cause. The strings are stable: programs may switch on them; docs/troubleshooting.md says what to do about each. */
export type ErrorCode =
  | 'aborted'
  | 'bad-argument'
  | 'bad-config'
  | 'bad-checkpoint'
  | 'bad-tokenizer'
  | 'context-full'
  | 'device-lost'
  | 'disposed'
  | 'does-not-fit'
  | 'io'
  | 'no-webgpu'
  | 'not-found'
  | 'out-of-memory'
  | 'self-test'
  | 'shader'
  | 'unsupported';

/** Facts behind an error (file, tensor, number, limit ...), plain data so that they cross a worker. */
export type ErrorDetails = Record<string, string | number | boolean | null | readonly (string | number)[]>;

export interface ErrorExtra {
  details?: ErrorDetails;
  /** What the reader can do about it, one sentence. */
  mend?: string;
  cause?: unknown;
}

/** The one error class of the library: a code for programs, a message and a mend for people. */
export class ShishuError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  readonly mend: string | undefined;

  constructor(code: ErrorCode, message: string, { details = {}, mend, cause }: ErrorExtra = {}) {
    super(mend ? `${message} ${mend}` : message, cause === undefined ? undefined : { cause });
    this.name = 'ShishuError';
    this.code = code;
    this.details = details;
    this.mend = mend;
  }
}

/** @param cause why, where it was said */
export const abortedError = (cause?: unknown): ShishuError =>
  new ShishuError('aborted', 'The call was aborted.', cause === undefined ? {} : { cause });

/** Throws an `aborted` error when the signal has been raised. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal.reason);
}

/** Raised when one of them is. */
export const anySignal = (own: AbortSignal, given: AbortSignal | undefined): AbortSignal =>
  given ? AbortSignal.any([own, given]) : own;

/** @throws ShishuError `bad-argument` that names an option of the API, its value and what was expected */
export const refuseOption = (name: string, value: unknown, wanted: string): never => {
  throw new ShishuError('bad-argument', `Option "${name}" is ${String(value)}, expected ${wanted}.`, {
    details: { option: name, value: String(value) },
  });
};
