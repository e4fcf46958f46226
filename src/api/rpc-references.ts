import { packError, unpackError, type WireError } from './rpc-errors.ts';

/** A function or an AbortSignal among a call's arguments; it lives as long as the call. */
export interface Reference {
  kind: 'function' | 'signal';
  id: number;
  /** Keys from the list of arguments to its place. */
  path: readonly string[];
  /** For a signal that was aborted before the call. */
  aborted?: WireError;
}

// biome-ignore lint/suspicious/noExplicitAny: arguments come from the other end; each function states its own.
type Lent = (...args: any[]) => unknown;

/** Arguments that can be sent, and what was taken out of them. */
export interface LentArguments {
  args: unknown[];
  references: Reference[];
  /** Ends what was lent: the call is over. */
  release(): void;
}

/** How references reach the other end. */
interface Sender {
  /** Calls a function that the other end has lent. */
  call(id: number, args: unknown[]): Promise<unknown>;
  /** Tells that a signal was aborted, which was lent to the other end. */
  abort(signal: number, reason: WireError): void;
}

/** The functions and AbortSignals that one end has lent to the other, and borrowed from it. */
export class References {
  readonly #sender: Sender;
  #nextId = 0;
  readonly #functions = new Map<number, Lent>();
  /** Of the signals that were borrowed. */
  readonly #controllers = new Map<number, AbortController>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** A copy of a call's arguments without their functions and signals, which the other end gets as references. */
  lend(args: readonly unknown[]): LentArguments {
    const references: Reference[] = [];
    const releases: (() => void)[] = [];
    const release = (): void => {
      for (const each of releases) each();
    };
    try {
      return {
        args: args.map((arg, i) => this.#copy(arg, [String(i)], references, releases)),
        references,
        release,
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  #copy(value: unknown, path: readonly string[], references: Reference[], releases: (() => void)[]): unknown {
    if (typeof value === 'function') {
      const id = this.#nextId++;
      this.#functions.set(id, value as Lent);
      releases.push(() => this.#functions.delete(id));
      references.push({ kind: 'function', id, path });
      return undefined;
    }
    if (value instanceof AbortSignal) {
      const id = this.#nextId++;
      const abort = (): void => this.#sender.abort(id, packError(value.reason));
      value.addEventListener('abort', abort);
      releases.push(() => value.removeEventListener('abort', abort));
      references.push({
        kind: 'signal',
        id,
        path,
        ...(value.aborted && { aborted: packError(value.reason) }),
      });
      return undefined;
    }
    const copy = (each: unknown, key: string): unknown =>
      this.#copy(each, [...path, key], references, releases);
    if (Array.isArray(value)) return value.map((each, i) => copy(each, String(i)));
    if (isRecord(value))
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, copy(each, key)]));
    return value;
  }

  /** The function that was lent as `id`. */
  lent(id: number): Lent | undefined {
    return this.#functions.get(id);
  }

  /** Puts the functions and signals of a call back into its arguments. */
  borrow(args: unknown[], references: readonly Reference[]): void {
    for (const { kind, id, path, aborted } of references) {
      const holder = path
        .slice(0, -1)
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], args);
      (holder as Record<string, unknown>)[path.at(-1)!] =
        kind === 'function' ? this.#function(id) : this.#signal(id, aborted);
    }
  }

  #function(id: number) {
    return (...args: unknown[]): Promise<unknown> => {
      const result = this.#sender.call(id, args);
      // A progress callback's promise has no reader: its rejection must not end the process.
      result.catch(() => {});
      return result;
    };
  }

  #signal(id: number, aborted: WireError | undefined): AbortSignal {
    const controller = new AbortController();
    if (aborted) controller.abort(unpackError(aborted));
    this.#controllers.set(id, controller);
    return controller.signal;
  }

  /** The other end's signal was aborted. */
  abort(id: number, reason: unknown): void {
    this.#controllers.get(id)?.abort(reason);
  }

  /** The call that these came with is over. */
  giveBack(references: readonly Reference[]): void {
    for (const { id } of references) this.#controllers.delete(id);
  }

  /** Aborts every signal that is borrowed. */
  abortAll(reason: unknown): void {
    for (const controller of this.#controllers.values()) controller.abort(reason);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
