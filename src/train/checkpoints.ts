import { join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { bytesToF32 } from '../formats/float.ts';
import { openFolder } from '../formats/node-folder.ts';
import { encodeSafetensors, type NamedTensor, readHeader } from '../formats/safetensors.ts';
import { type ModelSpec, tensorsOf } from '../model/spec.ts';
import { readIfExists, readJsonFile, writeAtomic } from './io.ts';
import { type ModelFolder, modelFiles } from './model-files.ts';
import type { CurvePoint, RunState } from './run.ts';
import type { Snapshot } from './trainer.ts';
import { type CpuWeights, readWeights, weightsOf } from './weights.ts';

/** The file in the output folder that a run resumes from. */
export const CHECKPOINT = 'checkpoint.safetensors';

/** One model in a checkpoint. */
export interface CheckpointModel {
  name: string;
  /** `config.json` as it was given. */
  configJson: object;
  snapshot: Snapshot;
  curve: CurvePoint[];
}

export interface Checkpoint {
  models: CheckpointModel[];
  run: RunState;
  /** What must be the same for a run to resume: seed, rows, length, corpus; and the schedule, for the record. */
  settings: unknown;
}

/** What a snapshot holds of each tensor. */
const SETS = ['weights', 'first', 'second'] as const;

const f32Tensors = (weights: CpuWeights, prefix: string): NamedTensor[] =>
  Object.entries(weights).map(([name, { shape, data }]) => ({
    name: `${prefix}${name}`,
    dtype: 'F32',
    shape,
    data,
  }));

/** Writes a run's state as one safetensors file: f32 weights and moments, and the rest as JSON in its metadata. */
export async function writeCheckpoint(path: string, { models, run, settings }: Checkpoint): Promise<void> {
  const tensors = models.flatMap(({ name, snapshot }) =>
    SETS.flatMap((set) => f32Tensors(snapshot[set], `${name}/${set}/`)),
  );
  const state = {
    settings,
    run,
    models: models.map(({ name, configJson, snapshot, curve }) => ({
      name,
      configJson,
      step: snapshot.step,
      curve,
    })),
  };
  await writeAtomic(path, encodeSafetensors(tensors, { state: JSON.stringify(state) }));
}

/** The checkpoint in a folder, or undefined when there is none. */
export async function readCheckpoint(folder: string): Promise<Checkpoint | undefined> {
  if (!(await readIfExists(join(folder, CHECKPOINT)))) return undefined;
  const source = await openFolder(folder);
  const { tensors, metadata } = await readHeader(source, CHECKPOINT);
  const state = JSON.parse(metadata.state ?? '{}') as Omit<Checkpoint, 'models'> & {
    models: (Omit<CheckpointModel, 'snapshot'> & { step: number })[];
  };
  const read = (prefix: string, spec: ModelSpec): Promise<CpuWeights> =>
    weightsOf(spec, async (name) => {
      const entry = tensors.get(`${prefix}${name}`);
      if (!entry)
        throw new ShishuError('bad-checkpoint', `${CHECKPOINT} of ${folder} lacks ${prefix}${name}.`, {
          details: { file: CHECKPOINT, tensor: name },
        });
      return bytesToF32(await source.read(CHECKPOINT, entry.start, entry.end), 'F32');
    });
  const models: CheckpointModel[] = [];
  for (const { name, configJson, step, curve } of state.models ?? []) {
    if (!configJson)
      throw new ShishuError('bad-checkpoint', `${CHECKPOINT} of ${folder} is of an earlier version.`, {
        details: { file: CHECKPOINT },
        mend: 'Begin anew in another folder, or start from the saved model.',
      });
    const spec = specOf(configJson);
    const [weights, first, second] = await Promise.all(SETS.map((set) => read(`${name}/${set}/`, spec)));
    models.push({
      name,
      configJson,
      curve,
      snapshot: { step, weights: weights!, first: first!, second: second! },
    });
  }
  return { run: state.run, settings: state.settings, models };
}

/** Config and weights (as float32) of a model folder. */
export async function readModelFolder(folder: string): Promise<{ spec: ModelSpec; weights: CpuWeights }> {
  const spec = specOf(await readJsonFile(join(folder, 'config.json')));
  const checkpoint = await openCheckpoint(await openFolder(folder), tensorsOf(spec));
  return { spec, weights: await readWeights(checkpoint, spec) };
}

/** Writes a folder that the engine loads. */
export async function writeModelFolder(folder: string, model: ModelFolder): Promise<void> {
  for (const [name, content] of Object.entries(modelFiles(model)))
    await writeAtomic(join(folder, name), content);
}
