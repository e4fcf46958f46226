// shaders/plain/attention.wgsl, attention_tiled.wgsl, attention_plain.wgsl and attention_reduce.wgsl, and the launch of attention
// whatever the rows
import type { Gpu } from '../gpu/device.ts';
import {
  type Asked,
  type Binding,
  type Kernel,
  STEP,
  type StepShape,
  type TwinLaunch,
} from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
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
import { ATTENTION_DECODE, ATTENTION_DECODE_REDUCE, decodeParts, decodeShape } from './attention-decode.ts';
import { type HeadShape, type QkvPlace, qkvConstants } from './qkv.ts';
import { type Unplaced, unplacedBuffers } from './rope.ts';
import { type Activations, COUNT, stride } from './tensor.ts';
import type { Tuning, Width } from './tuning.ts';

export interface Attention {
  label: string;
  place: QkvPlace;
  /** q, k and v that are not in their places yet, where `takesOwn`. */
  own?: Unplaced | undefined;
  /** `(rows, stride(heads * headDim))` f32. */
  out: Activations;
  /** Room for the parts of a split sequence: see `attentionPartsBytes`. */
  parts: GPUBuffer;
  /** The last positions that a row attends to, its own among them; without it, all. */
  window?: number | undefined;
  width: Width;
  /** Most rows of a step. */
  most: number;
  step: GPUBuffer;
}

const KV_READS = [{ KV_READ: 'kv_read_f32' }, { KV_READ: 'kv_read_f16' }] as const;

const bindings = (asked: Asked<AttentionConstant>): Binding<AttentionConstant>[] => [
  QUERIES,
  kvRead(asked),
  ROWS,
  ...LEFT,
  STEP,
];

/** Query heads that share a KV head, in fours. */
const quadsOf = ({ HEADS, KV_HEADS }: Record<'HEADS' | 'KV_HEADS', number>): number =>
  KV_HEADS * Math.ceil(HEADS / KV_HEADS / 4);

/** All that a row attends to. */
const wholeOf =
  ({ constants }: TwinLaunch<AttentionConstant>) =>
  (position: number): Spans => ({
    whole: true,
    spans: [{ part: 0, from: firstSeen(constants, position), end: position + 1 }],
  });

/** The splits of it. */
const splitOf =
  ({ constants }: TwinLaunch<AttentionConstant>) =>
  (position: number): Spans => {
    const { SPLIT } = constants;
    const count = Math.floor(position / SPLIT) + 1;
    const first = firstSeen(constants, position);
    const from = Math.floor(first / SPLIT);
    const spans = Array.from({ length: count - from }, (_, i) => ({
      part: from + i,
      from: Math.max(first, (from + i) * SPLIT),
      end: Math.min((from + i + 1) * SPLIT, position + 1),
    }));
    return { whole: count === 1, spans };
  };

export const ATTENTION: Kernel<AttentionConstant | 'WG' | 'WIDE_FROM'> = {
  name: 'attention',
  folder: 'plain',
  choices: [KV_READS, [{ WG: 4 }]],
  sizes: { ...ATTENTION_SIZES, WIDE_FROM: COUNT },
  bindings,
  grid({ constants: c, step }) {
    return step.rows >= c.WIDE_FROM
      ? [Math.ceil(step.rows / c.WG), quadsOf(c), 1]
      : [Math.ceil(splitsSeen(step, c) / c.WG), quadsOf(c), step.rows];
  },
  cpu: (launch) =>
    attended(launch, launch.step.rows >= launch.constants.WIDE_FROM ? wholeOf(launch) : splitOf(launch)),
};

/** What tiles hold, and threads, few ones first: of f32 twice the bytes, for half the queries at most. */
const TILES = [
  ...([32, 64] as const).map((WG) => ({ KV_READ: 'kv_read_f32', TILE: 'gpu/attention_tile_f32', WG })),
  ...([32, 64, 128] as const).map((WG) => ({ KV_READ: 'kv_read_f16', TILE: 'gpu/attention_tile_f16', WG })),
];
/** Workgroups that keep a GPU busy. */
const LEAST_GROUPS = 128;

/** Threads that share four queries: one for each four dimensions. */
const tileLanes = (headDim: number): number => (headDim <= 64 ? 16 : headDim <= 128 ? 32 : 64);

/** Workgroups for each KV head. */
const tileGroups = (rows: number, { heads, kvHeads, headDim }: HeadShape, WG: number): number =>
  Math.ceil((rows * heads) / kvHeads / ((4 * WG) / tileLanes(headDim)));

/**
 * The tiles that prompts of up to `most` rows are gone over in, and for which rows each: the most queries a workgroup, which read
 * K and V together, that leave workgroups enough; of short prompts the fewest.
 */
function tilesFor(shape: HeadShape, read: string, most: number) {
  const fits = TILES.filter(({ KV_READ, WG }) => KV_READ === read && WG >= tileLanes(shape.headDim));
  const best = (rows: number) =>
    fits.findLast(({ WG }) => tileGroups(rows, shape, WG) * shape.kvHeads >= LEAST_GROUPS) ?? fits[0]!;
  return fits
    .slice(0, fits.indexOf(best(most)) + 1)
    .map((tile) => ({ ...tile, takes: (rows: number): boolean => best(rows) === tile }));
}

export const ATTENTION_TILED: Kernel<AttentionConstant | 'WG'> = {
  name: 'attention_tiled',
  folder: 'gpu',
  choices: [TILES],
  sizes: ATTENTION_SIZES,
  bindings,
  grid({ constants: c, step }) {
    const shape = { heads: c.HEADS, kvHeads: c.KV_HEADS, headDim: c.HEAD_DIM };
    return [tileGroups(step.rows, shape, c.WG), c.KV_HEADS, 1];
  },
  cpu: (launch) => attended(launch, wholeOf(launch)),
};

