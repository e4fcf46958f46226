// How a LoRA adapter gets onto the GPU: fetched with the first one.
import { ShishuError } from '../errors.ts';
import type { SourceLike } from '../formats/open-source.ts';
import { readAdapter } from '../model/adapter.ts';
import { AdapterSet, type LoadedAdapter } from '../model/adapters.ts';
import type { AdapterHost, Alone } from './model-parts.ts';
import { selfTest } from './self-test.ts';
import type { AdapterInfo } from './types.ts';

/**
 * Reads an adapter, puts it beside the model's weights and tests its kernels.
 * @param put told of it before others have their turn
 * @throws ShishuError those of `Model.loadAdapter`; then nothing has changed
 */
export async function putAdapter(
  { runner, open, memoryLimit, selfTest: { kernels } }: AdapterHost,
  source: SourceLike,
  name: string,
  signal: AbortSignal | undefined,
  alone: Alone,
  put: (info: AdapterInfo, loaded: LoadedAdapter) => void,
): Promise<AdapterInfo> {
  const { spec, gpu, weights, kv, scratch } = runner.parts;
  const adapter = await readAdapter(open(source), spec, signal);
  const { rank, targets } = adapter;
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
    runner.forgetBlocks(' adapted');
    try {
      await runner.warm(plan, true);
      if (kernels !== 'off') {
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
      runner.forgetBlocks(' adapted');
      throw error;
    }
    info = { name, rank, bytes: loaded.bytes, targets };
    put(info, loaded);
  }, signal);
  return info!;
}
