import { type ErrorCode, type ErrorDetails, ShishuError } from '../errors.ts';

/** What a peer needs of a Worker, of a worker's global scope or of a MessagePort. */
export interface Endpoint {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: string, listener: (event: Event) => void): void;
  removeEventListener(type: string, listener: (event: Event) => void): void;
  start?(): void;
}

// biome-ignore lint/suspicious/noExplicitAny: arguments come off the wire; each method states its own.
export type Methods = Record<string, (...args: any[]) => unknown>;

/** A result whose buffers move to the other side instead of being copied; this side loses them. */
export class Transferred<T = unknown> {
  readonly value: T;
  readonly buffers: readonly Transferable[];

  constructor(value: T, buffers: readonly Transferable[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/** A function or an AbortSignal among a call's arguments; it lives as long as the call. */
interface Ref {
  kind: 'function' | 'signal';
  id: number;
  path: readonly string[];
  /** For a signal that was raised before the call. */
  aborted?: WireError;
}

type WireError =
  | { kind: 'shishu'; code: ErrorCode; message: string; details: ErrorDetails; mend?: string; rest: WireRest }
  | { kind: 'error' | 'dom'; name: string; message: string; rest: WireRest }
  | { kind: 'value'; value: unknown };

interface WireRest {
  stack?: string;
  cause?: WireError;
}

type Reply =
  | { type: 'value'; id: number; value: unknown }
  | { type: 'item'; id: number; value: unknown }
  | { type: 'error'; id: number; error: WireError };

type Packet =
  /** `method` is a name, or the id of a function that the receiver lent. `credit` asks for a stream. */
  | { type: 'call'; id: number; method: string | number; args: unknown[]; refs: Ref[]; credit?: number }
  | Reply
  | { type: 'credit'; id: number }
  | { type: 'return'; id: number }
  | { type: 'abort'; signal: number; reason: WireError }
  | { type: 'close'; error: WireError };

/** A stream that is being served. */
interface Served {
  credit: number;
  returned: boolean;
  wake: () => void;
}

/** Items a stream may run ahead of its reader: enough to hide the page's latency, few enough to waste little. */
export const STREAM_WINDOW = 16;

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

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * One end of a two-way line: it serves `methods` and calls those of the other end.
 *
 * Arguments are structured clones; functions and AbortSignals among them (in plain objects and arrays, at any
 * depth) work across the line until the call has ended, functions as async ones. A method that returns an async
 * iterable is called with `stream`.
 */
export class Peer {
  readonly #endpoint: Endpoint;
  readonly #methods: Methods;
  readonly #onClose: (error: unknown) => void;
  #closed: { error: unknown } | undefined;
  #nextId = 0;
  /** Calls to the other end that have not ended. */
  readonly #pending = new Map<number, (reply: Reply) => void>();
  /** Functions that the other end may call. */
  readonly #lent = new Map<number, Methods[string]>();
  /** Signals of calls that are being served here. */
  readonly #signals = new Map<number, AbortController>();
  readonly #streams = new Map<number, Served>();

  /** `onClose` runs once, when either end closes or the line breaks. */
  constructor(endpoint: Endpoint, methods: Methods = {}, onClose: (error: unknown) => void = () => {}) {
    this.#endpoint = endpoint;
    this.#methods = methods;
    this.#onClose = onClose;
    endpoint.addEventListener('message', this.#receive);
    endpoint.addEventListener('messageerror', this.#unreadable);
    endpoint.addEventListener('close', this.#hungUp);
    endpoint.start?.();
  }

  /** The line has ended, from either end. */
  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** Calls a method of the other end. Rejects with its error, or with the line's when that closes first. */
  call<T>(method: string, ...args: unknown[]): Promise<T> {
    return this.#call(method, args) as Promise<T>;
  }

  /**
   * Calls a method that returns an async iterable. Starts on the first `next()`; the other end runs at most
   * STREAM_WINDOW items ahead; `return()` (or `break`) ends the iterable there and waits until it has ended.
   */
  async *stream<T, R = void>(method: string, ...args: unknown[]): AsyncGenerator<T, R, undefined> {
    const inbox: Reply[] = [];
    let wake = (): void => {};
    const id = this.#request(method, args, STREAM_WINDOW, (reply) => {
      inbox.push(reply);
      wake();
    });
    const next = async (): Promise<Reply> => {
      while (inbox.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return inbox.shift()!;
    };
    let ended = false;
    try {
      for (;;) {
        const reply = await next();
        if (reply.type === 'item') {
          yield reply.value as T;
          this.#post({ type: 'credit', id });
          continue;
        }
        ended = true;
        if (reply.type === 'error') throw unpackError(reply.error);
        return reply.value as R;
      }
    } finally {
      if (!ended) {
        this.#post({ type: 'return', id });
        while ((await next()).type === 'item');
      }
    }
  }

  /** Ends the line: calls that are pending, here and there, reject with `error`; what is served is cancelled. */
  close(
    error: unknown = new ShishuError('disposed', 'The line to the worker was closed.', {
      mend: 'Load the model again.',
    }),
  ): void {
    if (this.#closed) return;
    this.#post({ type: 'close', error: packError(error) });
    this.#shut(error);
  }

  #call(method: string | number, args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#request(method, args, undefined, (reply) =>
        reply.type === 'error' ? reject(unpackError(reply.error)) : resolve(reply.value),
      );
    });
  }

  #request(
    method: string | number,
    args: unknown[],
    credit: number | undefined,
    receive: (reply: Reply) => void,
  ): number {
    if (this.#closed) throw this.#closed.error;
    const id = this.#nextId++;
    const refs: Ref[] = [];
    const releases: (() => void)[] = [];
    const release = (): void => {
      this.#pending.delete(id);
      for (const each of releases) each();
    };
    this.#pending.set(id, (reply) => {
      if (reply.type !== 'item') release();
      receive(reply);
    });
    try {
      const packed = args.map((arg, i) => this.#lend(arg, [String(i)], refs, releases));
      const call: Packet = { type: 'call', id, method, args: packed, refs };
      this.#endpoint.postMessage(credit === undefined ? call : { ...call, credit }, []);
    } catch (cause) {
      release();
      throw new ShishuError('bad-argument', `An argument of "${method}" cannot be sent to the worker.`, {
        details: { method },
        mend: 'Pass plain data, files, handles, functions or abort signals.',
        cause,
      });
    }
    return id;
  }

  /** A copy of an argument without its functions and signals, which become refs. */
  #lend(value: unknown, path: readonly string[], refs: Ref[], releases: (() => void)[]): unknown {
    if (typeof value === 'function') {
      const id = this.#nextId++;
      this.#lent.set(id, value as Methods[string]);
      releases.push(() => this.#lent.delete(id));
      refs.push({ kind: 'function', id, path });
      return undefined;
    }
    if (value instanceof AbortSignal) {
      const id = this.#nextId++;
      const raise = (): void => this.#post({ type: 'abort', signal: id, reason: packError(value.reason) });
      value.addEventListener('abort', raise);
      releases.push(() => value.removeEventListener('abort', raise));
      refs.push({ kind: 'signal', id, path, ...(value.aborted && { aborted: packError(value.reason) }) });
      return undefined;
    }
    if (Array.isArray(value))
      return value.map((each, i) => this.#lend(each, [...path, String(i)], refs, releases));
    if (isRecord(value))
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => [key, this.#lend(each, [...path, key], refs, releases)]),
      );
    return value;
  }

  /** Puts the functions and signals of a call back into its arguments. */
  #borrow(args: unknown[], refs: readonly Ref[]): void {
    for (const { kind, id, path, aborted } of refs) {
      const holder = path
        .slice(0, -1)
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], args);
      (holder as Record<string, unknown>)[path.at(-1)!] =
        kind === 'function' ? this.#borrowFunction(id) : this.#borrowSignal(id, aborted);
    }
  }

  #borrowFunction(id: number) {
    return (...args: unknown[]): Promise<unknown> => {
      const result = this.#call(id, args);
      // A progress callback's promise has no reader: its rejection must not end the process.
      result.catch(() => {});
      return result;
    };
  }

  #borrowSignal(id: number, aborted: WireError | undefined): AbortSignal {
    const controller = new AbortController();
    if (aborted) controller.abort(unpackError(aborted));
    this.#signals.set(id, controller);
    return controller.signal;
  }

  readonly #receive = (event: Event): void => {
    const packet = (event as MessageEvent<Packet | undefined>).data;
    switch (packet?.type) {
      case 'call':
        void this.#serve(packet);
        break;
      case 'value':
      case 'item':
      case 'error':
        this.#pending.get(packet.id)?.(packet);
        break;
      case 'credit':
      case 'return': {
        const served = this.#streams.get(packet.id);
        if (!served) break;
        if (packet.type === 'return') served.returned = true;
        else served.credit++;
        served.wake();
        break;
      }
      case 'abort':
        this.#signals.get(packet.signal)?.abort(unpackError(packet.reason));
        break;
      case 'close':
        this.#shut(unpackError(packet.error));
    }
  };

  async #serve({ id, method, args, refs, credit }: Packet & { type: 'call' }): Promise<void> {
    try {
      this.#borrow(args, refs);
      const run =
        typeof method === 'number'
          ? this.#lent.get(method)
          : Object.hasOwn(this.#methods, method)
            ? this.#methods[method]
            : undefined;
      if (!run) throw new ShishuError('bad-argument', `The other end has no method "${method}".`);
      const result = await run(...args);
      const value =
        credit === undefined ? result : await this.#pump(id, result as AsyncIterable<unknown>, credit);
      this.#answer('value', id, value);
    } catch (error) {
      this.#post({ type: 'error', id, error: packError(error) });
    } finally {
      for (const ref of refs) this.#signals.delete(ref.id);
    }
  }

  /** Sends a stream's items as the reader grants them; returns what the iterator returns. */
  async #pump(id: number, iterable: AsyncIterable<unknown>, credit: number): Promise<unknown> {
    const served: Served = { credit, returned: false, wake: () => {} };
    this.#streams.set(id, served);
    const iterator = iterable[Symbol.asyncIterator]();
    let open = true;
    try {
      for (;;) {
        while (served.credit === 0 && !served.returned)
          await new Promise<void>((resolve) => {
            served.wake = resolve;
          });
        if (served.returned) return undefined;
        const { value, done } = await iterator.next();
        if (done) {
          open = false;
          return value;
        }
        served.credit--;
        this.#answer('item', id, value);
      }
    } finally {
      this.#streams.delete(id);
      if (open) await iterator.return?.();
    }
  }

  #answer(type: 'value' | 'item', id: number, result: unknown): void {
    const moved = result instanceof Transferred;
    if (this.#closed) return;
    this.#endpoint.postMessage(
      { type, id, value: moved ? result.value : result },
      moved ? [...result.buffers] : [],
    );
  }

  #post(packet: Packet): void {
    if (!this.#closed) this.#endpoint.postMessage(packet, []);
  }

  readonly #unreadable = (): void => {
    this.close(new ShishuError('io', 'A message from the other end could not be read.'));
  };

  readonly #hungUp = (): void => {
    this.#shut(
      new ShishuError('disposed', 'The other end of the line is gone.', { mend: 'Load the model again.' }),
    );
  };

  #shut(error: unknown): void {
    if (this.#closed) return;
    this.#closed = { error };
    this.#endpoint.removeEventListener('message', this.#receive);
    this.#endpoint.removeEventListener('messageerror', this.#unreadable);
    this.#endpoint.removeEventListener('close', this.#hungUp);
    const wire = packError(error);
    for (const [id, receive] of [...this.#pending]) receive({ type: 'error', id, error: wire });
    for (const controller of this.#signals.values()) controller.abort(error);
    for (const served of this.#streams.values()) {
      served.returned = true;
      served.wake();
    }
    this.#onClose(error);
  }
}
