import type { ModeSetting, PruneOrder } from '../engine/modes.ts';
import type {
  BatchChunk,
  GenerateChunk,
  GenerateOptions,
  GenerateResult,
  LinearMaps,
  LoadOptions,
  Message,
  ModelInfo,
  Prompt,
  ReloadOptions,
  Score,
  TokenIds,
  WholeOptions,
} from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { ChatTemplateOptions, ThoughtTags, ToolFormat } from '../formats/chat-template.ts';
import type { SourceLike } from '../formats/source.ts';
import { type Chat, chatOf } from './chat.ts';
import type { LoadedModel } from './host.ts';
import { Peer } from './rpc.ts';
import { type TransferableSource, toTransferable } from './transferable.ts';

export interface RemoteLoadOptions extends Omit<LoadOptions, 'device' | 'fetch'> {
  /**
   * The worker to load into, one that runs `shishulm/worker`; it is not ended with the model. Default, and `true`: one
   * worker for all models of the page, started with the first and ended with the last.
   */
  worker?: true | Worker;
}

/** A model in a worker: `Model`'s methods, where those that return a value at once return a promise. */
export interface RemoteModel {
  /** As it was after the last call that ended: sizes and modes change with `setModes` and what follows it. */
  readonly info: ModelInfo;
  readonly hasChatTemplate: boolean;
  readonly toolFormat: ToolFormat | undefined;
  readonly thoughtTags: readonly ThoughtTags[];
  /** As `LocalModel.chat`; the requests are shaped on the page. */
  readonly chat: Chat;
  /** As `Model.generate`: yields as the tokens come, returns the whole reply. Leaving the loop ends the reply. */
  generate(
    prompt: Prompt,
    options?: GenerateOptions,
  ): AsyncGenerator<GenerateChunk, GenerateResult, undefined>;
  /** As `Model.generateBatch`. */
  generateBatch(
    prompt: Prompt,
    n: number,
    options?: GenerateOptions,
  ): AsyncGenerator<BatchChunk, GenerateResult[], undefined>;
  /** As `Model.score`. */
  score(tokenIds: TokenIds, options?: WholeOptions): Promise<Score>;
  /** As `Model.logits`: `(tokens, vocab)`, moved here without a copy. */
  logits(tokenIds: TokenIds, options?: WholeOptions): Promise<Float32Array<ArrayBuffer>>;
  /** As `Model.setModes`. */
  setModes(setting: ModeSetting, options?: { releaseKv?: boolean }): Promise<void>;
  /** As `Model.setPruneOrder`. */
  setPruneOrder(order: PruneOrder): Promise<void>;
  /** As `Model.releaseUnusedKv`. */
  releaseUnusedKv(): Promise<void>;
  /** As `Model.setLinearMaps`. */
  setLinearMaps(maps: LinearMaps): Promise<void>;
  encode(text: string): Promise<number[]>;
  decode(tokenIds: TokenIds): Promise<string>;
  applyChatTemplate(messages: readonly Message[], options?: ChatTemplateOptions): Promise<string>;
  reset(): Promise<void>;
  /** As `Model.reload`, but that a `device` cannot leave its thread; a worker of the package's own that stopped is replaced. */
  reload(options?: ReloadOptions): Promise<void>;
  /** Waits for the running call, then frees the model's memory on the GPU; calls that were queued end with an error. */
  dispose(): Promise<void>;
}

/** A worker and the number of models (and loads) that need it. */
interface Line {
  peer: Peer;
  /** Takes what the worker tells of a model, by its number. */
  informed: Map<number, (info: ModelInfo) => void>;
  users: number;
  /** The worker was started here, and is ended here. */
  own: boolean;
}

let shared: Line | undefined;
const lent = new WeakMap<Worker, Line>();

/**
 * `loadModel` in a Web Worker, so that the page stays free: same source, same options (but for `device` and
 * `fetch`, which cannot leave their thread). A source object's `read` and `size` are called on the page.
 * @throws ShishuError those of `loadModel`; `io` when the worker does not start.
 */
