import { join } from 'node:path';
import { ShishuError } from '../errors.ts';
import { type ModelConfig, parseConfig } from '../model/config.ts';
import { ownSpecs, parameterCount } from '../model/plan.ts';
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
import { readConfigFile, readIfExists, readJsonFile } from './io.ts';
import { initialWeights } from './model.ts';
import type { Schedule } from './optimizer.ts';
import { type RunProgress, type RunState, run, type TrainingModel } from './run.ts';
import { paragraphsOf, textData } from './text-data.ts';
import { type Snapshot, startJax, type Teacher, Trainer } from './trainer.ts';
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
  config: ModelConfig;
}

const HELD_OUT_BATCHES = 4;

async function readModelConfig(path: string): Promise<ConfigFile> {
  const { name, json } = await readConfigFile(path);
  const config = parseConfig(json);
  if (config.vocabSize < MIN_VOCAB)
    throw new ShishuError('bad-config', `${path}: "vocab_size" ${config.vocabSize} is too small.`, {
      details: { file: path, number: config.vocabSize, limit: MIN_VOCAB },
      mend: `Use at least ${MIN_VOCAB}.`,
    });
  return { name, configJson: json as object, config };
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
function startingWeights({ name, config }: ConfigFile, from: string, weights: CpuWeights): CpuWeights {
  return Object.fromEntries(
    ownSpecs(config).map((spec) => {
      const found = weights[spec.name];
      if (found?.shape.join() === spec.shape.join()) return [spec.name, found];
      throw new ShishuError(
        'bad-checkpoint',
        `${from} does not fit the config of ${name}: ${spec.name} is ${found ? `(${found.shape})` : 'missing'}, expected (${spec.shape}).`,
        { details: { file: from, tensor: spec.name }, mend: 'Give a model of the same sizes.' },
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
  checkpoint.models.forEach(({ name, config }, i) => {
    const asked = JSON.parse(JSON.stringify(configFiles[i]!.config)) as Record<string, unknown>;
    for (const [field, value] of Object.entries(asked)) {
      const found = (config as unknown as Record<string, unknown>)[field];
      if (field !== 'maxPositions' && JSON.stringify(found) !== JSON.stringify(value))
        refuse(`${field} of ${name} is ${JSON.stringify(found)}, asked for ${JSON.stringify(value)}`);
    }
  });
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

/** Trains, or goes on from the checkpoint in the output folder; jax must not have started without threads. */
export async function train(request: TrainRequest): Promise<void> {
  const { configs, out, schedule, seed, rows, length, from, mix, log, signal } = request;
  const configFiles: ConfigFile[] = [];
  for (const path of configs) configFiles.push(await readModelConfig(path));
  const vocabSize = configFiles[0]!.config.vocabSize;
  if (configFiles.some(({ config }) => config.vocabSize !== vocabSize))
    throw new ShishuError('bad-config', 'Models that train side by side need one "vocab_size".');

  const data = await dataOf(request);

  const checkpointPath = join(out, CHECKPOINT);
  const checkpoint = await readCheckpoint(out);
  const settings = { seed, rows, length, corpus: request.textFile ?? 'built-in' };
  if (checkpoint) checkSameRun(checkpointPath, checkpoint, configFiles, settings);

  await startJax();
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
  const models = configFiles.map((file, i): TrainingModel => {
    const { name, config } = file;
    const resumed = checkpoint?.models[i];
    const newWeights = (): CpuWeights =>
      initial ? startingWeights(file, from!, initial) : initialWeights(config, seed);
    const start: CpuWeights | Snapshot = resumed?.snapshot ?? newWeights();
    log(
      `${name}: ${parameterCount(config).toLocaleString('en')} parameters, ${config.front + config.end} attention blocks of ${config.layers}`,
    );
    return {
      name,
      trainer: new Trainer(config, start, { schedule, length, ...(teacher && { teacher }) }),
      curve: resumed?.curve ?? [],
    };
  });
  if (checkpoint) log(`Going on from step ${models[0]!.trainer.step} (${checkpointPath}).`);

  const shape = { rows, length, pad: bpe.id(END) };
  const save = async (state: RunState): Promise<void> => {
    const snapshots: CheckpointModel[] = [];
    for (const { name, trainer, curve } of models)
      snapshots.push({ name, config: trainer.config, snapshot: await trainer.snapshot(), curve });
    await writeCheckpoint(checkpointPath, {
      models: snapshots,
      run: state,
      settings: { ...settings, schedule },
    });
    for (const [i, { config, snapshot, curve }] of snapshots.entries()) {
      const { name, configJson } = configFiles[i]!;
      await writeModelFolder(configFiles.length === 1 ? out : join(out, name), {
        configJson,
        config,
        bpe,
        weights: snapshot.weights,
        training: {
          ...settings,
          schedule,
          parameters: parameterCount(config),
          ...(request.teacher && { teacher: request.teacher, mix }),
          step: snapshot.step,
          tokens: state.tokens,
          seconds: Math.round(state.seconds),
          curve,
        },
      });
    }
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
