// docs/speed.md: what the model of speed expects of four published models on ten GPUs.
import { GPUS, type GpuFigures, peakTeraflops } from '../src/bench/gpus.ts';
import {
  BUSY_THREADS_A_LANE,
  type Expected,
  expectedOfAll,
  LOAD_MICROSECONDS,
  REACHED_BANDWIDTH,
  REACHED_ISSUE,
  READ_BACK_MS,
  THREADS_A_LANE,
} from '../src/bench/speed.ts';
import { type Work, workOf } from '../src/bench/work.ts';
import { specOf } from '../src/families/index.ts';
import { markdownTable } from '../src/markdown.ts';
import type { ModelSpec } from '../src/model/spec.ts';
import { adapterOf } from '../test/support/paper-gpu.ts';
import { launchesOf, PaperModel, type PaperStep } from '../test/support/paper-model.ts';
import { REAL_CONFIGS } from './gpu-compiler/shapes.ts';

const DTYPE = 'q4';
const POSITIONS = [100, 2000] as const;
const PROMPTS = [128, 1024] as const;
const CONTEXT = 2048;

/** The upper third of the blocks without attention, its weights gone: as conversion makes a child. */
export const childOf = (parent: ModelSpec): ModelSpec => ({
  ...parent,
  blocks: parent.blocks.map((block, layer, { length }) =>
    layer < length - Math.round(length / 3) ? block : { ...block, mixer: { kind: 'none' } },
  ),
});

/** What a model does for a token at each position, and for each prompt. */
interface Recorded {
  decode: Work[][];
  prompts: Work[][];
}

const worksOf = (steps: readonly PaperStep[]): Work[] =>
  steps.flatMap((each) => launchesOf(each).flatMap((launch) => workOf(launch, each.step) ?? []));

async function record(spec: ModelSpec, subgroupSize: GpuFigures['subgroupSize']): Promise<Recorded> {
  const adapter = adapterOf('gpu', true, subgroupSize);
  const model = new PaperModel(adapter, spec, { dtype: DTYPE, kv: 'f16', context: CONTEXT });
  return {
    decode: await Promise.all(POSITIONS.map(async (position) => worksOf([await model.decode(position)]))),
    prompts: await Promise.all(PROMPTS.map(async (tokens) => worksOf(await model.prompt(tokens)))),
  };
}

const twoDigits = (value: number): string => {
  const rounded = Number(value.toPrecision(2));
  return rounded >= 10 ? String(rounded) : rounded.toFixed(1);
};
const perSecond = ({ total }: Expected): string => twoDigits(1e6 / total);
const milliseconds = ({ total }: Expected): string => twoDigits(total / 1e3 + READ_BACK_MS);
const percent = (part: number, whole: number): string => `${Math.round((100 * part) / whole)} %`;
const sum = (works: readonly Work[], of: (work: Work) => number): number =>
  works.reduce((total, work) => total + of(work), 0);

const figures = (gpu: GpuFigures): (string | number)[] => [
  gpu.name,
  gpu.kind,
  gpu.gigabytesPerSecond,
  `${gpu.units} x ${gpu.lanes}`,
  gpu.gigahertz,
  peakTeraflops(gpu).toFixed(1),
  (peakTeraflops(gpu) * (gpu.doubleF16 ? 2 : 1)).toFixed(1),
  gpu.launchMicroseconds,
];

function bounds(works: readonly Work[], gpu: GpuFigures): string {
  const { launch, memory, arithmetic, total } = expectedOfAll(works, gpu);
  return [launch, memory, arithmetic].map((part) => percent(part, total)).join(' / ');
}

