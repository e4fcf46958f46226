// shaders/gpu/attention_decode.wgsl and attention_decode_reduce.wgsl: attention of few rows by threads that cooperate
import type { Gpu } from '../gpu/device.ts';
import {
  type Binding,
  type Kernel,
  type Result,
  reads,
  type ShaderConstant,
  STEP,
  type StepShape,
  type TwinLaunch,
  writes,
} from '../gpu/kernel.ts';
import {
  ATTENTION_SIZES,
  type AttentionConstant,
  attended,
  firstSeen,
  joined,
  kvRead,
  LEFT,
  QUERIES,
  ROWS,
  type Spans,
} from './attended.ts';
import { type HeadShape, keySize, pickHeads, placed, type QkvPlace } from './qkv.ts';
import { NORMS, type NormConstant, normConstants, normedHead, type Unplaced, unplaced } from './rope.ts';
import { COUNT, SMALL } from './tensor.ts';
import type { Tuning, Width } from './tuning.ts';

const THREADS = 64;
/** Most parts of a sequence: a thread reads what each says of itself. */
const PARTS = 64;

const SIZES = {
  ...ATTENTION_SIZES,
  // Chunks of a thread's positions, one or two.
  SPLIT: [1, 2 * THREADS],
  SPLITS: [1, PARTS],
  UNSPLIT: COUNT,
  PARTS: [1, PARTS],
} as const;

type PartedConstant = AttentionConstant | keyof typeof SIZES | 'WG';

type Parted = Record<'SPLIT' | 'WINDOW' | 'UNSPLIT' | 'PARTS', number>;

/** Chunks of each part, and parts, of a row that attends to so many positions: as in attention_parts.wgsl. */
function shared({ SPLIT, UNSPLIT, PARTS }: Omit<Parted, 'WINDOW'>, seen: number) {
  const chunks = Math.ceil(seen / SPLIT);
  const each = chunks * SPLIT <= UNSPLIT ? chunks : Math.ceil(chunks / PARTS);
  return { each, parts: Math.ceil(chunks / each) };
}

function spansOf(c: Parted, position: number): Spans {
  const first = firstSeen(c, position);
  const { each, parts } = shared(c, position + 1 - first);
  const spans = Array.from({ length: parts }, (_, part) => {
    const from = first + part * each * c.SPLIT;
    return { part, from, end: Math.min(from + each * c.SPLIT, position + 1) };
  });
  return { whole: parts === 1, spans };
}

/** Parts that no row has more of, where the longest attends to so many positions. */
function mostParts(c: Omit<Parted, 'WINDOW'>, seen: number): number {
  const chunks = Math.ceil(seen / c.SPLIT);
  return chunks * c.SPLIT <= c.UNSPLIT ? 1 : Math.min(chunks, c.PARTS);
}

function partsOf(c: Parted, { rows, context }: StepShape): number {
  const seen = Math.min(context, c.WINDOW);
  return rows === 1 ? shared(c, seen).parts : mostParts(c, seen);
}

/** A head as it is placed, with the dimension of each number. */
function* rotated(
  launch: TwinLaunch<PartedConstant | NormConstant>,
  row: number,
  head: number,
): Iterable<Result & { dim: number }> {
  const half = launch.constants.HEAD_DIM / 2;
  const sum = normedHead(launch, row, head);
  for (let j = 0; j < half; j++) {
    let dim = j;
    for (const result of placed(launch, row, head, j, sum(j), sum(j + half))) {
      yield { ...result, dim };
      dim += half;
    }
  }
}

/** What is read where q, k and v are not in their places, and what kv_write_f16.wgsl notes behind q's rows. */
const OWN: Binding<PartedConstant | NormConstant>[] = [
  ...unplaced('vec4f'),
  reads('rope', 'vec4f', ({ constants: c }) => [c.CONTEXT, c.HEAD_DIM]),
  writes('q', 'vec2f', ({ constants: c, step }) => [step.rows * c.Q_STRIDE + 2 * c.SEQUENCES]),
];

