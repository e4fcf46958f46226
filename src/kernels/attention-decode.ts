// shaders/attention_decode.wgsl and attention_decode_reduce.wgsl: attention of few rows by threads that cooperate
import type { Gpu } from '../gpu/device.ts';
import { type Kernel, reads, type ShaderConstant, STEP, type StepShape } from '../gpu/kernel.ts';
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
import { type HeadShape, keySize, type QkvPlace } from './qkv.ts';
import { COUNT } from './tensor.ts';
import type { Tuning } from './tuning.ts';

const THREADS = 64;
/** Most parts of a sequence: a thread reads what each says of itself. */
const PARTS = 64;

const SIZES = {
  ...ATTENTION_SIZES,
  // Chunks of a thread's positions, one or two.
  SPLIT: [1, 2 * THREADS],
  SPLITS: [1, PARTS],
  WHOLE: COUNT,
  PARTS: [1, PARTS],
} as const;

type PartedConstant = AttentionConstant | keyof typeof SIZES | 'WG';

type Parted = Record<'SPLIT' | 'WINDOW' | 'WHOLE' | 'PARTS', number>;

/** Chunks of each part, and parts, of a row that attends to so many positions: as in attention_parts.wgsl. */
function shared({ SPLIT, WHOLE, PARTS }: Omit<Parted, 'WINDOW'>, seen: number) {
  const chunks = Math.ceil(seen / SPLIT);
  const each = chunks * SPLIT <= WHOLE ? chunks : Math.ceil(chunks / PARTS);
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
  return chunks * c.SPLIT <= c.WHOLE ? 1 : Math.min(chunks, c.PARTS);
}

function partsOf(c: Parted, { rows, context }: StepShape): number {
  const seen = Math.min(context, c.WINDOW);
  return rows === 1 ? shared(c, seen).parts : mostParts(c, seen);
}

export const ATTENTION_DECODE: Kernel<PartedConstant> = {
  name: 'attention_decode',
  choices: [
    [{ KV_READ: 'kv_vector_f32' }, { KV_READ: 'kv_vector_f16' }, { KV_READ: 'kv_vector_f16_four' }],
    [{ PEAK: 'peak_shared' }, { PEAK: 'peak_subgroup' }],
    [{ QUERY: 'query_placed' }],
    [{ WG: THREADS }],
  ],
  sizes: SIZES,
  bindings: (asked) => [QUERIES, kvRead(asked), ROWS, ...LEFT, STEP],
  grid: ({ constants: c, step }) => [c.HEADS, partsOf(c, step), step.rows],
  cpu: (launch) => attended(launch, (position) => spansOf(launch.constants, position)),
};

export const ATTENTION_DECODE_REDUCE: Kernel<PartedConstant> = {
  name: 'attention_decode_reduce',
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
  return { size, read: `kv_vector_${kvDtype}${kvDtype === 'f16' && size === 4 ? '_four' : ''}` };
}

/** How a model's attention is shared, beside what all its kernels are made with. */
export function decodeShape(
  gpu: Gpu,
  tuning: Tuning,
  { shape, kvDtype }: Pick<QkvPlace, 'shape' | 'kvDtype'>,
  window: number,
): {
  imports: Record<'KV_READ' | 'PEAK' | 'QUERY', string>;
  constants: Record<string, ShaderConstant>;
} {
  const { size, read } = vectorOf(shape, kvDtype);
  // A thread has eight loads under way, of one position or of two.
  const split = Math.min(shape.headDim / size <= 4 ? 2 * THREADS : THREADS, tuning.split);
  const parted = { SPLIT: split, WHOLE: tuning.split, PARTS: Math.min(tuning.parts, PARTS) };
  return {
    imports: {
      KV_READ: read,
      PEAK: gpu.features.subgroups ? 'peak_subgroup' : 'peak_shared',
      QUERY: 'query_placed',
    },
    constants: { ...parted, SPLITS: mostParts(parted, window), WG: THREADS },
  };
}

/** Parts that a row has of each head, at most. */
export const decodeParts = (tuning: Tuning, window: number): number =>
  mostParts({ SPLIT: Math.min(THREADS, tuning.split), WHOLE: tuning.split, PARTS }, window);
