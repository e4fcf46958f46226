// shaders/attention.wgsl, attention_decode.wgsl, attention_tiled.wgsl and attention_reduce.wgsl
import type { Gpu } from '../gpu/device.ts';
import {
  type Asked,
  type Binding,
  type Kernel,
  type Result,
  reads,
  type ShaderSpec,
  STEP,
  type StepShape,
  type TwinLaunch,
  writes,
} from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { keyAt, kvShape, QKV_SIZES, type QkvConstant, type QkvPlace, qkvConstants, valueAt } from './qkv.ts';
import { type Activations, COUNT, stride } from './tensor.ts';
import type { Tuning, Width } from './tuning.ts';

export interface Attention {
  label: string;
  place: QkvPlace;
  /** `(rows, stride(heads * headDim))` f32. */
  out: Activations;
  /** Room for the parts of a split sequence: see `attentionPartsBytes`. */
  parts: GPUBuffer;
  /** The last positions that a row attends to, its own among them; without it, all. */
  window?: number | undefined;
  width: Width;
  step: GPUBuffer;
}

const KV_READS = [{ KV_READ: 'kv_read_f32' }, { KV_READ: 'kv_read_f16' }] as const;
const SIZES = {
  ...QKV_SIZES,
  Q_STRIDE4: COUNT,
  OUT_STRIDE4: COUNT,
  // A workgroup holds the scores of a split.
  SPLIT: [1, 256],
  SPLITS: COUNT,
  WINDOW: COUNT,
} as const;

type AttentionConstant = QkvConstant | keyof typeof SIZES;

const ROWS = reads('rows', 'Row', ({ step }) => [step.rows, 4]);
const LEFT: Binding<AttentionConstant>[] = [
  writes('out', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.OUT_STRIDE4]),
  // of each split: weighted sum of V, then largest score, sum of weights, 0, 0
  writes('parts', 'vec4f', ({ constants: c, step }) => [step.rows, c.HEADS, c.SPLITS, c.HEAD_DIM + 4]),
];

const bindings = ({ imports }: Asked<AttentionConstant>): Binding<AttentionConstant>[] => [
  reads('q', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.Q_STRIDE4]),
  imports.KV_READ === 'kv_read_f16'
    ? reads('kv', 'vec2<u32>', kvShape, 'f16')
    : reads('kv', 'vec4f', kvShape),
  ROWS,
  ...LEFT,
  STEP,
];

/** Query heads that share a KV head, in fours. */
const quadsOf = ({ HEADS, KV_HEADS }: Record<'HEADS' | 'KV_HEADS', number>): number =>
  KV_HEADS * Math.ceil(HEADS / KV_HEADS / 4);

const partAt = (
  { HEADS, SPLITS, HEAD_DIM }: Record<AttentionConstant, number>,
  row: number,
  head: number,
  split: number,
): number => ((row * HEADS + head) * SPLITS + split) * (HEAD_DIM + 4);

/** The first position that a row at this one attends to. */
const firstSeen = ({ WINDOW }: Record<'WINDOW', number>, position: number): number =>
  Math.max(0, position + 1 - WINDOW);

/** The nearest number of 11 bits, of ties the even one: f16's precision at any size. */
function nearest(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer);
  bits[0] = (bits[0]! + 0xfff + ((bits[0]! >>> 13) & 1)) & 0xffffe000;
  return new Float32Array(bits.buffer)[0]!;
}

