import { openTable } from '../formats/database.ts';
import { shadersDigest } from '../gpu/shader.ts';
import { type TunedKernels, VARIANTS } from '../kernels/tuning.ts';
import type { ForwardParts } from '../model/forward.ts';
import type { Plan } from '../model/spec.ts';
import { type TuneOptions, tune } from './tune.ts';

/** Where choices of `tune` are kept between visits. */
export interface TuningStore {
  get(key: string): Promise<unknown>;
  set(key: string, choice: TunedKernels): Promise<void>;
}

const DATABASE = 'shishulm-tuning';
const TABLE = 'choices';

/** The browser's IndexedDB; undefined where there is none. */
function browserStore(): TuningStore | undefined {
  if (typeof indexedDB === 'undefined') return undefined;
  const { get, put } = openTable(DATABASE, TABLE);
  return { get, set: put };
}

/** A kept choice, if it is one that `tune` could make today: what is kept outside may be anything. */
function choiceOf(kept: unknown): TunedKernels | undefined {
  if (typeof kept !== 'object' || kept === null) return undefined;
  const choice: Record<string, unknown> = {};
  for (const [name, variants] of Object.entries(VARIANTS)) {
    const found = JSON.stringify((kept as Record<string, unknown>)[name]);
    choice[name] = variants.find((variant: unknown) => JSON.stringify(variant) === found);
    if (choice[name] === undefined) return undefined;
  }
  return choice as unknown as TunedKernels;
}

/** What a choice depends on: the adapter and its driver, the profile, the kernels' text, the model's shapes and dtypes. */
function keyOf({ gpu, spec, weights, kv }: ForwardParts): string {
  const { vendor, architecture, device, description } = gpu.device.adapterInfo ?? {};
  const shapes = new Set(
    spec.blocks.map(({ mixer, feedForward: { width } }) => {
      const heads = mixer.kind === 'attention' ? [mixer.heads, mixer.kvHeads, mixer.headDim] : [];
      return [mixer.kind, ...heads, width].join(' ');
    }),
  );
  const dtypes = new Set(
    [...weights.mlp.values()].flatMap(({ down }) => down.parts.map(({ dtype }) => dtype)),
  );
  return JSON.stringify([
    [vendor, architecture, device, description],
    gpu.profile,
    [gpu.features.f16, gpu.features.subgroups],
    shadersDigest(),
    [spec.hiddenSize, spec.vocabSize, ...shapes],
    [[...dtypes].join(), kv.dtype],
  ]);
}

/**
 * The choice that is kept for this model on this adapter, else a new one, which is kept. Never fails: no choice is the defaults.
 * @param filled when the weights are on the GPU: a new choice is made by running the model
 */
export async function keptTuning(
  parts: ForwardParts,
  plan: Plan,
  filled: Promise<void>,
  store: TuningStore | undefined = browserStore(),
  options?: TuneOptions,
): Promise<Partial<TunedKernels>> {
  try {
    const key = keyOf(parts);
    const kept = choiceOf(await store?.get(key).catch(() => undefined));
    if (kept) return kept;
    await filled;
    const choice = await tune(parts, plan, options);
    if (!options?.signal?.aborted) await store?.set(key, choice).catch(() => {});
    return choice;
  } catch {
    return {};
  }
}
