import type { LoadOptions, LoadProgress, ReloadOptions } from '../../src/engine/types.ts';
import { loadModel, type Model, type ProfileOption } from '../../src/index.ts';
import { hubOfPage } from '../hub.ts';
import { text } from '../text/index.ts';
import { announce, byId } from './dom.ts';
import { bytes } from './format.ts';
import type { ModelChoice } from './model-choice.ts';
import { showNote } from './notices.ts';
import { keepAwake } from './phone.ts';

/** What the reader should know of a load; the rest is of kernels, and for developers. */
function warn(message: string): void {
  console.warn(message);
  if (/not kept/.test(message)) showNote(message);
}

/** Loads one model at a time, with a bar and a way out; a model that is replaced is freed first. */
export class Loader {
  /** The model that is ready, and where it came from. */
  loaded: { model: Model; choice: ModelChoice } | undefined;
  readonly #place = byId('loading', HTMLElement);
  readonly #bar = byId('load-bar', HTMLProgressElement);
  readonly #text = byId('load-text', HTMLSpanElement);
  readonly #profile: ProfileOption;
  #abort: AbortController | undefined;
  /** The load (or unload) before; the next waits for it, so that two models never share the memory. */
  #before: Promise<unknown> = Promise.resolve();

  constructor(profile: ProfileOption) {
    this.#profile = profile;
    byId('cancel-load', HTMLButtonElement).addEventListener('click', () => this.#abort?.abort());
  }

  get busy(): boolean {
    return this.#abort !== undefined;
  }

  /** Frees the model at hand and loads another; undefined when cancelled, or replaced by a later choice. */
  load(
    choice: ModelChoice,
    size: Pick<LoadOptions, 'dtype' | 'contextLength' | 'memoryLimit'>,
  ): Promise<Model | undefined> {
    return this.#begin(choice.label, async (options) => {
      const last = this.loaded;
      this.loaded = undefined;
      await last?.model.dispose();
      if (options.signal.aborted) return;
      const model = await loadModel(choice.source, {
        worker: true,
        profile: this.#profile,
        hub: hubOfPage(),
        warn,
        ...size,
        ...options,
      });
      if (options.signal.aborted) await model.dispose();
      else this.loaded = { model, choice };
    });
  }

  /** Loads the model at hand again, whose GPU was lost. */
  reload(): Promise<Model | undefined> {
    return this.#begin(this.loaded?.choice.label ?? '', async (options) => {
      const lost = this.loaded;
      this.loaded = undefined;
      // Where it fails, it can be tried again.
      await lost?.model.reload(options).finally(() => {
        this.loaded = lost;
      });
    });
  }

  #begin(
    label: string,
    work: (options: ReloadOptions & { signal: AbortSignal }) => Promise<void>,
  ): Promise<Model | undefined> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const load = this.#before.then(() => this.#run(label, work, abort));
    this.#before = load.catch(() => {});
    return load;
  }

  async #run(
    label: string,
    work: (options: ReloadOptions & { signal: AbortSignal }) => Promise<void>,
    abort: AbortController,
  ): Promise<Model | undefined> {
    const { signal } = abort;
    const onProgress = (progress: LoadProgress): void => {
      if (!signal.aborted) this.#show(label, progress);
    };
    const sleep = keepAwake();
    try {
      if (!signal.aborted) this.#show(label);
      await work({ onProgress, signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      sleep();
      this.#end(abort);
    }
    return this.loaded?.model;
  }

  #end(abort: AbortController): undefined {
    if (this.#abort !== abort) return;
    this.#abort = undefined;
    this.#place.hidden = true;
  }

  #show(label: string, progress?: LoadProgress): void {
    if (this.#place.hidden) announce(text.isLoading(label));
    this.#place.hidden = false;
    if (!progress || progress.totalBytes === 0) {
      this.#bar.removeAttribute('value');
      this.#text.textContent = `${text.isLoading(label)}…`;
      return;
    }
    const { phase, loadedBytes, totalBytes, kernels } = progress;
    const reading = phase === 'read';
    this.#bar.max = reading ? totalBytes : Math.max(1, kernels.total);
    this.#bar.value = reading ? loadedBytes : kernels.compiled;
    const said = reading
      ? [text.loadingBytes(label, bytes(loadedBytes), bytes(totalBytes))]
      : [text.preparing(label)];
    if (kernels.compiled < kernels.total) said.push(text.compiled(kernels.compiled, kernels.total));
    else if (!reading) said.push(text.checking);
    this.#text.textContent = said.join('; ');
  }
}
