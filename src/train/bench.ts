import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { spreadOf } from '../bench/stats.ts';
import { specOf } from '../families/index.ts';
import { parameterCount } from '../model/spec.ts';
import { readConfigFile } from './io.ts';
import { Stepper, type StepShape, startJax, stepTimes } from './step-times.ts';

export interface BenchRequest extends StepShape {
  /** Config files or folders; none: the embedded pair's shapes, and the paper's proportions, narrow. */
  configs: readonly string[];
  /** Timed steps of each. */
  reps: number;
  log: (line: string) => void;
}

type Named = readonly [name: string, json: object];

const EMBEDDED = {
  hidden_size: 96,
  intermediate_size: 256,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 1280,
  tie_word_embeddings: true,
};
/** MobileLLM-125M's 30 blocks and proportions (an MLP has 3 times the weights of an attention), an eighth as wide. */
const NARROW = {
  ...EMBEDDED,
  hidden_size: 72,
  intermediate_size: 192,
  num_attention_heads: 9,
  num_key_value_heads: 3,
};

const parent = (sizes: object, layers: number): object => ({
  ...sizes,
  model_type: 'llama',
  num_hidden_layers: layers,
});
const child = (sizes: object, front: number, mlp: number, shared: number): object => ({
  ...sizes,
  model_type: 'shishu-llama',
  num_decoder_front: front,
  num_mlp: mlp,
  num_mlp_shared: shared,
});

const GROUPS: readonly (readonly Named[])[] = [
  [
    ['parent, 8 blocks', parent(EMBEDDED, 8)],
    ['child (4,4,2,0)', child(EMBEDDED, 4, 4, 2)],
  ],
  [
    ['parent, 30 narrow blocks', parent(NARROW, 30)],
    ['child (15,15,7,0)', child(NARROW, 15, 15, 7)],
  ],
];

const MEMORY_STEPS = 3;

/** Peak resident bytes of this process after a few steps of a model; without one, after the start of jax. */
export async function stepMemory(json: object | null, request: BenchRequest): Promise<number> {
  await startJax();
  if (json) {
    const stepper = new Stepper(specOf(json), request);
    for (let i = 0; i < MEMORY_STEPS; i++) await stepper.step();
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** The same in a process of its own, since one process's peak can't be told apart by model. */
async function memoryOf(json: object | null, { rows, length, seed }: BenchRequest): Promise<number> {
  const sizes = ['--rows', `${rows}`, '--length', `${length}`, '--seed', `${seed}`];
  const command = [process.argv[1]!, 'train', '--bench', '--memory-of', JSON.stringify(json), ...sizes];
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, ...command]);
  return Number(stdout.trim());
}

async function benchGroup(group: readonly Named[], request: BenchRequest): Promise<void> {
  const { rows, length, reps, log } = request;
  const configs = group.map(([, json]) => specOf(json));
  const times = await stepTimes(configs, request, reps);
  const empty = await memoryOf(null, request);
  log(
    `${rows} x ${length} tokens a step, median of ${reps} interleaved steps; memory above jax's own ${mib(empty)}`,
  );
  log('| model | parameters | step | to the first | memory | to the first |');
  log('| --- | ---: | ---: | ---: | ---: | ---: |');
  let first: { time: number; memory: number } | undefined;
  for (const [i, [name, json]] of group.entries()) {
    const time = spreadOf(times[i]!).median;
    const memory = (await memoryOf(json, request)) - empty;
    first ??= { time, memory };
    const cells = [
      name,
      parameterCount(configs[i]!).toLocaleString('en'),
      `${time.toFixed(0)} ms`,
      (time / first.time).toFixed(3),
      mib(memory),
      (memory / first.memory).toFixed(3),
    ];
    log(`| ${cells.join(' | ')} |`);
  }
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** `shishulm train --bench`: step time of models interleaved in one process, memory of each in its own. */
export async function trainingBench(request: BenchRequest): Promise<void> {
  await startJax();
  const given: Named[] = [];
  for (const path of request.configs) {
    const { name, json } = await readConfigFile(path);
    given.push([name, json as object]);
  }
  for (const group of given.length > 0 ? [given] : GROUPS) await benchGroup(group, request);
}
