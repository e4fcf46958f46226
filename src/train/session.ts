import { join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import type { Gpu } from '../gpu/device.ts';
import { attentionOf, type ModelSpec, ownTensors, parameterCount } from '../model/spec.ts';
import { BatchStream, heldOutBatches, type TrainingData } from './batches.ts';
import { Bpe, MIN_VOCAB } from './bpe.ts';
import { type ChatCorpus, chatData } from './chat-corpus.ts';
import { END } from './chat-format.ts';
import {
  CHECKPOINT,
  type Checkpoint,
  type CheckpointModel,
  readCheckpoint,
  readModelFolder,
  writeCheckpoint,
  writeModelFolder,
} from './checkpoints.ts';
import { initialWeights } from './initial.ts';
import { readConfigFile, readIfExists, readJsonFile } from './io.ts';
import type { Schedule } from './optimizer.ts';
import { type RunProgress, type RunState, run, type TrainingModel } from './run.ts';
import { paragraphsOf, textData } from './text-data.ts';
import { type Teacher, Trainer } from './trainer.ts';
import type { CpuWeights } from './weights.ts';

/** What `shishulm train` was asked for. */
export interface TrainRequest {
  /** Config files or folders; with several, models train side by side on the same batches. */
  configs: readonly string[];
  out: string;
  schedule: Schedule;
  seed: number;
  /** Rows of a batch, and tokens of a row. */
  rows: number;
  length: number;
  checkpointMinutes: number;
  /** A folder with the weights to start from. */
  from?: string | undefined;
  /** A folder with the model to distil, and the share of the loss that is KL to it. */
  teacher?: string | undefined;
  mix: number;
  /** The built-in corpus. */
  corpus: ChatCorpus;
  /** A text file to train on instead. */
  textFile?: string | undefined;
  log: (line: string) => void;
  signal: AbortSignal;
}

/** The config of a model to be trained. */
interface ConfigFile {
  name: string;
  configJson: object;
  spec: ModelSpec;
}

const HELD_OUT_BATCHES = 4;

async function readModelConfig(path: string): Promise<ConfigFile> {
  const { name, json } = await readConfigFile(path);
  const spec = specOf(json);
  if (spec.vocabSize < MIN_VOCAB)
    throw new ShishuError('bad-config', `${path}: "vocab_size" ${spec.vocabSize} is too small.`, {
      details: { file: path, number: spec.vocabSize, limit: MIN_VOCAB },
      mend: `Use at least ${MIN_VOCAB}.`,
    });
  return { name, configJson: json as object, spec };
}

/** The text file, or the built-in corpus. */
async function dataOf({ textFile, corpus, seed, length }: TrainRequest): Promise<TrainingData> {
  if (textFile === undefined) return chatData(corpus, seed);
  const bytes = await readIfExists(textFile);
  if (!bytes)
    throw new ShishuError('not-found', `There is no corpus file ${textFile}.`, {
      details: { file: textFile },
    });
  return textData(paragraphsOf(textFile, bytes), seed, length);
}

/** Weights of `from` that a model of this config begins with: every tensor by its name. */
function startingWeights({ name, spec }: ConfigFile, from: string, weights: CpuWeights): CpuWeights {
  return Object.fromEntries(
    ownTensors(spec).map((tensor) => {
      const found = weights[tensor.name];
      if (found?.shape.join() === tensor.shape.join()) return [tensor.name, found];
      throw new ShishuError(
        'bad-checkpoint',
        `${from} does not fit the config of ${name}: ${tensor.name} is ${found ? `(${found.shape})` : 'missing'}, expected (${tensor.shape}).`,
        { details: { file: from, tensor: tensor.name }, mend: 'Give a model of the same sizes.' },
      );
    }),
  );
}

/** @throws ShishuError `bad-checkpoint` when the checkpoint is of other models or settings than asked for */
function checkSameRun(
  path: string,
  checkpoint: Checkpoint,
  configFiles: ConfigFile[],
  settings: object,
): void {
  const refuse = (what: string): never => {
    throw new ShishuError('bad-checkpoint', `${path} is the checkpoint of another run: ${what}.`, {
      details: { file: path },
      mend: 'Use another output folder, or remove the checkpoint to begin anew.',
    });
  };
  const names = (list: readonly { name: string }[]): string => list.map(({ name }) => name).join(', ');
  if (names(checkpoint.models) !== names(configFiles))
    refuse(`it holds ${names(checkpoint.models)}, not ${names(configFiles)}`);
  for (const [i, { name, configJson }] of checkpoint.models.entries()) {
    const [saved, asked] = [configJson, configFiles[i]!.configJson] as Record<string, unknown>[];
    const sums = (json: object): string => JSON.stringify({ ...specOf(json), maxPositions: 0 });
    if (sums(saved!) === sums(asked!)) continue;
    const [field] = Object.keys({ ...asked, ...saved }).filter(
      (field) => JSON.stringify(saved![field]) !== JSON.stringify(asked![field]),
    );
    const [was, is] = [saved!, asked!].map((json) => JSON.stringify(json[field!]));
    refuse(`${field} of ${name} is ${was}, asked for ${is}`);
  }
  const found = checkpoint.settings as Record<string, unknown>;
  for (const [field, value] of Object.entries(settings))
    if (JSON.stringify(found[field]) !== JSON.stringify(value))
      refuse(`${field} is ${JSON.stringify(found[field])}, asked for ${JSON.stringify(value)}`);
}

function progressLine({ step, steps, points, tokensPerSecond, secondsLeft }: RunProgress): string {
  const losses = points.map(
    ({ loss, heldOut }) =>
      loss.toFixed(4) + (heldOut === undefined ? '' : ` (held out ${heldOut.toFixed(4)})`),
  );
  const left = secondsLeft < 90 ? `${secondsLeft.toFixed(0)} s` : `${(secondsLeft / 60).toFixed(0)} min`;
  return `step ${step}/${steps}  loss ${losses.join(' | ')}  ${tokensPerSecond.toFixed(0)} tokens/s  ${left} left`;
}

/** Trains on a GPU, or goes on from the checkpoint in the output folder. */
export async function train(gpu: Gpu, request: TrainRequest): Promise<void> {
  const { configs, out, schedule, seed, rows, length, from, mix, log, signal } = request;
  const configFiles: ConfigFile[] = [];
  for (const path of configs) configFiles.push(await readModelConfig(path));
  const vocabSize = configFiles[0]!.spec.vocabSize;
  if (configFiles.some(({ spec }) => spec.vocabSize !== vocabSize))
    throw new ShishuError('bad-config', 'Models that train side by side need one "vocab_size".');

  const data = await dataOf(request);

  const checkpointPath = join(out, CHECKPOINT);
  const checkpoint = await readCheckpoint(out);
  const settings = { seed, rows, length, corpus: request.textFile ?? 'built-in' };
  if (checkpoint) checkSameRun(checkpointPath, checkpoint, configFiles, settings);

  const givenFolder = request.teacher ?? from;
  const bpe = givenFolder
    ? Bpe.fromJson(await readJsonFile(join(givenFolder, 'tokenizer.json')))
    : Bpe.train(data.texts(), vocabSize);
  if (bpe.tokens.length > vocabSize)
    throw new ShishuError(
      'bad-tokenizer',
      `The tokenizer of ${givenFolder} has ${bpe.tokens.length} tokens, the config ${vocabSize}.`,
      { mend: 'Give "vocab_size" that number.' },
    );

  let teacher: Teacher | undefined;
  if (request.teacher !== undefined) teacher = { ...(await readModelFolder(request.teacher)), mix };
  const initial = from === undefined ? undefined : (await readModelFolder(from)).weights;
  const models: TrainingModel[] = [];
  for (const [i, file] of configFiles.entries()) {
    const { name, spec } = file;
    const resumed = checkpoint?.models[i];
    const start = resumed?.snapshot ?? {
      weights: initial ? startingWeights(file, from!, initial) : initialWeights(spec, seed),
    };
    log(
      `${name}: ${parameterCount(spec).toLocaleString('en')} parameters, ${attentionOf(spec).size} attention blocks of ${spec.blocks.length}`,
    );
    const trainer = await Trainer.create(gpu, spec, start, { schedule, rows, length, teacher });
    models.push({ name, trainer, curve: resumed?.curve ?? [] });
  }
  if (checkpoint) log(`Going on from step ${models[0]!.trainer.step} (${checkpointPath}).`);

  const shape = { rows, length, pad: bpe.id(END) };
  const save = async (state: RunState): Promise<void> => {
    const snapshots: CheckpointModel[] = [];
    for (const [i, { name, trainer, curve }] of models.entries()) {
      const { configJson } = configFiles[i]!;
      snapshots.push({ name, configJson, snapshot: await trainer.snapshot(), curve });
    }
    await writeCheckpoint(checkpointPath, {
      models: snapshots,
      run: state,
      settings: { ...settings, schedule },
    });
    for (const { name, configJson, snapshot, curve } of snapshots)
      await writeModelFolder(configFiles.length === 1 ? out : join(out, name), {
        configJson,
        bpe,
        weights: snapshot.weights,
        training: {
          ...settings,
          schedule,
          parameters: parameterCount(specOf(configJson)),
          ...(request.teacher && { teacher: request.teacher, mix }),
          step: snapshot.step,
          tokens: state.tokens,
          seconds: Math.round(state.seconds),
          curve,
        },
      });
  };

  let saved = performance.now();
  const state = await run(models, {
    steps: schedule.steps,
    stream: new BatchStream(data.training(bpe), shape, checkpoint?.run.stream),
    ...(checkpoint && { from: checkpoint.run }),
    heldOut: heldOutBatches(data, bpe, shape, HELD_OUT_BATCHES),
    signal,
    onProgress: async (progress) => {
      log(progressLine(progress));
      if (performance.now() - saved < request.checkpointMinutes * 60_000) return;
      const { stream, tokens, seconds, sums, taken } = progress;
      await save({ stream, tokens, seconds, sums, taken });
      saved = performance.now();
    },
  });
  await save(state);
  const where = `${models[0]!.trainer.step} of ${schedule.steps} steps, ${state.tokens.toLocaleString('en')} tokens`;
  log(`${signal.aborted ? 'Stopped' : 'Done'}: ${where}; written to ${out}.`);
  if (signal.aborted) log('The same command goes on from here.');
}
