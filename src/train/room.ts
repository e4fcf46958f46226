import { type AttentionMixer, attentionOf, type ModelSpec } from '../model/spec.ts';
import { columnParts } from './kernels/columns.ts';

/** Windows of a micro-batch: `rows` of hidden states in all, in windows of `length`. */
export interface Windows {
  rows: number;
  length: number;
}

/** f32 numbers of each buffer for what blocks compute on the way; models take turns with them. */
export function roomSizes(specs: readonly ModelSpec[], { rows }: Windows, rank: number) {
  const mixers = specs.flatMap((spec) => [...attentionOf(spec).values()]);
  const most = (of: (mixer: AttentionMixer) => number): number => Math.max(0, ...mixers.map(of));
  const hidden = rows * Math.max(...specs.map(({ hiddenSize }) => hiddenSize));
  const blocks = specs.flatMap((spec) => spec.blocks);
  const width = rows * Math.max(...blocks.map(({ feedForward }) => feedForward.width));
  const queries = rows * most(({ heads, headDim }) => heads * headDim);
  const keys = rows * most(({ kvHeads, headDim }) => kvHeads * headDim);
  const heads = rows * most((mixer) => mixer.heads);
  // Heads that are normed are kept as they were before, too.
  const normed = most(({ qkNorm }) => (qkNorm ? 1 : 0));
  const ranks = blocks.map(({ mixer }) => (mixer.kind === 'linear' ? (mixer.down?.rows ?? 0) : 0));
  const reduced = rows * Math.max(...ranks);
  // Of maps of one input, what they read is the normed hidden states themselves.
  const inputs = Math.max(
    ...blocks.map(({ mixer }) => (mixer.kind === 'linear' && mixer.inputs ? mixer.inputs : 1)),
  );
  const several = inputs > 1 ? inputs * hidden : 0;
  /** What the backward of a block needs of its forward. */
  const inner = {
    x: hidden,
    q: queries,
    k: keys,
    v: keys,
    q0: normed * queries,
    k0: normed * keys,
    y: queries,
    sums: heads,
    gate: width,
    up: width,
    product: width,
    reduced,
  };
  const passing = {
    normed: hidden,
    dx: hidden,
    dnormed: hidden,
    dq: queries,
    dk: keys,
    dv: keys,
    dy: queries,
    dq0: normed * queries,
    dk0: normed * keys,
    deltas: heads,
    dproduct: width,
    dreduced: reduced,
    inputs: several,
    dinputs: several,
    lora: rows * rank,
    dlora: rows * rank,
    scales: Math.max(rows, normed * heads),
    parts: Math.max(
      columnParts(rows, Math.max(hidden, queries, keys, width) / rows),
      normed *
        columnParts(
          heads,
          most(({ headDim }) => headDim),
        ),
    ),
  };
  return { inner, passing };
}

type Sizes = ReturnType<typeof roomSizes>;

/** Buffers for what blocks compute on the way. */
export type InnerRoom = Record<keyof Sizes['inner'], GPUBuffer>;
export type Room = InnerRoom & Record<keyof Sizes['passing'], GPUBuffer>;

/** Heads of one key turn alike. */
export const ropeKey = ({ headDim, rope }: AttentionMixer): string => JSON.stringify([headDim, rope]);