/** What a kernel leaves that reads K and V; `whole`: it does not split the sequence. */
function* attended(launch: TwinLaunch<AttentionConstant>, whole: boolean): Iterable<Result> {
  const { constants: c, floats, pick } = launch;
  const { HEAD_DIM, SPLIT } = c;
  for (const row of pick(launch.step.rows)) {
    const [, sequence = 0, position = 0] = launch.words('rows', 4 * row, 4);
    if (position >= c.CONTEXT) continue;
    const splits = whole ? 1 : Math.floor(position / SPLIT) + 1;
    for (const head of pick(c.HEADS, 2)) {
      const kvHead = Math.floor((head * c.KV_HEADS) / c.HEADS);
      const exact = floats('q', row * 4 * c.Q_STRIDE4 + head * HEAD_DIM, HEAD_DIM);
      const q = launch.imports.TILE === 'attention_tile_f16' ? exact.map(nearest) : exact;
      const first = firstSeen(c, position);
      for (let split = whole ? 0 : Math.floor(first / SPLIT); split < splits; split++) {
        const from = Math.max(first, split * SPLIT);
        const end = splits === 1 ? position + 1 : Math.min((split + 1) * SPLIT, position + 1);
        const count = end - from;
        // Up to where a ring begins anew, and what follows.
        const before = Math.min(count, c.CAPACITY - (from % c.CAPACITY));
        const read = (at: (position: number) => number, numbers: number): number[] => [
          ...floats('kv', at(from), before * numbers),
          ...(before < count ? floats('kv', at(from + before), (count - before) * numbers) : []),
        ];
        const scores = new Float64Array(count);
        for (let dim = 0; dim < HEAD_DIM; dim += 4) {
          const k = read((position) => keyAt(launch, sequence, kvHead, position, dim), 4);
          for (let i = 0; i < 4 * count; i++)
            scores[i >> 2]! += (k[i]! * q[dim + (i & 3)]!) / Math.sqrt(HEAD_DIM);
        }
        const v = read((position) => valueAt(launch, sequence, kvHead, position), HEAD_DIM);
        const largest = scores.reduce((most, score) => Math.max(most, score));
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((sum, weight) => sum + weight);
        const by = splits === 1 ? 1 / total : 1;
        const scale = total * by * v.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const binding = splits === 1 ? 'out' : 'parts';
        const at = splits === 1 ? row * 4 * c.OUT_STRIDE4 + head * HEAD_DIM : partAt(c, row, head, split);
        for (let dim = 0; dim < HEAD_DIM; dim++) {
          let value = 0;
          for (let p = 0; p < count; p++) value += weights[p]! * v[p * HEAD_DIM + dim]!;
          yield { binding, at: at + dim, value: value * by, scale };
        }
        if (splits > 1)
          for (const [i, value] of [largest, total, 0, 0].entries())
            yield { binding, at: at + HEAD_DIM + i, value, scale: Math.abs(value) + (i === 0 ? 1 : 0) };
      }
    }
  }
}

export const ATTENTION: Kernel<AttentionConstant | 'WG' | 'WIDE_FROM'> = {
  name: 'attention',
  choices: [KV_READS, [{ WG: 4 }]],
  sizes: { ...SIZES, WIDE_FROM: COUNT },
  bindings,
  grid({ constants: c, step }) {
    return step.rows >= c.WIDE_FROM
      ? [Math.ceil(step.rows / c.WG), quadsOf(c), 1]
      : [Math.ceil(splitsSeen(step, c) / c.WG), quadsOf(c), step.rows];
  },
  cpu: (launch) => attended(launch, launch.step.rows >= launch.constants.WIDE_FROM),
};

export const ATTENTION_DECODE: Kernel<AttentionConstant | 'WG'> = {
  name: 'attention_decode',
  choices: [KV_READS, [{ WG: 64 }]],
  sizes: SIZES,
  bindings,
  grid: ({ constants: c, step }) => [splitsSeen(step, c), quadsOf(c), step.rows],
  cpu: (launch) => attended(launch, false),
};

/** What tiles hold, and threads: of f32 twice the bytes, for half the queries. */
const TILES = [
  { KV_READ: 'kv_read_f32', TILE: 'attention_tile_f32', WG: 64 },
  { KV_READ: 'kv_read_f16', TILE: 'attention_tile_f16', WG: 128 },
] as const;

/** Threads that share four queries: one for each four dimensions. */
const tileLanes = ({ HEAD_DIM }: Record<'HEAD_DIM', number>): number =>
  HEAD_DIM <= 64 ? 16 : HEAD_DIM <= 128 ? 32 : 64;

export const ATTENTION_TILED: Kernel<AttentionConstant | 'WG'> = {
  name: 'attention_tiled',
  choices: [TILES],
  sizes: SIZES,
  bindings,
  grid({ constants: c, step }) {
    const queries = (4 * c.WG) / tileLanes(c);
    return [Math.ceil((step.rows * c.HEADS) / c.KV_HEADS / queries), c.KV_HEADS, 1];
  },
  cpu: (launch) => attended(launch, true),
};

/** Of GPUs in place of the others where those compute wrongly. */
export const ATTENTION_PLAIN: Kernel<AttentionConstant | 'WG'> = {
  name: 'attention_plain',
  choices: [KV_READS, [{ WG: 64 }]],
  sizes: SIZES,
  bindings,
  grid: ({ constants: { HEADS }, step }) => [step.rows, HEADS, 1],
  cpu: (launch) => attended(launch, true),
};

