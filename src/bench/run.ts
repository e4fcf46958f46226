import { ShishuError, throwIfAborted } from '../errors.ts';
import { type Gpu, type GpuOptions, openGpu } from '../gpu/device.ts';
import { adapterWords } from '../gpu/profile.ts';
import { copyBandwidth } from '../gpu/timestamps.ts';
import { type ModelSpec, parameterCount } from '../model/spec.ts';
import { factsOf } from './facts.ts';
import { checkFit, sessionOptions } from './fit.ts';
import { gpuOf } from './gpus.ts';
import { compareWith } from './kernels.ts';
import {
  interleaved,
  profileDecode,
  profilePrompt,
  type TimedWork,
  timeDecode,
  timeFirstToken,
  trafficPerToken,
  weightBytesPerToken,
} from './measure.ts';
import {
  type Described,
  describe,
  type OpenFolder,
  openSession,
  type Session,
  type SessionOptions,
} from './open.ts';
import type { BenchResult, Which } from './result.ts';
import { type BenchSettings, batchPosition, settingsText } from './settings.ts';
import { type Spread, spreadOf } from './stats.ts';

export interface BenchProgress {
  /** Parts of the run; they do not take equal times. */
  done: number;
  total: number;
  /** What is being measured, in words. */
  what: string;
  /** What is measured so far; the run goes on writing into it. */
  result: BenchResult;
}

/** What the run needs of `src/train/step-times.ts`, which is loaded where training is timed. */
export interface TrainingModule {
  /** By model. */
  stepTimes(
    gpu: Gpu,
    specs: readonly ModelSpec[],
    shape: { rows: number; length: number; seed: number },
    repetitions: number,
    onStep: (done: number) => void,
  ): Promise<{ ms: number[] }[]>;
}

export interface BenchOptions {
  openFolder: OpenFolder;
  /** Browser or runtime, as it names itself. */
  runtime: string;
  /** Most bytes that the pair may take on the GPU; WebGPU does not tell how many there are. */
  budget: number;
  signal?: AbortSignal | undefined;
  onProgress?: (progress: BenchProgress) => void;
  /** Watches for what makes times doubtful, as a hidden tab; returns how to stop watching. */
  watch?: (disturbed: (why: string) => void) => () => void;
  gpu?: GpuOptions;
  /** The training module; without it training is not timed. */
  loadTraining?: () => Promise<TrainingModule>;
}

const PAIR: readonly Which[] = [0, 1];
const ROUNDS = 3;
const COPY_BYTES = 64 << 20;
/** Batch of a training step: that of `shishulm train`. */
const TRAIN_SHAPE = { rows: 8, length: 128, seed: 1 };
/** Most parameters of a model whose training is timed: steps of larger ones take minutes. */
const MOST_TRAINED = 30e6;

const unmeasured = (asked: boolean): string => (asked ? 'Not reached.' : 'Not asked for.');

function emptyResult(gpu: Gpu, settings: BenchSettings, runtime: string): BenchResult {
  const info = gpu.device.adapterInfo;
  return {
    format: 'shishulm-bench-1',
    date: new Date().toISOString(),
    adapter: {
      name: gpu.name,
      vendor: info?.vendor ?? '',
      architecture: info?.architecture ?? '',
      device: info?.device ?? '',
      description: info?.description ?? '',
      gpu: gpuOf(adapterWords(info))?.name ?? null,
      software: gpu.software,
      profile: gpu.profile,
      features: { ...gpu.features },
      subgroupSize: { ...gpu.subgroupSize },
      maxBindingBytes: gpu.limits.binding,
      copyGigabytesPerSecond: null,
    },
    runtime,
    settings: settingsText(settings),
    models: [],
    prompts: [],
    decode: [],
    batches: [],
    batchPosition: batchPosition(settings),
    profile: [],
    profileNote: unmeasured(settings.kernels),
    training: [],
    trainingNote: unmeasured(settings.training),
    ended: 'running',
    error: null,
    disturbed: [],
  };
}

/** Trained models have a longest context. @throws ShishuError `bad-argument` */
function checkContext(pair: readonly Described[], settings: BenchSettings): void {
  const context = Math.max(...sessionOptions(settings).map(({ contextLength }) => contextLength));
  for (const { label, spec } of pair)
    if (context > spec.maxPositions)
      throw new ShishuError(
        'bad-argument',
        `These settings need a context of ${context} tokens, ${label} has ${spec.maxPositions}.`,
        {
          details: { context, limit: spec.maxPositions },
          mend: `Keep prompts up to ${spec.maxPositions} and positions up to ${spec.maxPositions - settings.steps}.`,
        },
      );
}

/** A run, whose result holds what was measured whatever ends it. */
class Run {
  readonly #gpu: Gpu;
  readonly #settings: BenchSettings;
  readonly #options: BenchOptions;
  readonly result: BenchResult;
  readonly #total: number;
  #done = 0;

