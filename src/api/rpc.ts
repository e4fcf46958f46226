import { ShishuError } from '../errors.ts';
import { packError, unpackError, type WireError } from './rpc-errors.ts';
import { type LentArguments, type Reference, References } from './rpc-references.ts';

/** What a peer needs of a Worker, of a worker's global scope or of a MessagePort. */
export interface Endpoint {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: string, listener: (event: Event) => void): void;
  removeEventListener(type: string, listener: (event: Event) => void): void;
  start?(): void;
}

// biome-ignore lint/suspicious/noExplicitAny: arguments come from the other end; each method states its own.
export type Methods = Record<string, (...args: any[]) => unknown>;

/** A result whose buffers move to the other end instead of being copied; this end loses them. */
export class Transferred<T = unknown> {
  readonly value: T;
  readonly buffers: readonly Transferable[];

  constructor(value: T, buffers: readonly Transferable[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

type Reply =
  | { type: 'value'; id: number; value: unknown }
  | { type: 'item'; id: number; value: unknown }
  | { type: 'error'; id: number; error: WireError };

type Packet =
  /** `method` is a name, or the id of a function that the receiver lent. `credit` asks for a stream. */
  | {
      type: 'call';
      id: number;
      method: string | number;
      args: unknown[];
      references: Reference[];
      credit?: number;
    }
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

/**
 * One end of a connection: it serves `methods` and calls those of the other end.
 *
 * Arguments are structured clones; functions and AbortSignals among them (in plain objects and arrays, at any
 * depth) work across it until the call has ended, functions as async ones. A method that returns an async
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
  readonly #references = new References({
    call: (id, args) => this.#call(id, args),
    abort: (signal, reason) => this.#post({ type: 'abort', signal, reason }),
  });
  readonly #streams = new Map<number, Served>();

  /** `onClose` runs once, when either end closes or the connection breaks. */
  constructor(endpoint: Endpoint, methods: Methods = {}, onClose: (error: unknown) => void = () => {}) {
    this.#endpoint = endpoint;
    this.#methods = methods;
    this.#onClose = onClose;
    endpoint.addEventListener('message', this.#receive);
    endpoint.addEventListener('messageerror', this.#unreadable);
    endpoint.addEventListener('close', this.#hungUp);
    endpoint.start?.();
  }

  /** The connection has ended, from either end. */
  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** Calls a method of the other end. Rejects with its error, or with the connection's when that closes first. */
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

  /** Ends the connection: calls that are pending, here and there, reject with `error`; what is served is cancelled. */
  close(
    error: unknown = new ShishuError('disposed', 'The connection to the worker was closed.', {
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
    let lent: LentArguments | undefined;
    const release = (): void => {
      this.#pending.delete(id);
      lent?.release();
    };
    this.#pending.set(id, (reply) => {
      if (reply.type !== 'item') release();
      receive(reply);
    });
    try {
      lent = this.#references.lend(args);
      const call: Packet = { type: 'call', id, method, args: lent.args, references: lent.references };
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
        this.#references.abort(packet.signal, unpackError(packet.reason));
        break;
      case 'close':
        this.#shut(unpackError(packet.error));
    }
  };

  async #serve({ id, method, args, references, credit }: Packet & { type: 'call' }): Promise<void> {
    try {
      this.#references.borrow(args, references);
      const run =
        typeof method === 'number'
          ? this.#references.lent(method)
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
      this.#references.giveBack(references);
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
      new ShishuError('disposed', 'The other end of the connection is gone.', {
        mend: 'Load the model again.',
      }),
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
    this.#references.abortAll(error);
    for (const served of this.#streams.values()) {
      served.returned = true;
      served.wake();
    }
    this.#onClose(error);
  }
}