export const ATTENTION_REDUCE: Kernel<AttentionConstant | 'WG' | 'WIDE_FROM'> = {
  name: 'attention_reduce',
  choices: [[{ WG: 64 }]],
  sizes: { ...SIZES, WIDE_FROM: COUNT },
  bindings: () => [ROWS, ...LEFT, STEP],
  grid({ constants: c, step }) {
    if (step.rows >= c.WIDE_FROM || splitsUsed(step, c.SPLIT) === 1) return undefined;
    return [Math.ceil((c.HEADS * c.HEAD_DIM) / 4 / c.WG), step.rows, 1];
  },
  *cpu({ constants: c, step, floats, words, pick }) {
    for (const row of pick(step.rows)) {
      const position = words('rows', 4 * row, 4)[2]!;
      const splits = Math.floor(position / c.SPLIT) + 1;
      if (splits === 1 || position >= c.CONTEXT) continue;
      const first = Math.floor(firstSeen(c, position) / c.SPLIT);
      for (const head of pick(c.HEADS, 2)) {
        const parts = Array.from({ length: splits - first }, (_, i) =>
          floats('parts', partAt(c, row, head, first + i), c.HEAD_DIM + 2),
        );
        const overall = Math.max(...parts.map((part) => part[c.HEAD_DIM]!));
        const shares = parts.map((part) => Math.exp(part[c.HEAD_DIM]! - overall));
        const total = parts.reduce((sum, part, i) => sum + part[c.HEAD_DIM + 1]! * shares[i]!, 0);
        for (let dim = 0; dim < c.HEAD_DIM; dim++) {
          const terms = parts.map((part, i) => (part[dim]! * shares[i]!) / total);
          yield {
            binding: 'out',
            at: row * 4 * c.OUT_STRIDE4 + head * c.HEAD_DIM + dim,
            value: terms.reduce((sum, term) => sum + term),
            scale: Math.hypot(...terms),
          };
        }
      }
    }
  },
};

/** Splits of a full context, where attention splits it. */
const splitsOf = (tuning: Tuning, context: number): number => Math.ceil(context / tuning.split);

/** Splits that the longest row has. */
const splitsUsed = (step: StepShape, split: number): number => Math.ceil(step.context / split);

/** Splits that a row attends to, at most: its window may begin within one. */
const splitsSeen = (step: StepShape, { SPLIT, WINDOW }: Record<'SPLIT' | 'WINDOW', number>): number =>
  Math.min(splitsUsed(step, SPLIT), Math.ceil((WINDOW - 1) / SPLIT) + 1);

/** Bytes of the parts that `rows` rows leave. */
export function attentionPartsBytes(
  tuning: Tuning,
  shape: { heads: number; headDim: number },
  context: number,
  rows: number,
): number {
  return rows * shape.heads * splitsOf(tuning, context) * (shape.headDim + 4) * 4;
}

/** Which kernel attends, and what makes this permutation of it. */
function choiceOf(
  gpu: Gpu,
  tuning: Tuning,
  { width, place: { kvDtype } }: Attention,
): Pick<ShaderSpec, 'imports' | 'constants'> & { kernel: Kernel } {
  const imports = { KV_READ: `kv_read_${kvDtype}` };
  if (width === 'many' && tuning.wideAttention === 'tiled') {
    const [f32, f16] = TILES;
    const { WG, TILE } = kvDtype === 'f16' ? f16 : f32;
    return { kernel: ATTENTION_TILED, imports: { ...imports, TILE }, constants: { WG } };
  }
  if (width !== 'many' && tuning.attention === 'cooperative')
    return { kernel: ATTENTION_DECODE, imports, constants: { WG: 64 } };
  return gpu.profile === 'gpu'
    ? { kernel: ATTENTION_PLAIN, imports, constants: { WG: 64 } }
    : { kernel: ATTENTION, imports, constants: { WG: 4, WIDE_FROM: tuning.wideFrom } };
}

/** Causal grouped-query attention of the rows over their sequences' caches, and the adding up of splits where there are any. */
export function attention(gpu: Gpu, tuning: Tuning, recorder: Recorder, call: Attention): void {
  const { place } = call;
  const { heads, headDim } = place.shape;
  const { kernel, imports, constants: fixed } = choiceOf(gpu, tuning, call);
  const constants = {
    ...qkvConstants(place),
    Q_STRIDE4: stride(heads * headDim) / 4,
    OUT_STRIDE4: stride(call.out.cols) / 4,
    SPLIT: tuning.split,
    SPLITS: splitsOf(tuning, place.context),
    WINDOW: Math.min(call.window ?? place.context, place.context),
  };
  const left = { rows: place.rows, out: call.out.buffer, parts: call.parts, step: call.step };
  recorder.add({
    label: call.label,
    shader: { kernel, imports, constants: { ...constants, ...fixed } },
    bind: { q: place.q, kv: place.kv, ...left },
  });
  const splits = kernel === ATTENTION_DECODE || (kernel === ATTENTION && call.width !== 'many');
  if (!splits || constants.SPLITS === 1) return;
  // Where a thread takes the whole sequence, there is nothing to add up.
  const WIDE_FROM = kernel === ATTENTION ? tuning.wideFrom : COUNT[1];
  recorder.add({
    label: `${call.label} reduce`,
    shader: { kernel: ATTENTION_REDUCE, constants: { ...constants, WG: 64, WIDE_FROM } },
    bind: left,
  });
}
