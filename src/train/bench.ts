import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Shape, shapeSpec } from '../bench/models.ts';
import { spreadOf } from '../bench/stats.ts';
import { specOf } from '../families/index.ts';
import { markdownRow, markdownTable } from '../markdown.ts';
import { type ModelSpec, parameterCount } from '../model/spec.ts';
import { readConfigFile } from './io.ts';
import { makeStepper, type StepShape, startJax, stepTimes } from './step-times.ts';

export interface BenchRequest extends StepShape {
  /** Config files or folders; none: the embedded pair's shapes, and the paper's proportions, narrow. */
  configs: readonly string[];
  /** Timed steps of each. */
  reps: number;
  log: (line: string) => void;
}

type Named = readonly [name: string, spec: ModelSpec];

/** The embedded pair's. */
const EMBEDDED: Shape = { layers: 8, hidden: 96, ffn: 256, heads: 4, kvHeads: 2, vocab: 1280 };
/** MobileLLM-125M's 30 blocks and proportions (an MLP has 3 times the weights of an attention), an eighth as wide. */
const NARROW: Shape = { layers: 30, hidden: 72, ffn: 192, heads: 9, kvHeads: 3, vocab: 1280 };

const GROUPS: readonly (readonly Named[])[] = [
  [
    ['parent, 8 blocks', shapeSpec(EMBEDDED, [8, 0, 0, 0])],
    ['child (4,4,2,0)', shapeSpec(EMBEDDED, [4, 4, 2, 0])],
  ],
  [
    ['parent, 30 narrow blocks', shapeSpec(NARROW, [30, 0, 0, 0])],
    ['child (15,15,7,0)', shapeSpec(NARROW, [15, 15, 7, 0])],
  ],
];

const MEMORY_STEPS = 3;

/** Peak resident bytes of this process after a few steps of a model; without one, after the start of jax. */
export async function stepMemory(spec: ModelSpec | null, shape: StepShape): Promise<number> {
  await startJax();
  if (spec) {
    const stepper = makeStepper(spec, shape);
    for (let i = 0; i < MEMORY_STEPS; i++) await stepper.step();
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** The same in a process of its own, since one process's peak can't be told apart by model. */
async function memoryOf(spec: ModelSpec | null, { rows, length, seed }: BenchRequest): Promise<number> {
  const sizes = ['--rows', `${rows}`, '--length', `${length}`, '--seed', `${seed}`];
  const command = [process.argv[1]!, 'train', '--bench', '--memory-of', JSON.stringify(spec), ...sizes];
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, ...command]);
  return Number(stdout.trim());
}

async function benchGroup(group: readonly Named[], request: BenchRequest): Promise<void> {
  const { rows, length, reps, log } = request;
  const specs = group.map(([, spec]) => spec);
  const times = await stepTimes(specs, request, reps);
  const empty = await memoryOf(null, request);
  log(
    `${rows} x ${length} tokens a step, median of ${reps} interleaved steps; memory above jax's own ${mib(empty)}`,
  );
  const head = ['model', 'parameters', 'step', 'to the first', 'memory', 'to the first'];
  for (const line of markdownTable(head, [])) log(line);
  let first: { time: number; memory: number } | undefined;
  for (const [i, [name, spec]] of group.entries()) {
    const time = spreadOf(times[i]!).median;
    const memory = (await memoryOf(spec, request)) - empty;
    first ??= { time, memory };
    const cells = [
      name,
      parameterCount(spec).toLocaleString('en'),
      `${time.toFixed(0)} ms`,
      (time / first.time).toFixed(3),
      mib(memory),
      (memory / first.memory).toFixed(3),
    ];
    log(markdownRow(cells));
  }
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** `shishulm train --bench`: step time of models interleaved in one process, memory of each in its own. */
export async function trainingBench(request: BenchRequest): Promise<void> {
  await startJax();
  const given: Named[] = [];
  for (const path of request.configs) {
    const { name, json } = await readConfigFile(path);
    given.push([name, specOf(json)]);
  }
  for (const group of given.length > 0 ? [given] : GROUPS) await benchGroup(group, request);
}
