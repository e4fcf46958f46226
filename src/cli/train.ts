import { type Gpu, openGpu } from '../gpu/device.ts';
import { checkProfile, type ProfileOption } from '../gpu/profile.ts';
import type { BenchRequest } from '../train/bench.ts';
import { type Command, flag, numberInRange, parseOptions, text, usageError, wholeNumberOf } from './args.ts';
import { provideGpu } from './gpu.ts';

const OPTIONS = {
  out: { type: 'string', short: 'o' },
  from: text,
  teacher: text,
  mix: text,
  corpus: text,
  steps: text,
  lr: text,
  warmup: text,
  rows: text,
  length: text,
  seed: text,
  'checkpoint-minutes': text,
  adapter: text,
  profile: text,
  bench: flag,
  reps: text,
} as const;

const MOST = 1e9;

/** Runs what trains on the GPU. */
async function onGpu(
  adapter: string | undefined,
  profile: ProfileOption,
  use: (gpu: Gpu) => Promise<void>,
): Promise<void> {
  provideGpu(adapter);
  const gpu = await openGpu({ profile });
  try {
    await use(gpu);
  } finally {
    gpu.close();
  }
}

/** `shishulm train`: trains models and prints its progress. The signal stops it after a step, with a checkpoint. */
export const command: Command = {
  help: `shishulm train CONFIG... -o DIR [options]
  Trains a model from a config (a config.json, or a folder with one) on the built-in corpus of short chats.
  Several configs train side by side on the same batches, into DIR/<name>. Run the same command again to go
  on from the last checkpoint.

  -o, --out DIR         where the model, training.json and the checkpoint go
  --from DIR            begin with this model's weights and tokenizer
  --teacher DIR         distil: imitate this model (its tokenizer is used)
  --mix X               share of the loss that is KL to the teacher, 0 to 1 (0.5)
  --corpus FILE         train on the paragraphs of a text file instead
  --steps N             steps in all (3000)
  --lr X                peak learning rate (0.003)
  --warmup N            steps until the peak (100)
  --rows N, --length N  a batch's rows and tokens a row (8, 128)
  --seed N              of weights, corpus and order (1)
  --checkpoint-minutes N  minutes between checkpoints (5)
  --adapter NAME        the GPU to use, by part of its name
  --profile P           kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter)
  --bench               do not train: step time and memory of the configs, interleaved
                        (without configs: the embedded pair, and 30 blocks against 15 + 15)
  --reps N              with --bench: timed steps of each (10)`,

  async run(argv, signal, corpus) {
    const { values, positionals: configs } = parseOptions(argv, OPTIONS);
    const whole = (name: keyof typeof values, fallback: number, from = 1, to = MOST): number =>
      wholeNumberOf(name, values[name] as string | undefined, from, to) ?? fallback;
    const number = (name: keyof typeof values, fallback: number, from: number, to: number): number =>
      numberInRange(name, values[name] as string | undefined, from, to) ?? fallback;
    const log = (line: string): void => console.log(line);
    const profile = checkProfile(values.profile ?? 'auto');
    const batch = {
      rows: whole('rows', 8, 1, 4096),
      length: whole('length', 128, 8, 512),
      seed: whole('seed', 1, 0, 2 ** 31 - 1),
    };
    if (values.bench) {
      const request: BenchRequest = { ...batch, configs, reps: whole('reps', 10), log };
      const { trainingBench } = await import('../train/bench.ts');
      return onGpu(values.adapter, profile, (gpu) => trainingBench(gpu, request));
    }
    const { out, from, teacher, corpus: textFile } = values;
    if (configs.length === 0) throw usageError('No config was given.', 'Name a config.json or its folder.');
    if (out === undefined) throw usageError('No output folder was given.', 'Name it with -o.');
    const steps = whole('steps', 3000);
    const request = {
      ...batch,
      configs,
      out,
      schedule: {
        steps,
        learningRate: number('lr', 0.003, 1e-8, 1),
        warmUp: whole('warmup', Math.min(100, steps), 0),
      },
      checkpointMinutes: number('checkpoint-minutes', 5, 0, MOST),
      from,
      teacher,
      mix: number('mix', 0.5, 0, 1),
      corpus,
      textFile,
      log,
    };
    const { train } = await import('../train/session.ts');
    const onStop = (): void =>
      log('Stopping after this step; once more ends at once, with the last checkpoint intact.');
    signal.addEventListener('abort', onStop, { once: true });
    try {
      await onGpu(values.adapter, profile, (gpu) => train(gpu, { ...request, signal }));
    } finally {
      signal.removeEventListener('abort', onStop);
    }
  },
};