/** Of GPUs in place of the others where those compute wrongly. */
export const ATTENTION_PLAIN: Kernel<AttentionConstant | 'WG'> = {
  name: 'attention_plain',
  folder: 'plain',
  choices: [KV_READS, [{ WG: 64 }]],
  sizes: ATTENTION_SIZES,
  bindings,
  grid: ({ constants: { HEADS }, step }) => [step.rows, HEADS, 1],
  cpu: (launch) => attended(launch, wholeOf(launch)),
};

export const ATTENTION_REDUCE: Kernel<AttentionConstant | 'WG' | 'WIDE_FROM'> = {
  name: 'attention_reduce',
  folder: 'plain',
  choices: [[{ WG: 64 }]],
  sizes: { ...ATTENTION_SIZES, WIDE_FROM: COUNT },
  bindings: () => [ROWS, ...LEFT, STEP],
  grid({ constants: c, step }) {
    if (step.rows >= c.WIDE_FROM || splitsUsed(step, c.SPLIT) === 1) return undefined;
    return [Math.ceil((c.HEADS * c.HEAD_DIM) / 4 / c.WG), step.rows, 1];
  },
  cpu: (launch) => joined(launch, splitOf(launch)),
};

/** Splits that the longest row has. */
const splitsUsed = (step: StepShape, split: number): number => Math.ceil(step.context / split);

/** Splits that a row attends to, at most: its window may begin within one. */
const splitsSeen = (step: StepShape, { SPLIT, WINDOW }: Record<'SPLIT' | 'WINDOW', number>): number =>
  Math.min(splitsUsed(step, SPLIT), Math.ceil((WINDOW - 1) / SPLIT) + 1);

/** Splits of a full context where a thread takes one: longer ones where there were too many. */
function splitsOf({ split, parts }: Tuning, context: number): Record<'SPLIT' | 'SPLITS', number> {
  const longer = split * Math.ceil(Math.ceil(context / split) / parts);
  return { SPLIT: longer, SPLITS: Math.ceil(context / longer) };
}

/** Bytes of the parts that `rows` rows leave. */
export function attentionPartsBytes(
  tuning: Tuning,
  shape: { heads: number; headDim: number; window?: number | undefined },
  context: number,
  rows: number,
): number {
  const window = Math.min(shape.window ?? context, context);
  const parts = Math.max(
    splitsOf(tuning, context).SPLITS,
    tuning.attention === 'cooperative' ? decodeParts(tuning, window) : 0,
  );
  return rows * shape.heads * parts * (shape.headDim + 4) * 4;
}

/** Causal grouped-query attention of the rows over their sequences' caches, and the adding up of parts where there are any. */
export function attention(gpu: Gpu, tuning: Tuning, recorder: Recorder, call: Attention): void {
  const { place, label, width, out } = call;
  const { heads, headDim } = place.shape;
  const many = width === 'many';
  const tiled = many && tuning.wideAttention === 'tiled';
  const cooperative = !many && tuning.attention === 'cooperative';
  const window = Math.min(call.window ?? place.context, place.context);
  const sizes = {
    ...qkvConstants(place),
    Q_STRIDE4: stride(heads * headDim) / 4,
    OUT_STRIDE4: stride(out.cols) / 4,
    WINDOW: window,
  };
  const left = { rows: place.rows, out: out.buffer, parts: call.parts, step: call.step };
  const bind = { q: place.q, kv: place.kv, ...left };
  if (cooperative) {
    const { imports, constants, own } = decodeShape(gpu, tuning, place, window, call.own);
    const parted = { ...sizes, ...constants };
    recorder.add({
      label,
      shader: { kernel: ATTENTION_DECODE, imports, constants: { ...parted, ...own } },
      bind: call.own ? { ...unplacedBuffers(call.own), rope: place.rope, ...bind } : bind,
    });
    if (constants.SPLITS === 1) return;
    const shader = { kernel: ATTENTION_DECODE_REDUCE, constants: parted };
    recorder.add({ label: `${label} reduce`, shader, bind: left });
    return;
  }
  const constants = { ...sizes, ...splitsOf(tuning, place.context) };
  const imports = { KV_READ: `kv_read_${place.kvDtype}` };
  if (tiled) {
    for (const { TILE, WG, takes } of tilesFor(place.shape, imports.KV_READ, call.most)) {
      const shader = {
        kernel: ATTENTION_TILED,
        imports: { ...imports, TILE },
        constants: { ...constants, WG },
      };
      recorder.add({ label, shader, bind, when: ({ rows }) => takes(rows) });
    }
    return;
  }
  if (gpu.profile === 'gpu') {
    const shader = { kernel: ATTENTION_PLAIN, imports, constants: { ...constants, WG: 64 } };
    recorder.add({ label, shader, bind });
    return;
  }
  // A thread takes the whole sequence where there are rows enough.
  const WIDE_FROM = tuning.wideFrom;
  recorder.add({
    label,
    shader: { kernel: ATTENTION, imports, constants: { ...constants, WG: 4, WIDE_FROM } },
    bind,
  });
  if (many || constants.SPLITS === 1) return;
  recorder.add({
    label: `${label} reduce`,
    shader: { kernel: ATTENTION_REDUCE, constants: { ...constants, WG: 64, WIDE_FROM } },
    bind: left,
  });
}