/** The whole page. */
export async function speedDoc(): Promise<string> {
  const made = new Map<string, Promise<Recorded>>();
  const recordedOn = (name: string, spec: ModelSpec, gpu: GpuFigures): Promise<Recorded> => {
    const key = JSON.stringify([name, gpu.subgroupSize]);
    const found = made.get(key) ?? record(spec, gpu.subgroupSize);
    made.set(key, found);
    return found;
  };
  const sections: string[] = [];
  const counted: (string | number)[][] = [];
  const madeOf: (string | number)[][] = [];
  for (const [name, config] of REAL_CONFIGS) {
    const parent = specOf(config);
    const child = childOf(parent);
    const rows: (string | number)[][] = [];
    for (const gpu of GPUS) {
      const pair = await Promise.all([
        recordedOn(name, parent, gpu),
        recordedOn(`${name}, child`, child, gpu),
      ]);
      const cells = (of: keyof Recorded, text: (expected: Expected) => string): string[] =>
        [0, 1].map((i) => pair.map((each) => text(expectedOfAll(each[of][i]!, gpu))).join(' → '));
      rows.push([gpu.name, ...cells('decode', perSecond), ...cells('prompts', milliseconds)]);
      const [{ decode, prompts }] = pair;
      if (name === 'SmolLM2-135M' || name === 'Llama-3.2-1B')
        madeOf.push([
          name,
          gpu.name,
          bounds(decode[0]!, gpu),
          bounds(decode[1]!, gpu),
          bounds(prompts[1]!, gpu),
        ]);
    }
    for (const [which, spec] of [
      [name, parent],
      [`${name}, child`, child],
    ] as const) {
      const { decode, prompts } = await recordedOn(which, spec, GPUS.find(({ kind }) => kind === 'desktop')!);
      counted.push([
        which,
        ...decode.map(({ length }) => length),
        ...decode.map((works) => (sum(works, ({ bytes }) => bytes) / 1e6).toFixed(0)),
        ...prompts.map((works) => (sum(works, ({ multiplyAdds }) => multiplyAdds) / 1e9).toFixed(1)),
      ]);
    }
    sections.push(
      `### ${name}`,
      '',
      ...markdownTable(
        [
          'GPU',
          ...POSITIONS.map((at) => `tokens/s at ${at}`),
          ...PROMPTS.map((tokens) => `first token of ${tokens}, ms`),
        ],
        rows,
      ),
      '',
    );
  }
  return `# How fast it should be

Written by \`scripts/make-speed-doc.mjs\`. **Nothing here was timed: no GPU was at hand.** It is what a model of speed expects, from
the launches that the engine records, from what compilers make of the kernels, and from public figures of GPUs. The
[benchmark page](results.md#how-to-measure) sets what it measures on your GPU beside what this model expects of it, kernel by kernel, and saves both
in its JSON: that is how this page can be corrected.

## What is expected

Weights in ${DTYPE}, KV cache in f16, one sequence, greedy. Each cell: the model as published → a ShishuLM child of it, whose upper third
of blocks has no attention. Decoding at position ${POSITIONS.join(' and at ')}; time to the first token of a prompt of ${PROMPTS.join(' and of ')}
tokens, ${READ_BACK_MS} ms of it for the token's way back to the CPU.

${sections.join('\n')}
## What is counted

For each model, on a GPU with subgroups of 32: launches of a token and megabytes that it reads and writes (at position
${POSITIONS.join(' and ')}), and 10^9 multiply-adds of a prompt of ${PROMPTS.join(' and of ')} tokens.

${markdownTable(['model', 'launches', '', 'MB a token', '', 'multiply-adds, 10^9', ''], counted).join('\n')}

## What bounds it

Shares of the expected time of a token at ${POSITIONS.join(' and at ')} and of a prompt of ${PROMPTS[1]}: launches / memory / arithmetic. A GPU that
spends most of its time on launches gains nothing from smaller weights.

${markdownTable(['model', 'GPU', `token at ${POSITIONS[0]}`, `token at ${POSITIONS[1]}`, `prompt of ${PROMPTS[1]}`], madeOf).join('\n')}

## The GPUs

Bandwidth, units and clocks are what makers publish (for phones and Apple's clock: what reviews found); peaks follow from units and
clock, two operations a multiply-add, without tricks as the second issue of RDNA 3. The microseconds of a launch are **assumed**:
from the end of one launch to the first work of the next, which waits for it. Nobody publishes them, and they differ by driver and
browser.

${markdownTable(['GPU', 'kind', 'GB/s', 'units x lanes', 'GHz', 'f32, TFLOPS', 'f16, TFLOPS', 'launch, us'], GPUS.map(figures)).join('\n')}

## The method

The sums are in \`src/bench/work.ts\` and \`src/bench/speed.ts\`. A step's launches run one after the other. Each takes the launch
above and the longer of two:

- **memory**: the bytes of its bindings, each once (of K and V the positions that are seen), at ${percent(REACHED_BANDWIDTH, 1)} of the bandwidth,
  or at what the loads under way bring where that is less: threads that run (at most ${THREADS_A_LANE} for each lane) times the bytes that one has
  under way in the kernel's loop, every ${LOAD_MICROSECONDS} us;
- **arithmetic**: multiply-adds times the vector instructions that the kernel spends on each, at ${percent(REACHED_ISSUE, 1)} of what the units issue,
  less where fewer than ${BUSY_THREADS_A_LANE} threads run for each lane.

Bytes under way and instructions are counted from the code that the compiler for RDNA 3 makes (\`src/bench/counts.ts\`, written by
\`npm run check:gpu -- --write\`), and taken for all GPUs.

## The error

The model is an estimate for orders and ratios. We expect a measured time within a factor of two of it, for these reasons:

- the microseconds of a launch are assumed, and dominate small models on large GPUs;
- caches count for nothing: weights that stay in a cache from token to token (as those of SmolLM2 in q4 on large GPUs) are faster, and
  activations and prompts' weights that are read by several workgroups are read once here;
- phones and laptops lower their clocks when they get warm, and share their memory with all else;
- other compilers than RDNA 3's make more or fewer instructions; f16 at twice the rate counts only where one instruction does two;
- encoding on the CPU, the browser's own process and validation are taken to be hidden behind the GPU, which they are not where a
  step takes less than about a millisecond.

Ratios of parent and child depend less on these than the times do.
`;
}
