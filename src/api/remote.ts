import type { EngineModel } from '../engine/model-interface.ts';
import type { AdapterInfo, LoadOptions, ReloadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/open-source.ts';
import { withClient } from './chat.ts';
import type { LoadedModel } from './host.ts';
import { type Carried, MEMBER_ROWS, type Model, type ModelData } from './model.ts';
import { Peer } from './rpc.ts';
import { type TransferableSource, toTransferable } from './transferable.ts';

/** Options of `loadModel` for a model in a worker. */
export interface WorkerLoadOptions extends Omit<LoadOptions, 'device' | 'fetch'> {
  /**
   * The worker to load into, one that runs `shishulm/worker`; it is not ended with the model. `true`: one worker for all
   * models of the page, started with the first and ended with the last.
   */
  worker: true | Worker;
}

/** A worker and the number of models (and loads) that need it. */
interface Connection {
  peer: Peer;
  /** Takes what the worker tells of a model, by its number. */
  listeners: Map<number, { informed(data: ModelData): void; warned(message: string): void }>;
  users: number;
  /** The worker was started here, and is ended here. */
  own: boolean;
}

let shared: Connection | undefined;
const lent = new WeakMap<Worker, Connection>();

/**
 * `loadModel` in a Web Worker, so that the page stays free: same source, same options (but for `device` and
 * `fetch`, which cannot leave their thread). A source object's `read` and `size` are called on the page.
 * @throws ShishuError those of `loadModel`; `io` when the worker does not start.
 */
export async function loadModelInWorker(
  source: SourceLike,
  { worker, ...options }: WorkerLoadOptions = { worker: true },
): Promise<Model> {
  for (const name of ['device', 'fetch'])
    if (name in options)
      throw new ShishuError('bad-argument', `A model in a worker cannot use the page's "${name}".`, {
        details: { option: name },
        mend: 'Leave it out, or use loadModel.',
      });
  const transferable = toTransferable(source);
  const { onProgress: _, signal: __, ...lasting } = options;
  const open = async (passing: ReloadOptions): Promise<Opened> => {
    const connection = worker === true ? sharedConnection() : connectionTo(worker);
    connection.users++;
    try {
      const loaded = await connection.peer.call<LoadedModel>('load', transferable, {
        ...lasting,
        ...passing,
      });
      return { connection, ...loaded };
    } catch (error) {
      leave(connection);
      throw error;
    }
  };
  const { warn = (message: string) => console.warn(message) } = options;
  return remoteModel(transferable, await open(options), { open, warn });
}

/** A model in a worker. */
interface Opened extends LoadedModel {
  connection: Connection;
}

function remoteModel(
  source: TransferableSource,
  opened: Opened,
  { open, warn }: { open(options: ReloadOptions): Promise<Opened>; warn(message: string): void },
): Model {
  let at = opened;
  const take = (now: Opened): void => {
    at = now;
    now.connection.listeners.set(now.id, {
      informed(data) {
        now.data = data;
      },
      warned: warn,
    });
  };
  take(opened);
  /** Where the adapters that are loaded came from, by name. */
  const adapters = new Map<string, TransferableSource>();
  let disposed: Promise<void> | undefined;
  let reloading: Promise<void> | undefined;
  const live = (): Opened => {
    if (!disposed) return at;
    throw new ShishuError('disposed', 'The model was disposed.', { mend: 'Load it again to use it.' });
  };
  const freed = async (): Promise<void> => {
    const { connection, id } = at;
    try {
      await connection.peer.call('dispose', id);
    } finally {
      connection.listeners.delete(id);
      leave(connection);
    }
  };
  const reload = async (options: ReloadOptions): Promise<void> => {
    const { connection, id } = live();
    if (!connection.own || !connection.peer.closed)
      return connection.peer.call('reload', id, source, [...adapters], options);
    // The worker went, and all models in it.
    const { modes } = at.data.info;
    take(await open(options));
    if (disposed) await freed();
    const { peer } = live().connection;
    // Linear maps went with it.
    const kept = Object.entries(modes ?? {}).filter(([, mode]) => mode !== 'linear');
    if (kept.length > 0) await peer.call('setModes', at.id, Object.fromEntries(kept));
    for (const [name, from] of adapters) await peer.call('loadAdapter', at.id, from, { name });
    live();
  };
  const model: EngineModel = Object.assign(carriedOver(live, adapters), {
    reload(options: ReloadOptions = {}) {
      reloading ??= reload(options).finally(() => {
        reloading = undefined;
      });
      return reloading;
    },
    dispose() {
      disposed ??= at.connection.peer.closed ? Promise.resolve() : freed();
      return disposed;
    },
  });
  return withClient(model);
}

/**
 * The members of the table.
 * @param live the model that they are of; throws when it was disposed
 * @param adapters sources of those that are loaded, by name
 */
function carriedOver(live: () => Opened, adapters: Map<string, TransferableSource>): Carried {
  const members: PropertyDescriptorMap = {};
  for (const [name, { kind, source }] of MEMBER_ROWS) {
    if (kind === 'data') members[name] = { get: () => live().data[name as keyof ModelData] };
    else if (kind === 'call')
      members[name] = {
        async value(...args: unknown[]) {
          const { connection, id } = live();
          if (!source) {
            const value = await connection.peer.call(name, id, ...args);
            if (name === 'unloadAdapter') adapters.delete(args[0] as string);
            return value;
          }
          const carried = toTransferable(args[0] as SourceLike);
          const info = await connection.peer.call<AdapterInfo>(name, id, carried, ...args.slice(1));
          adapters.set(info.name, carried);
          return info;
        },
      };
    else
      members[name] = {
        async *value(...args: unknown[]) {
          const { connection, id } = live();
          return yield* connection.peer.stream(name, id, ...args);
        },
      };
  }
  return Object.defineProperties({}, members) as Carried;
}

function sharedConnection(): Connection {
  shared ??= openConnection(startWorker(), true);
  return shared;
}

function startWorker(): Worker {
  try {
    return new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  } catch (cause) {
    throw new ShishuError('io', `The worker of the model could not be started: ${cause}.`, {
      details: { worker: true },
      mend: "A worker's script must come from the page's own server: put shishulm there, or give a Worker of yours.",
      cause,
    });
  }
}

function connectionTo(worker: Worker): Connection {
  const connection = lent.get(worker) ?? openConnection(worker, false);
  lent.set(worker, connection);
  return connection;
}

function openConnection(worker: Worker, own: boolean): Connection {
  const listeners: Connection['listeners'] = new Map();
  const methods = {
    informed: (id: number, data: ModelData) => listeners.get(id)?.informed(data),
    warned: (id: number, message: string) => listeners.get(id)?.warned(message),
  };
  const peer = new Peer(worker, methods, () => {
    if (shared === connection) shared = undefined;
    lent.delete(worker);
    if (own) worker.terminate();
  });
  const connection: Connection = { peer, listeners, users: 0, own };
  worker.addEventListener('error', (event) => {
    // A script that cannot be fetched fires a plain Event without a message.
    const { message: said } = event as Partial<ErrorEvent>;
    peer.close(
      said
        ? new ShishuError('device-lost', `The worker of the model stopped: ${said}.`, {
            details: { worker: true },
            mend: 'Call reload() on the model, or load it again.',
          })
        : new ShishuError('io', 'The worker of the model did not start.', {
            details: { worker: true },
            mend: "Check that the page's server has the worker's script and that its content policy allows workers.",
          }),
    );
  });
  return connection;
}

function leave(connection: Connection): void {
  if (--connection.users === 0 && connection.own) connection.peer.close();
}
