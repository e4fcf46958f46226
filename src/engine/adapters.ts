import { refuseOption, ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/open-source.ts';
import type { Source } from '../formats/source.ts';
import { importModule } from '../lazy.ts';
import type { LoadedAdapter } from '../model/adapters.ts';
import type { Plan } from '../model/spec.ts';
import { abortSignal, givenOptions, isText } from './options.ts';
import type { Runner } from './runner.ts';
import { selfTest } from './self-test.ts';
import type { AdapterInfo, AdapterOptions, SelfTest } from './types.ts';

/** What adapters need of the model that they are for. */
export interface AdapterHost {
  runner: Runner;
  /** Opens a folder as the model's was opened. */
  open: (like: SourceLike) => Source;
  memoryLimit: number | undefined;
  selfTest: Pick<SelfTest, 'kernels'>;
}

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
    { runner, open, memoryLimit, selfTest: { kernels } }: AdapterHost,
    source: SourceLike,
    options: AdapterOptions,
    alone: (run: (plan: Plan) => Promise<void>, signal: AbortSignal | undefined) => Promise<void>,
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
      const { spec, gpu, weights, kv, scratch } = runner.parts;
      // What reads them is fetched with the first one.
      const { AdapterSet, readAdapter } = await importModule(() => import('../model/lora.ts'));
      const adapter = await readAdapter(open(source), spec, signal);
      const { rank, targets } = adapter;
      const tested = kernels !== 'off';
      let info: AdapterInfo | undefined;
      await alone(async (plan) => {
        const { ledger, parts } = runner;
        parts.adapters ??= new AdapterSet({
          gpu,
          ledger,
          spec,
          weights,
          sequences: kv.sequences,
          rows: scratch.rows,
          memoryLimit,
        });
        const set = parts.adapters;
        const loaded = await set.add(adapter);
        runner.forgetAdapted();
        try {
          await runner.warm(plan, true);
          if (tested) {
            set.choose(0, loaded);
            const [wrong] = await selfTest(runner, plan, true);
            if (wrong)
              throw new ShishuError(
                'self-test',
                `The kernels of adapters compute wrongly here: ${wrong.kernel}.`,
                {
                  details: { kernels: [wrong.kernel], found: wrong.found, expected: wrong.expected },
                  mend: 'Merge the adapter into the model, or update the browser or the GPU driver.',
                },
              );
          }
        } catch (error) {
          await set.remove(loaded);
          runner.forgetAdapted();
          throw error;
        }
        info = { name, rank, bytes: loaded.bytes, targets };
        this.#byName.set(name, { info, loaded, source });
      }, signal);
      return info!;
    } finally {
      this.#loading.delete(name);
    }
  }

  /** No step may be under way. @throws ShishuError `bad-argument` */
  async unload(runner: Runner, name: string): Promise<void> {
    const loaded = this.find(name);
    await runner.parts.adapters!.remove(loaded);
    this.#byName.delete(name);
    runner.forgetAdapted();
  }
}
