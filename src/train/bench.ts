import { type Shape, shapeSpec } from '../bench/models.ts';
import { spreadOf } from '../bench/stats.ts';
import { specOf } from '../families/index.ts';
import type { Gpu } from '../gpu/device.ts';
import { markdownRow, markdownTable } from '../markdown.ts';
import { type ModelSpec, parameterCount } from '../model/spec.ts';
import { readConfigFile } from './io.ts';
import { type StepShape, stepTimes } from './step-times.ts';

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

async function benchGroup(gpu: Gpu, group: readonly Named[], request: BenchRequest): Promise<void> {
  const { rows, length, reps, log } = request;
  const specs = group.map(([, spec]) => spec);
  const times = await stepTimes(gpu, specs, request, reps);
  log(
    `${rows} x ${length} tokens a step on ${gpu.name}, median of ${reps} interleaved steps; memory of the GPU`,
  );
  const head = ['model', 'parameters', 'step', 'to the first', 'memory', 'to the first'];
  for (const line of markdownTable(head, [])) log(line);
  const medians = times.map(({ ms }) => spreadOf(ms).median);
  for (const [i, [name, spec]] of group.entries()) {
    const [time, { bytes }] = [medians[i]!, times[i]!];
    const cells = [
      name,
      parameterCount(spec).toLocaleString('en'),
      `${time.toFixed(0)} ms`,
      (time / medians[0]!).toFixed(3),
      mib(bytes),
      (bytes / times[0]!.bytes).toFixed(3),
    ];
    log(markdownRow(cells));
  }
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** `shishulm train --bench`: step time of models interleaved in one process, and their memory. */
export async function trainingBench(gpu: Gpu, request: BenchRequest): Promise<void> {
  const given: Named[] = [];
  for (const path of request.configs) {
    const { name, json } = await readConfigFile(path);
    given.push([name, specOf(json)]);
  }
  for (const group of given.length > 0 ? [given] : GROUPS) await benchGroup(gpu, group, request);
}
