import type { Estimate } from '../engine/estimate.ts';
import type { Model } from '../engine/model.ts';
import type { LoadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/source.ts';
import { part } from '../part.ts';
import { type Chat, chatOf } from './chat.ts';
import type { RemoteLoadOptions, RemoteModel } from './remote.ts';

/** A model in the page's own thread. */
export interface LocalModel extends Model {
  /** `chat.completions.create({messages, stream, ...})`, in OpenAI's shapes. */
  readonly chat: Chat;
}

/** Options of `loadModel` for a model in the page's own thread. */
export interface LocalLoadOptions extends LoadOptions {
  worker?: false;
}

/** Options of `loadModel` for a model in a worker. */
export interface WorkerLoadOptions extends RemoteLoadOptions {
  worker: true | Worker;
}

/**
 * Loads a model folder (`config.json`, safetensors, tokenizer) onto the GPU. With `worker`, everything runs in a Web
 * Worker and the page stays free: the methods are the same, but those that return a value at once return a promise;
 * `device` and `fetch` cannot leave their thread and are refused. Without, the engine runs in the page's own thread.
 * @param source `owner/name` on a hub, URL of the folder, `File[]`, a directory handle, or an object with
 * `read(name, start?, end?)`
 * @throws ShishuError `no-webgpu`, `not-found`, `bad-argument`, `bad-config`, `unsupported`, `bad-checkpoint`,
 * `bad-tokenizer`, `io`, `does-not-fit`, `out-of-memory`, `aborted`; nothing is left on the GPU then
 */
export function loadModel(source: SourceLike, options: WorkerLoadOptions): Promise<RemoteModel>;
export function loadModel(source: SourceLike, options?: LocalLoadOptions): Promise<LocalModel>;
export function loadModel(
  source: SourceLike,
  options: LocalLoadOptions | WorkerLoadOptions,
): Promise<LocalModel | RemoteModel>;
export async function loadModel(
  source: SourceLike,
  options: LocalLoadOptions | WorkerLoadOptions = {},
): Promise<LocalModel | RemoteModel> {
  const { worker = false } = options;
  if (typeof worker !== 'boolean' && typeof worker?.postMessage !== 'function')
    throw new ShishuError('bad-argument', 'The option "worker" is neither true, false nor a Worker.', {
      details: { option: 'worker' },
    });
  if (options.worker) {
    const remote = await part(() => import('./remote.ts'));
    return remote.loadModelInWorker(source, options);
  }
  const engine = await part(() => import('../engine/engine.ts'));
  const model = await engine.loadModel(source, options);
  return Object.assign(model, { chat: chatOf(model) });
}

/**
 * What `loadModel` with the same arguments would take on this GPU. Reads only `config.json` and the headers of the
 * weights, past the cache, and takes no memory on the GPU.
 * @throws ShishuError those of `loadModel`, but for `does-not-fit` and `out-of-memory`
 */
export async function estimate(source: SourceLike, options: LoadOptions = {}): Promise<Estimate> {
  const engine = await part(() => import('../engine/estimate.ts'));
  return engine.estimate(source, options);
}