export async function loadModelInWorker(
  source: SourceLike,
  { worker = true, ...options }: RemoteLoadOptions = {},
): Promise<RemoteModel> {
  for (const name of ['device', 'fetch'])
    if (name in options)
      throw new ShishuError('bad-argument', `A model in a worker cannot use the page's "${name}".`, {
        details: { option: name },
        mend: 'Leave it out, or use loadModel.',
      });
  const transferable = toTransferable(source);
  const { onProgress: _, signal: __, ...lasting } = options;
  const open = async (passing: ReloadOptions): Promise<Opened> => {
    const line = worker === true ? sharedLine() : lineTo(worker);
    line.users++;
    try {
      const loaded = await line.peer.call<LoadedModel>('load', transferable, { ...lasting, ...passing });
      return { line, loaded };
    } catch (error) {
      leave(line);
      throw error;
    }
  };
  return remoteModel(transferable, await open(options), open);
}

/** A model and the line to its worker. */
interface Opened {
  line: Line;
  loaded: LoadedModel;
}

function remoteModel(
  source: TransferableSource,
  opened: Opened,
  open: (options: ReloadOptions) => Promise<Opened>,
): RemoteModel {
  let { line, loaded } = opened;
  const take = (now: Opened): void => {
    ({ line, loaded } = now);
    line.informed.set(loaded.id, (info) => {
      loaded = { ...loaded, info };
    });
  };
  take(opened);
  let disposed: Promise<void> | undefined;
  let reloading: Promise<void> | undefined;
  const call = <T>(method: string, ...args: unknown[]): Promise<T> =>
    line.peer.call(method, loaded.id, ...args);
  const freed = (): Promise<void> =>
    call<void>('dispose').finally(() => {
      line.informed.delete(loaded.id);
      leave(line);
    });
  const reload = async (options: ReloadOptions): Promise<void> => {
    if (disposed || !line.own || !line.peer.closed) return call('reload', source, options);
    // The worker went, and all models in it.
    take(await open(options));
    if (disposed) {
      await freed();
      throw new ShishuError('disposed', 'The model was disposed while it was reloaded.');
    }
  };
  const model: Omit<RemoteModel, 'chat'> = {
    get info() {
      return loaded.info;
    },
    hasChatTemplate: loaded.hasChatTemplate,
    toolFormat: loaded.toolFormat,
    thoughtTags: loaded.thoughtTags,
    generate: (prompt, options = {}) => line.peer.stream('generate', loaded.id, prompt, options),
    generateBatch: (prompt, n, options = {}) =>
      line.peer.stream('generateBatch', loaded.id, prompt, n, options),
    score: (tokenIds, options = {}) => call('score', tokenIds, options),
    logits: (tokenIds, options = {}) => call('logits', tokenIds, options),
    setModes: (setting, options = {}) => call('setModes', setting, options),
    setPruneOrder: (order) => call('setPruneOrder', order),
    releaseUnusedKv: () => call('releaseUnusedKv'),
    setLinearMaps: (maps) => call('setLinearMaps', maps),
    encode: (text) => call('encode', text),
    decode: (tokenIds) => call('decode', tokenIds),
    applyChatTemplate: (messages, options = {}) => call('applyChatTemplate', messages, options),
    reset: () => call('reset'),
    reload: (options = {}) => {
      reloading ??= reload(options).finally(() => {
        reloading = undefined;
      });
      return reloading;
    },
    dispose: () => {
      disposed ??= line.peer.closed ? Promise.resolve() : freed();
      return disposed;
    },
  };
  return Object.assign(model, { chat: chatOf(model) });
}

function sharedLine(): Line {
  shared ??= openLine(startWorker(), true);
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

function lineTo(worker: Worker): Line {
  const line = lent.get(worker) ?? openLine(worker, false);
  lent.set(worker, line);
  return line;
}

function openLine(worker: Worker, own: boolean): Line {
  const informed: Line['informed'] = new Map();
  const methods = { informed: (id: number, info: ModelInfo) => informed.get(id)?.(info) };
  const peer = new Peer(worker, methods, () => {
    if (shared === line) shared = undefined;
    lent.delete(worker);
    if (own) worker.terminate();
  });
  const line: Line = { peer, informed, users: 0, own };
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
  return line;
}

function leave(line: Line): void {
  if (--line.users === 0 && line.own) line.peer.close();
}