  constructor(gpu: Gpu, settings: BenchSettings, options: BenchOptions) {
    this.#gpu = gpu;
    this.#settings = settings;
    this.#options = options;
    this.result = emptyResult(gpu, settings, options.runtime);
    const { prompts, positions, batches, repetitions, kernels, training } = settings;
    // Loading, the copy; warm-up and samples of each point, and a load for each batch; the kernels.
    this.#total =
      2 +
      (prompts.length + positions.length) * (repetitions + 1) +
      batches.length * (repetitions + 2) +
      (kernels ? 1 : 0) +
      (training ? repetitions : 0);
  }

  #report(what: string): void {
    throwIfAborted(this.#options.signal);
    this.#options.onProgress?.({ done: this.#done, total: this.#total, what, result: this.result });
  }

  async #step<T>(what: string, run: () => Promise<T>): Promise<T> {
    this.#report(what);
    const value = await run();
    this.#done++;
    return value;
  }

  async all(pair: readonly Described[]): Promise<void> {
    const { kernels, training } = this.#settings;
    const [one, ...batches] = sessionOptions(this.#settings);
    await this.#withSessions(pair, one, async (sessions) => {
      for (const session of sessions) this.result.models.push(await factsOf(session));
      await this.#step('Copying', () => this.#copy());
      await this.#prompts(sessions);
      await this.#decode(sessions);
      if (kernels) await this.#step('Profiling', () => this.#profile(sessions));
    });
    for (const options of batches)
      await this.#withSessions(pair, options, (sessions) => this.#batch(sessions, options.batch));
    if (training) await this.#train(pair);
    this.result.ended = 'complete';
    this.#report('Done');
  }

  async #withSessions(
    pair: readonly Described[],
    options: SessionOptions,
    use: (sessions: Session[]) => Promise<void>,
  ): Promise<void> {
    const sessions: Session[] = [];
    try {
      await this.#step('Loading', async () => {
        for (const described of pair)
          sessions.push(await openSession(this.#gpu, described, options, this.#options.signal));
      });
      await use(sessions);
    } finally {
      for (const session of sessions) session.close();
    }
  }

  /** Measures one point of both models; a run that ends in the middle of it keeps the samples that both have. */
  async #point(
    sessions: readonly Session[],
    what: string,
    time: (session: Session) => Promise<number>,
    keep: (model: Which, ms: Spread) => void,
  ): Promise<void> {
    const keepAll = (spreads: readonly Spread[]): void => {
      for (const model of PAIR) keep(model, spreads[model]!);
    };
    const round = (sample: string, run: () => Promise<void>) => this.#step(`${what}, ${sample}`, run);
    keepAll(await interleaved(sessions, this.#settings.repetitions, time, round, keepAll));
  }

  async #copy(): Promise<void> {
    const bytes = Math.min(COPY_BYTES, this.#gpu.device.limits.maxBufferSize);
    this.result.adapter.copyGigabytesPerSecond = (await copyBandwidth(this.#gpu, bytes, 8)) / 1e9;
  }

  async #prompts(sessions: readonly Session[]): Promise<void> {
    for (const tokens of this.#settings.prompts)
      await this.#point(
        sessions,
        `Prompt of ${tokens} tokens`,
        (session) => timeFirstToken(session, tokens, this.#options.signal),
        (model, ms) =>
          this.result.prompts.push({ model, tokens, ms, tokensPerSecond: (1000 * tokens) / ms.median }),
      );
  }

  async #decode(sessions: readonly Session[]): Promise<void> {
    const { positions, steps } = this.#settings;
    for (const position of positions)
      await this.#point(
        sessions,
        `Decoding at position ${position}`,
        (session) => timeDecode(session, position, steps, this.#options.signal),
        (model, ms) => {
          const traffic = trafficPerToken(sessions[model]!, position);
          const gigabytesPerSecond = (traffic.weightBytes + traffic.kvBytes) / ms.median / 1e6;
          this.result.decode.push({ model, position, ms, ...traffic, gigabytesPerSecond });
        },
      );
  }

  async #batch(sessions: readonly Session[], batch: number): Promise<void> {
    const position = batchPosition(this.#settings);
    const weights = await Promise.all(sessions.map((session) => weightBytesPerToken(session, position)));
    await this.#point(
      sessions,
      `Batch of ${batch}`,
      (session) => timeDecode(session, position, this.#settings.steps, this.#options.signal),
      (model, ms) =>
        this.result.batches.push({
          model,
          batch,
          ms,
          tokensPerSecond: (1000 * batch) / ms.median,
          weightBytesPerToken: weights[model]!,
        }),
    );
  }

  async #train(pair: readonly Described[]): Promise<void> {
    const { result } = this;
    const { loadTraining } = this.#options;
    const { repetitions } = this.#settings;
    const first = this.#done;
    const specs = pair.map(({ spec }) => spec);
    const largest = Math.max(...specs.map(parameterCount));
    if (!loadTraining || largest > MOST_TRAINED) {
      result.trainingNote = loadTraining
        ? `Training is timed up to ${MOST_TRAINED / 1e6} million parameters; this pair has ${(largest / 1e6).toFixed(0)} million.`
        : 'There is no training module here.';
      this.#done += repetitions;
      return;
    }
    const what = (step: number): string => `Training, step ${step + 1} of ${repetitions}`;
    this.#report(what(0));
    const { rows, length } = TRAIN_SHAPE;
    try {
      const { stepTimes } = await loadTraining();
      const times = await stepTimes(this.#gpu, specs, TRAIN_SHAPE, repetitions, (step) => {
        this.#done = first + step;
        this.#report(what(step));
      });
      for (const model of PAIR) result.training.push({ model, ms: spreadOf(times[model]!.ms), rows, length });
      result.trainingNote = `Steps of AdamW in f32 on ${rows} rows of ${length} tokens.`;
    } catch (error) {
      // The other measurements stay: this kind of model can't be trained, or not in this memory.
      if (!(error instanceof ShishuError) || error.code === 'aborted') throw error;
      result.trainingNote = error.message;
    }
    this.#done = first + repetitions;
  }

  async #profile(sessions: readonly Session[]): Promise<void> {
    const { result } = this;
    if (!this.#gpu.features.timestamps) {
      result.profileNote = 'This device has no timestamp-query, so there is no GPU time by kernel.';
      return;
    }
    const { positions, prompts } = this.#settings;
    const position = positions.at(-1);
    const tokens = prompts.at(-1);
    const phases = [
      ...(position === undefined ? [] : [`a decode step at position ${position}`]),
      ...(tokens === undefined ? [] : [`the first rows of a prompt of ${tokens} tokens`]),
    ];
    if (phases.length === 0) {
      result.profileNote = 'Neither a position nor a prompt was asked for.';
      return;
    }
    const add = (model: Which, phase: 'decode' | 'prompt', times: readonly TimedWork[] = []): void => {
      for (const { label, block, nanoseconds, work } of times)
        result.profile.push({
          model,
          phase,
          block: block ?? null,
          kernel: label,
          microseconds: nanoseconds / 1000,
          work,
          expected: null,
        });
    };
    for (const model of PAIR) {
      throwIfAborted(this.#options.signal);
      const session = sessions[model]!;
      if (position !== undefined) add(model, 'decode', await profileDecode(session, position, ROUNDS));
      if (tokens !== undefined) add(model, 'prompt', await profilePrompt(session, tokens, ROUNDS));
    }
    compareWith(result, result.adapter.gpu);
    result.profileNote =
      `Each kernel in a pass of its own, mean of ${ROUNDS}: ${phases.join(', and ')}. It tells shares: passes cost, so the sum is ` +
      'more than a step takes. Browsers may round timestamps to 0.1 ms.';
  }
}