export const ATTENTION_DECODE: Kernel<PartedConstant | NormConstant> = {
  name: 'attention_decode',
  folder: 'gpu',
  choices: [
    [
      { KV_READ: 'gpu/kv_vector_f32' },
      { KV_READ: 'gpu/kv_vector_f16' },
      { KV_READ: 'gpu/kv_vector_f16_four' },
    ],
    [{ PEAK: 'gpu/peak_shared' }, { PEAK: 'gpu/peak_subgroup' }],
    [{ QUERY: 'gpu/query_placed' }, ...NORMS.map((norm) => ({ QUERY: 'features/query_own', ...norm }))],
    [{ WG: THREADS }],
  ],
  sizes: { ...SIZES, X_STRIDE: COUNT, EPS: SMALL },
  bindings: (asked) => [
    ...(asked.imports.QUERY === 'features/query_own' ? OWN : [QUERIES]),
    kvRead(asked),
    ROWS,
    ...LEFT,
    STEP,
  ],
  grid: ({ constants: c, step }) => [c.HEADS, partsOf(c, step), step.rows],
  *cpu(launch) {
    const spans = (position: number): Spans => spansOf(launch.constants, position);
    if (launch.imports.QUERY !== 'features/query_own') return yield* attended(launch, spans);
    const { HEADS, KV_HEADS } = launch.constants;
    for (const row of launch.pick(launch.step.rows))
      for (const head of pickHeads(launch, HEADS, HEADS + 2 * KV_HEADS)) yield* rotated(launch, row, head);
    const numbers = (row: number, head: number): number[] => {
      const found = [...rotated(launch, row, head)].sort((a, b) => a.dim - b.dim);
      return found.map(({ value }) => value);
    };
    yield* attended(launch, spans, (row, head, kvHead) => ({
      q: numbers(row, head),
      k: numbers(row, HEADS + kvHead),
      v: numbers(row, HEADS + KV_HEADS + kvHead),
    }));
  },
};

export const ATTENTION_DECODE_REDUCE: Kernel<PartedConstant> = {
  name: 'attention_decode_reduce',
  folder: 'gpu',
  choices: [[{ WG: THREADS }]],
  sizes: SIZES,
  bindings() {
    const [out, parts] = LEFT;
    return [ROWS, out!, reads('parts', 'vec4f', parts!.shape), STEP];
  },
  grid: ({ constants: c, step }) => (partsOf(c, step) === 1 ? undefined : [c.HEADS, step.rows, 1]),
  cpu: (launch) => joined(launch, (position) => spansOf(launch.constants, position)),
};

/** Elements that are read at a time, and how. */
function vectorOf({ headDim }: HeadShape, kvDtype: 'f32' | 'f16') {
  const size = keySize(headDim, kvDtype === 'f16');
  return { size, read: `gpu/kv_vector_${kvDtype}${kvDtype === 'f16' && size === 4 ? '_four' : ''}` };
}

/** How a model's attention is shared, beside what all its kernels are made with. */
export function decodeShape(
  gpu: Gpu,
  tuning: Tuning,
  { shape, kvDtype }: Pick<QkvPlace, 'shape' | 'kvDtype'>,
  window: number,
  own: Unplaced | undefined,
): {
  imports: Record<'KV_READ' | 'PEAK' | 'QUERY', string>;
  constants: Record<string, ShaderConstant>;
  own: Record<string, ShaderConstant>;
} {
  const { size, read } = vectorOf(shape, kvDtype);
  // A thread has eight loads under way, of one position or of two.
  const split = Math.min(shape.headDim / size <= 4 ? 2 * THREADS : THREADS, tuning.split);
  const parted = { SPLIT: split, UNSPLIT: tuning.split, PARTS: Math.min(tuning.parts, PARTS) };
  return {
    imports: {
      KV_READ: read,
      PEAK: gpu.features.subgroups ? 'gpu/peak_subgroup' : 'gpu/peak_shared',
      QUERY: own ? 'features/query_own' : 'gpu/query_placed',
    },
    constants: { ...parted, SPLITS: mostParts(parted, window), WG: THREADS },
    own: own ? normConstants(own) : {},
  };
}

/** Parts that a row has of each head, at most. */
export const decodeParts = (tuning: Tuning, window: number): number =>
  mostParts({ SPLIT: Math.min(THREADS, tuning.split), UNSPLIT: tuning.split, PARTS }, window);

/** Whether attention of one row takes q, k and v as the projection leaves them. */
export const takesOwn = (tuning: Tuning, { headDim }: HeadShape, width: Width): boolean =>
  width === 'one' && tuning.attention === 'cooperative' && headDim % 8 === 0;
