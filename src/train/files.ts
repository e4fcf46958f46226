import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { f32ToF16 } from '../formats/float.ts';
import { encodeSafetensors, type NamedTensor } from '../formats/safetensors.ts';
import type { ModelConfig } from '../model/config.ts';
import type { Bpe } from './bpe.ts';
import { type HostWeights, ownSpecs } from './model.ts';
import type { CurvePoint, RunState } from './run.ts';
import type { Snapshot } from './trainer.ts';

/** The file in the output folder that a run goes on from. */
export const CHECKPOINT = 'checkpoint.safetensors';

const reasons: Record<string, string> = {
  ENOSPC: 'Free some disk space, then run the same command: it goes on from the last checkpoint.',
  EDQUOT: 'Free some disk space, then run the same command: it goes on from the last checkpoint.',
  EACCES: 'Choose a folder that you may write to.',
  EROFS: 'Choose a folder that you may write to.',
};

/** Writes beside the file, flushes, then renames: whoever reads finds the old file or the new one, never a part. */
export async function writeWhole(path: string, data: Uint8Array | string): Promise<void> {
  const beside = `${path}.part`;
  try {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(beside, 'w');
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (cause) {
    await rm(beside, { force: true }).catch(() => {});
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    throw new ShishuError('io', `Could not write ${path}: ${(cause as Error).message}.`, {
      details: { file: path },
      ...(reasons[code] && { mend: reasons[code] }),
      cause,
    });
  }
}

/** The file's bytes, or undefined when there is none. */
export async function readIfThere(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ShishuError('io', `Could not read ${path}: ${(cause as Error).message}.`, {
      details: { file: path },
      cause,
    });
  }
}

/** Parses a JSON file. */
export async function readJson(path: string): Promise<unknown> {
  const bytes = await readIfThere(path);
  if (!bytes) throw new ShishuError('not-found', `There is no file ${path}.`, { details: { file: path } });
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new ShishuError('bad-config', `${path} is not JSON: ${(cause as Error).message}.`, {
      details: { file: path },
      cause,
    });
  }
}

/** Reads a model's config from its file or from the folder that holds it; `name` is the file's or folder's. */
export async function readConfigFile(path: string): Promise<{ name: string; json: unknown }> {
  const folder = await stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
  return {
    name: basename(path, '.json'),
    json: await readJson(folder ? join(path, 'config.json') : path),
  };
}

/** One model in a checkpoint. */
export interface CheckpointModel {
  name: string;
  config: ModelConfig;
  snapshot: Snapshot;
  curve: CurvePoint[];
}

export interface Checkpoint {
  models: CheckpointModel[];
  run: RunState;
  /** Whatever must be the same for a run to go on: seed, schedule, shapes, merges. */
  settings: unknown;
}

const PARTS = ['weights', 'first', 'second'] as const;

const f32Tensors = (weights: HostWeights, prefix: string): NamedTensor[] =>
  Object.entries(weights).map(([name, { shape, data }]) => ({
    name: `${prefix}${name}`,
    dtype: 'F32',
    shape,
    data,
  }));

/** Writes a run whole, as one safetensors file: f32 weights and moments, and the rest as JSON in its metadata. */
export async function writeCheckpoint(path: string, { models, run, settings }: Checkpoint): Promise<void> {
  const tensors = models.flatMap(({ name, snapshot }) =>
    PARTS.flatMap((part) => f32Tensors(snapshot[part], `${name}/${part}/`)),
  );
  const state = {
    settings,
    run,
    models: models.map(({ name, config, snapshot, curve }) => ({ name, config, step: snapshot.step, curve })),
  };
  await writeWhole(path, encodeSafetensors(tensors, { state: JSON.stringify(state) }));
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

export interface ModelFolder {
  /** `config.json` as it was given. */
  configJson: object;
  config: ModelConfig;
  weights: HostWeights;
  bpe: Bpe;
  /** `training.json` */
  training: object;
}

/** Writes a folder that the engine loads: f16 safetensors, config, tokenizer; and `training.json`. */
export async function writeModelFolder(folder: string, model: ModelFolder): Promise<void> {
  const { configJson, config, weights, bpe, training } = model;
  const tensors = ownSpecs(config).map(({ name, shape }): NamedTensor => {
    return { name, dtype: 'F16', shape, data: f32ToF16(weights[name]!.data) };
  });
  const end = config.eosTokenIds[0];
  await writeWhole(join(folder, 'config.json'), json(configJson));
  await writeWhole(join(folder, 'tokenizer.json'), `${JSON.stringify(bpe.tokenizerJson())}\n`);
  await writeWhole(join(folder, 'tokenizer_config.json'), json(bpe.configJson(config.maxPositions)));
  await writeWhole(
    join(folder, 'generation_config.json'),
    json({ bos_token_id: config.bosTokenId, eos_token_id: end, do_sample: false }),
  );
  await writeWhole(join(folder, 'training.json'), json(training));
  await writeWhole(join(folder, 'model.safetensors'), encodeSafetensors(tensors, { format: 'pt' }));
}