/**
 * Measures parent and child side by side. A run that is cancelled, loses the device or fails after it began returns what was
 * measured until then, with `ended` and `error` saying so.
 * @throws ShishuError before anything is measured: `bad-argument`, `does-not-fit`, `no-webgpu`, `bad-config`, `not-found`, `io`
 */
export async function runBench(settings: BenchSettings, options: BenchOptions): Promise<BenchResult> {
  const { openFolder, signal, budget } = options;
  const gpu = await openGpu(options.gpu);
  try {
    const pair = await Promise.all(
      [settings.parent, settings.child].map((asked) =>
        describe(asked, { blocks: settings.blocks, openFolder, signal }),
      ),
    );
    checkContext(pair, settings);
    await checkFit(gpu, pair, settings, budget, openFolder);
    const run = new Run(gpu, settings, options);
    const { result } = run;
    const unwatch = options.watch?.((why) => {
      if (!result.disturbed.includes(why)) result.disturbed.push(why);
    });
    try {
      await run.all(pair);
    } catch (error) {
      await lossReported(gpu);
      const [ended, why]: [BenchResult['ended'], string | null] =
        gpu.lost !== undefined
          ? ['device-lost', `The GPU was lost: ${gpu.lost}`]
          : error instanceof ShishuError && error.code === 'aborted'
            ? ['cancelled', null]
            : ['failed', messageOf(error)];
      result.ended = ended;
      result.error = why;
    } finally {
      unwatch?.();
    }
    return result;
  } finally {
    gpu.close();
  }
}

/** A loss is reported a moment after the calls that it breaks. */
const lossReported = (gpu: Gpu): Promise<unknown> =>
  Promise.race([gpu.device.lost, new Promise((resolve) => setTimeout(resolve, 50))]);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
