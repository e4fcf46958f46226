import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import type { LoadOptions } from '../engine/types.ts';
import { ShishuError } from '../errors.ts';
import { checkProfile } from '../gpu/profile.ts';
import type { BenchRequest } from './bench.ts';
import { Bpe } from './bpe.ts';
import { type Evaluation, evaluate, evaluationTable, type Scorer } from './evaluate.ts';
import { readJsonFile, writeWhole } from './io.ts';
import { useThreads } from './node-threads.ts';
import { loadTraining } from './trainable.ts';

export const TRAIN_HELP = `shishulm train CONFIG... -o DIR [options]
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
  --threads N           (2)
  --bench               do not train: step time and memory of the configs, interleaved
                        (without configs: the embedded pair, and 30 blocks against 15 + 15)
  --reps N              with --bench: timed steps of each (10)`;

export const EVALUATE_HELP = `shishulm evaluate DIR... [--chats N] [--seed N] [--json FILE] [--profile P]
  Perplexity by kind and exact-answer accuracy on held-out chats of the built-in corpus, several models side
  by side. Each folder must hold a model of shishulm train. --chats is per kind (60). --profile takes the
  kernels and defaults of software (a CPU that plays GPU) or of gpu (auto: by the adapter).`;

const usage = (message: string, help: string): ShishuError =>
  new ShishuError('bad-argument', message, { mend: `Usage:\n${help}` });

function parsed<T extends NonNullable<Parameters<typeof parseArgs>[0]>['options']>(
  argv: readonly string[],
  options: T,
  help: string,
) {
  try {
    return parseArgs({
      args: [...argv],
      options: options as NonNullable<T>,
      allowPositionals: true,
      strict: true,
    });
  } catch (cause) {
    throw usage(`${(cause as Error).message}.`, help);
  }
}

/** A number in [from, to] from an option's text. */
function numberOf(
  values: Record<string, unknown>,
  name: string,
  fallback: number,
  { from = 1, to = 1e9, whole = true } = {},
): number {
  const text = values[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  const fits =
    String(text).trim() !== '' && value >= from && value <= to && (!whole || Number.isInteger(value));
  if (!fits)
    throw new ShishuError('bad-argument', `--${name} is "${text}".`, {
      details: { option: name },
      mend: `Give a ${whole ? 'whole ' : ''}number from ${from} to ${to}.`,
    });
  return value;
}

/** What jax needs in Node to be fast; must come before it is loaded. */
export function prepareJax(threads = 2): void {
  // The fast products of jax-js's wasm backend need it; later versions of V8 have it on.
  setFlagsFromString('--experimental-wasm-relaxed-simd');
  useThreads(threads);
}

/** Loads what uses jax. */
export function withJax<T>(threads: number, load: () => Promise<T>): Promise<T> {
  prepareJax(threads);
  return loadTraining(load);
}

const string = { type: 'string' } as const;

/** `shishulm train`: prints its progress; see TRAIN_HELP. The signal stops it after a step, with a checkpoint. */
export async function trainCommand(argv: readonly string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = parsed(
    argv,
    {
      out: { type: 'string', short: 'o' },
      from: string,
      teacher: string,
      mix: string,
      corpus: string,
      steps: string,
      lr: string,
      warmup: string,
      rows: string,
      length: string,
      seed: string,
      'checkpoint-minutes': string,
      threads: string,
      bench: { type: 'boolean' },
      reps: string,
      // Of the bench's own child processes: prints the memory of a config given as JSON.
      'memory-of': string,
      help: { type: 'boolean', short: 'h' },
    },
    TRAIN_HELP,
  );
  const log = (line: string): void => console.log(line);
  if (values.help) return log(TRAIN_HELP);
  const threads = numberOf(values, 'threads', 2, { to: 64 });
  const rows = numberOf(values, 'rows', 8, { to: 4096 });
  const length = numberOf(values, 'length', 128, { from: 8, to: 4096 });
  const seed = numberOf(values, 'seed', 1, { from: 0, to: 2 ** 31 - 1 });
  if (values.bench) {
    const request: BenchRequest = {
      configs: positionals,
      rows,
      length,
      seed,
      reps: numberOf(values, 'reps', 10),
      log,
    };
    const { stepMemory, trainingBench } = await withJax(threads, () => import('./bench.ts'));
    const of = values['memory-of'];
    if (of !== undefined) return log(`${await stepMemory(JSON.parse(of), request)}`);
    return trainingBench(request);
  }
  if (positionals.length === 0) throw usage('No config was given.', TRAIN_HELP);
  if (values.out === undefined) throw usage('No output folder was given (-o).', TRAIN_HELP);
  const steps = numberOf(values, 'steps', 3000);
  const request = {
    configs: positionals,
    out: values.out,
    rows,
    length,
    seed,
    schedule: {
      steps,
      learningRate: numberOf(values, 'lr', 0.003, { from: 1e-8, to: 1, whole: false }),
      warmUp: numberOf(values, 'warmup', Math.min(100, steps), { from: 0 }),
    },
    checkpointMinutes: numberOf(values, 'checkpoint-minutes', 5, { from: 0, whole: false }),
    ...(values.from !== undefined && { from: values.from }),
    ...(values.teacher !== undefined && { teacher: values.teacher }),
    ...(values.corpus !== undefined && { corpus: values.corpus }),
    mix: numberOf(values, 'mix', 0.5, { from: 0, to: 1, whole: false }),
    log,
  };
  const { train } = await withJax(threads, () => import('./session.ts'));
  const onStop = (): void =>
    log('Stopping after this step; once more ends at once, with the last checkpoint intact.');
  signal.addEventListener('abort', onStop, { once: true });
  try {
    await train({ ...request, signal });
  } finally {
    signal.removeEventListener('abort', onStop);
  }
}

/** Loads a folder's model for scoring; the command line gives the engine's. */
export type OpenScorer = (
  folder: string,
  options: Pick<LoadOptions, 'profile'>,
) => Promise<Scorer & { dispose(): Promise<void> }>;

/** `shishulm evaluate`: prints a table, and writes JSON with --json; see EVALUATE_HELP. */
export async function evaluateCommand(argv: readonly string[], openScorer: OpenScorer): Promise<void> {
  const { values, positionals } = parsed(
    argv,
    { chats: string, seed: string, json: string, profile: string, help: { type: 'boolean', short: 'h' } },
    EVALUATE_HELP,
  );
  if (values.help) return console.log(EVALUATE_HELP);
  if (positionals.length === 0) throw usage('No folder was given.', EVALUATE_HELP);
  const chats = numberOf(values, 'chats', 60, { to: 100_000 });
  const seed = numberOf(values, 'seed', 1, { from: 0, to: 2 ** 31 - 1 });
  const options = { profile: checkProfile(values.profile ?? 'auto') };
  const results: [string, Evaluation][] = [];
  for (const folder of positionals) {
    const bpe = Bpe.fromJson(await readJsonFile(join(folder, 'tokenizer.json')));
    const model = await openScorer(folder, options);
    try {
      const onProgress = (done: number, total: number): void => {
        if (process.stderr.isTTY) process.stderr.write(`\r${folder}: ${done}/${total} chats `);
      };
      results.push([folder, await evaluate(model, bpe, { chats, seed, onProgress })]);
    } finally {
      await model.dispose();
    }
  }
  console.log(evaluationTable(results));
  if (values.json !== undefined)
    await writeWhole(values.json, `${JSON.stringify(Object.fromEntries(results), null, 2)}\n`);
}
