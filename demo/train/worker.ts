// Trains in a worker: what is packed and read back takes no time of the page's.
import { type Endpoint, Peer } from '../../src/api/rpc.ts';
import { specOf } from '../../src/families/index.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import type { ProfileOption } from '../../src/gpu/profile.ts';
import { parameterCount } from '../../src/model/spec.ts';
import { type Batch, BatchStream, heldOutBatches } from '../../src/train/batches.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { chatData } from '../../src/train/chat-corpus.ts';
import { END } from '../../src/train/chat-format.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { modelFiles } from '../../src/train/model-files.ts';
import { type RunProgress, type RunState, run, type TrainingModel } from '../../src/train/run.ts';
import { paragraphsOf, textData } from '../../src/train/text-data.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { toyCorpus } from '../corpus/chats.ts';
import { configsOf, type TrainSettings } from './settings.ts';

/** What the page is told at each point of the curves. */
export type TrainProgress = Omit<RunProgress, 'stream' | 'sums' | 'taken'>;

const NAMES = ['parent', 'child'] as const;
const EVERY = 10;

interface Session {
  settings: TrainSettings;
  bpe: Bpe;
  configs: readonly object[];
  models: TrainingModel[];
  stream: BatchStream;
  heldOut: Batch[];
  state: RunState | undefined;
}

let session: Session | undefined;
let gpu: Gpu | undefined;

const methods = {
  /** Creates both models, to be trained on the user's text or else on the built-in chats. @returns their parameters */
  async begin(
    settings: TrainSettings,
    profile: ProfileOption,
    text?: { name: string; bytes: Uint8Array },
  ): Promise<number[]> {
    const configs = configsOf(settings);
    const specs = configs.map((json) => specOf(json));
    const { seed, rows, length, steps, learningRate } = settings;
    const data = text
      ? textData(paragraphsOf(text.name, text.bytes), seed, length)
      : chatData(toyCorpus, seed);
    const bpe = Bpe.train(data.texts(), settings.vocabulary);
    gpu ??= await openGpu({ profile });
    const schedule = { steps, learningRate, warmUp: Math.min(50, steps) };
    const shape = { rows, length, pad: bpe.id(END) };
    const models: TrainingModel[] = [];
    for (const [i, spec] of specs.entries()) {
      const start = { weights: initialWeights(spec, seed) };
      const trainer = await Trainer.create(gpu, spec, start, { schedule, rows, length });
      models.push({ name: NAMES[i]!, trainer, curve: [] });
    }
    session = {
      settings,
      bpe,
      configs,
      models,
      stream: new BatchStream(data.training(bpe), shape),
      heldOut: heldOutBatches(data, bpe, shape, 1),
      state: undefined,
    };
    return specs.map(parameterCount);
  },

  /** Goes on to the last step, or until the signal. @returns steps done */
  async go(onProgress: (progress: TrainProgress) => Promise<void>, signal: AbortSignal): Promise<number> {
    const { models, stream, heldOut, settings, state } = session!;
    session!.state = await run(models, {
      steps: settings.steps,
      stream,
      heldOut,
      every: EVERY,
      signal,
      ...(state && { from: state }),
      onProgress: ({ stream: _, sums: __, taken: ___, ...progress }) => onProgress(progress),
    });
    return models[0]!.trainer.step;
  },

  /** The files of a model as it is now; the engine loads them. */
  async files(which: 0 | 1): Promise<File[]> {
    const { models, configs, bpe, settings, state } = session!;
    const { trainer, curve } = models[which]!;
    const weights = await trainer.weights();
    const training = { ...settings, step: trainer.step, tokens: state?.tokens ?? 0, curve };
    const files = modelFiles({ configJson: configs[which]!, weights, bpe, training });
    return Object.entries(files).map(([name, content]) => new File([content], name));
  },
};

new Peer(self as unknown as Endpoint, methods);
