import type { EngineModel } from '../engine/model-interface.ts';
import type { AdapterInfo, LoadOptions, ReloadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/open-source.ts';
import { dataOf, MEMBER_ROWS, type ModelData } from './model.ts';
import { type Endpoint, type Methods, Peer, Transferred } from './rpc.ts';
import { openTransferable, type TransferableSource } from './transferable.ts';

export type HostedLoad = (source: SourceLike, options: LoadOptions) => Promise<EngineModel>;

/** What `load` answers: the number that names the model in later calls, and what is known of it. */
export interface LoadedModel {
  id: number;
  data: ModelData;
}

/** A model, and where it and its adapters came from. */
interface Hosted {
  model: EngineModel;
  source: TransferableSource;
  adapters: Map<string, TransferableSource>;
}

/** Serves models to the page at the other end of `endpoint`; all are freed when the connection closes. */
export function hostModels(endpoint: Endpoint, load: HostedLoad): Peer {
  const models = new Map<number, Hosted>();
  let nextId = 0;
  let closed = false;

  const find = (id: number): Hosted => {
    const found = models.get(id);
    if (found) return found;
    throw new ShishuError('disposed', 'The model was disposed.', { mend: 'Load it again.' });
  };
  /** A method of a model, called by its name. */
  const call = (id: number, name: string, args: unknown[]): unknown =>
    (find(id).model as unknown as Methods)[name]!(...args);

  /** Tells the page of a model's sizes and modes, before the answer of the call that may have changed them. */
  const inform = (id: number): void => {
    const found = models.get(id);
    if (found) peer.call('informed', id, dataOf(found.model)).catch(() => {});
  };
  const answer = async (id: number, name: string, args: unknown[]): Promise<unknown> => {
    try {
      return await call(id, name, args);
    } finally {
      inform(id);
    }
  };
  async function* stream(id: number, name: string, args: unknown[]): AsyncGenerator<unknown, unknown> {
    try {
      return yield* call(id, name, args) as AsyncGenerator<unknown, unknown>;
    } finally {
      inform(id);
    }
  }

  const carried: Methods = {};
  for (const [name, { kind, transfer, source }] of MEMBER_ROWS)
    if (kind === 'stream') carried[name] = (id: number, ...args) => stream(id, name, args);
    else if (kind === 'call')
      carried[name] = async (id: number, ...args) => {
        const from: TransferableSource | undefined = source && args[0];
        if (from) args[0] = openTransferable(from);
        const value = await answer(id, name, args);
        if (from) models.get(id)?.adapters.set((value as AdapterInfo).name, from);
        return transfer ? new Transferred(value, transfer(value)) : value;
      };

  const peer = new Peer(
    endpoint,
    {
      ...carried,
      async load(source: TransferableSource, options: LoadOptions): Promise<LoadedModel> {
        let id: number | undefined;
        const warn = (message: string): void => {
          // What the page lends for its load ends with it.
          if (id === undefined) (options.warn ?? console.warn)(message);
          else peer.call('warned', id, message).catch(() => {});
        };
        const model = await load(openTransferable(source), { ...options, warn });
        if (closed) {
          await model.dispose();
          throw new ShishuError('disposed', 'The page left while the model was loading.');
        }
        id = nextId++;
        models.set(id, { model, source, adapters: new Map() });
        return { id, data: dataOf(model) };
      },
      async reload(
        id: number,
        source: TransferableSource,
        adapters: [string, TransferableSource][],
        options: ReloadOptions,
      ) {
        // What the page lent for the load was lent for that call alone.
        const hosted = find(id);
        Object.assign(hosted.source, source);
        for (const [name, from] of adapters) Object.assign(hosted.adapters.get(name) ?? {}, from);
        await answer(id, 'reload', [options]);
      },
      async dispose(id: number) {
        const found = models.get(id);
        models.delete(id);
        await found?.model.dispose();
      },
    },
    () => {
      closed = true;
      for (const { model } of models.values()) void model.dispose();
      models.clear();
    },
  );
  return peer;
}
