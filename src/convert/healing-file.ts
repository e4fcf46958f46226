import { ShishuError } from '../errors.ts';
import { bytesToF32 } from '../formats/float.ts';
import { readHeader } from '../formats/safetensors.ts';
import { mayBeMissing } from '../formats/source.ts';
import type { Snapshot } from '../train/trainer.ts';
import type { CpuWeights } from '../train/weights.ts';
import type { ChildTensor } from './child.ts';
import type { HealingState, KeptHealing } from './healing-run.ts';
import { HEALING_FILE, type Staged, tensorFile } from './staged.ts';

/**
 * Writes a run's state as one safetensors file: weights and moments in f32, tensor by tensor, the rest as JSON in its metadata.
 * @throws ShishuError `io`; then the file of before is left as it was
 */
export function writeHealing(staged: Pick<Staged, 'write'>, { snapshot, state }: KeptHealing): Promise<void> {
  const { step, ...sets } = snapshot;
  const tensors = Object.entries(sets).flatMap(([set, weights]: [string, CpuWeights]) =>
    Object.entries(weights).map(([name, { shape, data }]): ChildTensor => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return { name: `${set}/${name}`, dtype: 'F32', shape, read: async () => bytes };
    }),
  );
  // Sums over tensors are in their order, which a file does not keep.
  const names = tensors.map(({ name }) => name);
  return staged.write(HEALING_FILE, tensorFile(tensors, { healing: JSON.stringify({ step, state, names }) }));
}

/** The state that `writeHealing` wrote; undefined where there is none. @throws ShishuError `bad-checkpoint`, `io` */
export async function readHealing({ source }: Pick<Staged, 'source'>): Promise<KeptHealing | undefined> {
  const header = await readHeader(source, HEALING_FILE).catch((error) => {
    if (mayBeMissing(error)) return undefined;
    throw error;
  });
  if (!header) return undefined;
  const { metadata, tensors } = header;
  if (metadata.healing === undefined)
    throw new ShishuError(
      'bad-checkpoint',
      `${HEALING_FILE} of ${source.name} is no checkpoint of healing.`,
      {
        details: { file: HEALING_FILE },
        mend: 'Remove it to begin anew.',
      },
    );
  const { step, state, names } = JSON.parse(metadata.healing) as {
    step: number;
    state: HealingState;
    names: string[];
  };
  const sets: Record<string, CpuWeights> = {};
  for (const key of names) {
    const { shape, start, end } = tensors.get(key)!;
    const at = key.indexOf('/');
    const set = key.slice(0, at);
    sets[set] ??= {};
    sets[set][key.slice(at + 1)] = {
      shape,
      data: bytesToF32(await source.read(HEALING_FILE, start, end), 'F32'),
    };
  }
  return { snapshot: { step, ...sets } as unknown as Snapshot, state };
}
