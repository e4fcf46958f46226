import { ShishuError } from '../errors.ts';
import { openTable } from '../formats/database.ts';
import { gpuDigest } from '../gpu/shader.ts';
import { type TunedKernels, VARIANTS } from '../kernels/tuning.ts';
import type { ForwardParts } from '../model/forward.ts';

/** Where choices of kernels are kept between visits. */
export interface TuningStore {
  get(key: string): Promise<unknown>;
  set(key: string, choice: TunedKernels): Promise<void>;
}

const DATABASE = 'shishulm-tuning';
const TABLE = 'choices';

/** The browser's IndexedDB; undefined where there is none. */
export function browserStore(): TuningStore | undefined {
  if (typeof indexedDB === 'undefined') return undefined;
  const { get, put } = openTable(DATABASE, TABLE);
  return { get, set: put };
}

/**
 * A choice of kernels that came from outside; those that it does not name are left to the defaults.
 * @throws ShishuError `bad-argument` that names a choice or a value that there is not
 */
export function checkTuning(given: unknown): Partial<TunedKernels> {
  const refuse = (what: string, mend: string): never => {
    throw new ShishuError('bad-argument', `Option "tuning" ${what}.`, {
      details: { option: 'tuning' },
      mend,
    });
  };
  const known = Object.keys(VARIANTS);
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return refuse(`is ${JSON.stringify(given)}`, `It is an object with ${known.join(', ')}.`);
  const choice: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (!known.includes(name)) return refuse(`has "${name}"`, `There is: ${known.join(', ')}.`);
    const variants: readonly unknown[] = VARIANTS[name as keyof TunedKernels];
    const words = wordsOf(value);
    choice[name] = variants.find((variant) => wordsOf(variant) === words);
    if (choice[name] === undefined)
      return refuse(
        `has ${JSON.stringify(value)} as "${name}"`,
        `There is: ${variants.map((variant) => JSON.stringify(variant)).join(', ')}.`,
      );
  }
  return choice;
}

/** A value in words, whatever the order of its fields. */
const wordsOf = (value: unknown): string =>
  JSON.stringify(typeof value === 'object' && value !== null ? Object.entries(value).sort() : value);

/** A kept choice, if it is one that could be made today: what is kept outside may be anything. */
function choiceOf(kept: unknown): TunedKernels | undefined {
  try {
    const choice = checkTuning(kept);
    return Object.keys(VARIANTS).every((name) => name in choice) ? (choice as TunedKernels) : undefined;
  } catch {
    return undefined;
  }
}

/** What a choice depends on: the adapter and its driver, the browser, the profile, the kernels' text, the model's shapes and dtypes. */
export async function tuningKey({ gpu, spec, weights, kv }: ForwardParts): Promise<string> {
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
    globalThis.navigator?.userAgent,
    gpu.profile,
    [gpu.features.f16, gpu.features.subgroups, gpu.subgroupSize],
    await gpuDigest(),
    [spec.hiddenSize, spec.vocabSize, ...shapes],
    [[...dtypes].join(), kv.dtype],
  ]);
}

/** The choice that is kept for this model on this adapter. Never fails. */
export const keptTuning = async (
  parts: ForwardParts,
  store: TuningStore | undefined,
): Promise<TunedKernels | undefined> => {
  if (!store) return undefined;
  return choiceOf(
    await tuningKey(parts)
      .then((key) => store.get(key))
      .catch(() => undefined),
  );
};

/** Keeps a choice for the next load. Never fails: it is made anew then. */
export const keepTuning = async (
  parts: ForwardParts,
  choice: TunedKernels,
  store: TuningStore | undefined,
): Promise<void> => {
  if (store)
    await tuningKey(parts)
      .then((key) => store.set(key, choice))
      .catch(() => {});
};
