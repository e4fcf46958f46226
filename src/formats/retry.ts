import { abortedError, throwIfAborted } from '../errors.ts';

/** Waits, or rejects once the signal is raised. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** Longest wait that a server may ask for, and longest own wait, in milliseconds. */
export const LONGEST_ASKED_WAIT = 120_000;
const LONGEST_WAIT = 20_000;
const FIRST_WAIT = 500;

/** Before the n-th try anew (from 1): doubles from half a second, with jitter so that pages do not come back together. */
export function backOff(failures: number): number {
  const most = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1));
  return most / 2 + (Math.random() * most) / 2;
}

/**
 * Milliseconds that `Retry-After` asks for (seconds or a date), or `RateLimit` where nothing is left (`"api";r=0;t=55`);
 * undefined when they say nothing usable.
 */
export function retryAfter(headers: Headers, now = Date.now()): number | undefined {
  const [, left, until] = /;\s*r=(\d+)\s*;\s*t=(\d+)/.exec(headers.get('RateLimit') ?? '') ?? [];
  const text = headers.get('Retry-After')?.trim() ?? (left === '0' ? until : undefined);
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Answers that may be other ones a little later. */
export function isTransient(status: number): boolean {
  return [408, 425, 429, 500, 502, 503, 504].includes(status);
}

export const sleepFor: Sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const stop = (): void => {
      clearTimeout(timer);
      reject(abortedError(signal?.reason));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
