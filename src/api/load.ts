import type { Estimate, FittingSize } from '../engine/estimate.ts';
import type { LoadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/open-source.ts';
import { importModule } from '../lazy.ts';
import { withClient } from './chat.ts';
import type { CrashedLoad } from './crash-notes.ts';
import type { Model } from './model.ts';
import type { WorkerLoadOptions } from './remote.ts';

const crashNotes = () => importModule(() => import('./crash-notes.ts'));

/** Options of `loadModel` for a model in the page's own thread. */
export interface LocalLoadOptions extends LoadOptions {
  worker?: false;
}

/**
 * Loads a model folder (`config.json`, safetensors, tokenizer) onto the GPU. With `worker`, everything runs in a Web
 * Worker and the page stays free; `device` and `fetch` cannot leave their thread and are refused. Without, the engine runs
 * in the page's own thread. The model is the same either way.
 * @param source `owner/name` on a hub, URL of the folder, `File[]`, a directory handle, or an object with
 * `read(name, start?, end?)`
 * @throws ShishuError `no-webgpu`, `not-found`, `bad-argument`, `bad-config`, `unsupported`, `bad-checkpoint`,
 * `bad-tokenizer`, `io`, `does-not-fit`, `out-of-memory`, `aborted`; nothing is left on the GPU then
 */
export async function loadModel(
  source: SourceLike,
  options: LocalLoadOptions | WorkerLoadOptions = {},
): Promise<Model> {
  const { worker = false } = options;
  if (typeof worker !== 'boolean' && typeof worker?.postMessage !== 'function')
    throw new ShishuError('bad-argument', 'The option "worker" is neither true, false nor a Worker.', {
      details: { option: 'worker' },
    });
  const starting = options.worker
    ? importModule(() => import('./remote.ts')).then(
        (remote) => () => remote.loadModelInWorker(source, options as WorkerLoadOptions),
      )
    : importModule(() => import('../engine/engine.ts')).then((engine) => async () => {
        return withClient(await engine.loadModel(source, options as LocalLoadOptions));
      });
  const [load, { CrashNotes, crashNoteName }] = await Promise.all([starting, crashNotes()]);
  // It is noted long before the headers have come, and memory is taken.
  const noted = CrashNotes.here().begin(crashNoteName(source), options);
  try {
    return await load();
  } finally {
    await (await noted)();
  }
}

/**
 * Loads on this origin that never ended: their tab went while they ran, most often for lack of memory. The latest first;
 * loads that run in other tabs are not among them. A load of the same model that ends, well or not, takes its entry away.
 */
export async function crashedLoads(): Promise<CrashedLoad[]> {
  return (await crashNotes()).CrashNotes.here().crashed();
}

/** Forgets crashed loads: of one model, as `CrashedLoad.model` names it, or all. */
export async function forgetCrashedLoads(model?: string): Promise<void> {
  return (await crashNotes()).CrashNotes.here().forget(model);
}

/** `estimate`'s answer, and what became of the last load of the model. */
export interface LoadEstimate extends Estimate {
  /** The last load of this model never ended: see `crashedLoads`. */
  crashed?: CrashedLoad;
  /** Then the largest choice that takes clearly less than what crashed. */
  smaller?: FittingSize;
}

/**
 * What `loadModel` with the same arguments would take on this GPU. Reads only `config.json` and the headers of the
 * weights, past the cache, and takes no memory on the GPU. Tells also when the last load of the model never ended.
 * @throws ShishuError those of `loadModel`, but for `does-not-fit` and `out-of-memory`
 */
export async function estimate(source: SourceLike, options: LoadOptions = {}): Promise<LoadEstimate> {
  const engine = await importModule(() => import('../engine/estimate.ts'));
  const name = (await crashNotes()).crashNoteName(source);
  const crashed = (await crashedLoads()).find(({ model }) => model === name);
  if (!crashed) return engine.estimate(source, options);
  // The folder may hold another model by now.
  const smaller = await engine.smallerThan(source, options, crashed).catch(() => undefined);
  return { ...(await engine.estimate(source, options)), crashed, ...(smaller && { smaller }) };
}
