// Errors in the shapes of OpenAI's service. Source: its API reference, and what its client for JavaScript reads.
import { type ErrorCode, ShishuError } from '../errors.ts';

/** What the service sends as `error`. */
export interface ServiceError {
  message: string;
  type: 'invalid_request_error' | 'not_found_error' | 'rate_limit_error' | 'server_error';
  /** The field of the request that is meant. */
  param: string | null;
  code: string | null;
}

/** An answer that is an error. */
export class ServiceFailure extends Error {
  readonly status: number;
  readonly error: ServiceError;

  constructor(status: number, message: string, { param = null, code = null }: Partial<ServiceError> = {}) {
    super(message);
    this.status = status;
    const type =
      status >= 500
        ? 'server_error'
        : status === 429
          ? 'rate_limit_error'
          : status === 404
            ? 'not_found_error'
            : 'invalid_request_error';
    this.error = { message, type, param, code };
  }
}

/** 499 is what servers log where the caller went away: nobody reads it. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  aborted: 499,
  'bad-argument': 400,
  'context-full': 400,
  unsupported: 400,
  'device-lost': 503,
  disposed: 503,
  'out-of-memory': 503,
};

/** Any error as the service would say it. */
export function failureOf(error: unknown): ServiceFailure {
  if (error instanceof ServiceFailure) return error;
  if (!(error instanceof ShishuError)) {
    const aborted = (error as Error | undefined)?.name === 'AbortError';
    return new ServiceFailure(aborted ? 499 : 500, String((error as Error | undefined)?.message ?? error));
  }
  const { code, details, message } = error;
  const param = details.field ?? details.option;
  return new ServiceFailure(STATUS[code] ?? 500, message, {
    param: param === undefined ? null : String(param),
    code: code === 'context-full' ? 'context_length_exceeded' : code.replaceAll('-', '_'),
  });
}
