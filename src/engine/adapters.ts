import { refuseOption, ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/open-source.ts';
import { importModule } from '../lazy.ts';
import type { LoadedAdapter } from '../model/adapters.ts';
import type { AdapterHost, Alone } from './model-parts.ts';
import { abortSignal, givenOptions, isText } from './options.ts';
import type { Runner } from './runner.ts';
import type { AdapterInfo, AdapterOptions } from './types.ts';

interface Named {
  info: AdapterInfo;
  loaded: LoadedAdapter;
  source: SourceLike;
}

/** The last part of an address or a path, or of a hub's name. */
function nameOf(source: SourceLike): string | undefined {
  const text =
    typeof source === 'string' || source instanceof URL
      ? String(source)
      : typeof source === 'object' && source !== null && 'name' in source
        ? source.name
        : undefined;
  return text
    ?.replace(/[?#].*$/, '')
    .split(/[/\\]/)
    .filter((part) => part !== '')
    .at(-1);
}

/** The LoRA adapters of a loaded model, by name. */
export class Adapters {
  readonly #byName = new Map<string, Named>();
  readonly #loading = new Set<string>();

  get info(): AdapterInfo[] {
    return [...this.#byName.values()].map(({ info }) => info);
  }

  /** Where each came from, by name. */
  get sources(): [name: string, source: SourceLike][] {
    return [...this.#byName].map(([name, { source }]) => [name, source]);
  }

  /** @throws ShishuError `bad-argument` where none has the name */
  find(name: string): LoadedAdapter;
  find(name: string | undefined): LoadedAdapter | undefined;
  find(name: string | undefined): LoadedAdapter | undefined {
    if (name === undefined) return undefined;
    const found = this.#byName.get(name);
    if (found) return found.loaded;
    const names = [...this.#byName.keys()];
    throw new ShishuError('bad-argument', `No adapter "${name}" is loaded.`, {
      details: { option: 'adapter', value: name, adapters: names },
      mend: names.length > 0 ? `Loaded: ${names.join(', ')}.` : 'Load it with loadAdapter.',
    });
  }

  /**
   * @param alone runs what changes the model, when no step is under way; K and V of sequence 0 are written over
   * @throws ShishuError those of `Model.loadAdapter`
   */
  async load(
    host: AdapterHost,
    source: SourceLike,
    options: AdapterOptions,
    alone: Alone,
  ): Promise<AdapterInfo> {
    const { name = nameOf(source) ?? 'adapter', signal } = givenOptions<AdapterOptions>(options, {
      name: (name, value) => (isText(value) ? value : refuseOption(name, value, 'a text')),
      signal: abortSignal,
    });
    if (this.#byName.has(name) || this.#loading.has(name))
      throw new ShishuError('bad-argument', `An adapter "${name}" is loaded already.`, {
        details: { option: 'name', value: name },
        mend: 'Give it another name with the option "name", or unload the other.',
      });
    this.#loading.add(name);
    try {
      // What reads them, and their kernels, are fetched with the first one.
      const { putAdapter } = await importModule(() => import('./load-adapter.ts'));
      return await putAdapter(host, source, name, signal, alone, (info, loaded) =>
        this.#byName.set(name, { info, loaded, source }),
      );
    } finally {
      this.#loading.delete(name);
    }
  }

  /** No step may be under way. @throws ShishuError `bad-argument` */
  async unload(runner: Runner, name: string): Promise<void> {
    const loaded = this.find(name);
    await runner.parts.adapters!.remove(loaded);
    this.#byName.delete(name);
    runner.forgetBlocks(' adapted');
  }
}
