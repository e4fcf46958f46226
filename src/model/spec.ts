// A model as data. A family's file makes it of a config; weights, KV cache, forward, size, training and conversion read it.

import type { Activation } from '../kernels/project.ts';

/** A matrix of a checkpoint: `{name}.weight (rows, cols)` and, with `bias`, `{name}.bias (rows)`. */
export interface Matrix {
  name: string;
  /** Outputs. */
  rows: number;
  /** Inputs. */
  cols: number;
  bias: boolean;
  /** The larger matrix whose rows these are in the file; without it, one of its own. */
  within?: Within;
}

/** Rows from `row` on of the stored tensors `{name}.weight` and `{name}.bias`, of `rows` rows. */
export interface Within {
  name: string;
  row: number;
  rows: number;
}

/** How rotary frequencies are scaled for contexts longer than those of training. */
export type RopeScaling =
  | { type: 'none' }
  | { type: 'linear'; factor: number }
  | {
      type: 'llama3';
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositions: number;
    }
  | {
      type: 'yarn';
      factor: number;
      betaFast: number;
      betaSlow: number;
      originalMaxPositions: number;
      /** Whether the range between scaled and kept frequencies begins and ends at whole dimensions. */
      truncate: boolean;
    }
  /** A factor for each pair: the short ones for contexts up to the original one, the long ones for longer contexts. */
  | { type: 'longrope'; short: readonly number[]; long: readonly number[]; originalMaxPositions: number };

/** Rotary position embeddings. */
export interface Rope {
  theta: number;
  scaling: RopeScaling;
  /** Dimensions of each head that rotate, the first ones; without it, all. */
  rotated?: number;
  /** Factor of cosines and sines; 1 where left out. */
  amplitude?: number;
  /** Dimensions 2i and 2i + 1 of a head rotate together; without it, i and i + half. Of heads that rotate whole. */
  interleaved?: boolean;
}

/** `x += O(attention(QKV(RMSNorm(x))))`, or with a norm after, `x += RMSNorm(O(…))`: causal grouped-query attention; owns one KV buffer. */
export interface AttentionMixer {
  kind: 'attention';
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Undefined: positions are not encoded in this block. */
  rope: Rope | undefined;
  /** The last positions that a token attends to, its own among them; without it, all. */
  window?: number | undefined;
  /** Factor of scores; without it, `1 / sqrt(headDim)`. */
  scoreScale?: number;
  /**
   * RMS norm of each head of q and k: the tensors of their gains before RoPE, or a norm without gains. With `whole`, of all heads
   * of q as one vector, and of k.
   */
  qkNorm: { q: string; k: string; whole?: boolean } | 'weightless' | undefined;
  /** Tensor of the gain of the norm before, `(hidden)`; without it, there is none. */
  norm: string | undefined;
  /** Of the norm of what is added to x, where there is one. */
  normAfter?: string;
  /** `(heads * headDim, hidden)` */
  q: Matrix;
  /** `(kvHeads * headDim, hidden)` */
  k: Matrix;
  v: Matrix;
  /** `(hidden, heads * headDim)` */
  out: Matrix;
}

/**
 * `x += up (down z) + b`, `z = x / rms(x)`: a linear map in the place of attention, whole where it has no `down`; no KV. With
 * `inputs`, z is of as many positions, one after the other: the block's own, the one before it and so on; those before the first
 * one are zeros.
 */
export interface LinearMixer {
  kind: 'linear';
  /** Positions that it sees; 1 where left out. */
  inputs?: number;
  /** `(rank, inputs * hidden)` */
  down: Matrix | undefined;
  /** `(hidden, rank)`, or `(hidden, inputs * hidden)`. */
  up: Matrix;
}

/**
 * `x += out(c * conv(b * y))`, where `b, c, y` are the thirds of `in(RMSNorm(x))`: a causal convolution of each channel alone, over
 * the last few positions; owns a buffer of those.
 */
export interface ConvMixer {
  kind: 'conv';
  /** Positions that it sees, its own the last of them. */
  taps: number;
  norm: string;
  /** `(3 hidden, hidden)` */
  in: Matrix;
  /** `{name}.weight (hidden, 1, taps)` and, with `bias`, `{name}.bias (hidden)`. */
  conv: { name: string; bias: boolean };
  /** `(hidden, hidden)` */
  out: Matrix;
}

/** What a block does before its feed-forward; `none` is nothing. */
export type Mixer = AttentionMixer | LinearMixer | ConvMixer | { kind: 'none' };

/** `x += down(act(gate(n)) * up(n))`, `n = RMSNorm(x)`; or with a norm after, `x += RMSNorm(down(…))`. */
export interface FeedForward {
  /** The layer whose weights it uses: its own, or another's, of which its own tensors are copies then. */
  owner: number;
  /** Width of gate and up. */
  width: number;
  /** silu where left out; gelu is the one with tanh. */
  activation?: Activation;
  /** Tensor of the gain of the norm before, `(hidden)`; without it, there is none. */
  norm: string | undefined;
  /** Of the norm of what is added to x, where there is one. */
  normAfter?: string;
  /** `(width, hidden)` */
  gate: Matrix;
  up: Matrix;
  /** `(hidden, width)` */
  down: Matrix;
}

/** One block of the stack. */
export interface BlockSpec {
  mixer: Mixer;
  feedForward: FeedForward;
}

/** Everything that the engine needs to know of a model but its weights. Sizes are counts of elements. */
export interface ModelSpec {
  /** As in `config.json`. */
  modelType: string;
  hiddenSize: number;
  vocabSize: number;
  maxPositions: number;
  rmsNormEps: number;
  /** `(vocab, hidden)` */
  embedding: Matrix;
  blocks: readonly BlockSpec[];
  /** Tensor of the gain of the last norm, `(hidden)`. */
  norm: string;
  /** `(vocab, hidden)`; of a tied model a copy of the embedding. */
  head: Matrix;
  tied: boolean;
  /** The checkpoint has no head, and the embedding only stands in its place: the model makes no logits. */
  headless?: true;
  /** Factors of rows of the embedding, of what blocks add to the hidden states, and of logits; 1 where left out. */
  scales?: { embedding?: number; residual?: number; logits?: number };
  /** Added to the stored gains of norms; 0 where left out. */
  gainOffset?: number;
  bosTokenId: number | undefined;
  eosTokenIds: readonly number[];
}

/** How one block runs: as the checkpoint has it, or without its attention. */
export interface Block {
  /** What stands before the feed-forward: attention, a linear map, a short convolution, or nothing (`mlp`). */
  kind: 'attention' | 'linear' | 'conv' | 'mlp';
  /** Position in the stack. */
  layer: number;
  /** The layer whose MLP weights (and norm) this block uses: its own, or one that it shares. */
  mlp: number;
}

/** How the blocks run, in their order. */
export type Plan = readonly Block[];

/** The blocks of a checkpoint as they are. */
export const planOf = ({ blocks }: ModelSpec): Plan =>
  blocks.map(({ mixer: { kind }, feedForward: { owner } }, layer) => ({
    kind: kind === 'none' ? 'mlp' : kind,
    layer,
    mlp: owner,
  }));

/** Attention by layer. */
export const attentionOf = ({ blocks }: ModelSpec): Map<number, AttentionMixer> =>
  new Map(blocks.flatMap(({ mixer }, layer) => (mixer.kind === 'attention' ? [[layer, mixer]] : [])));

/** Short convolutions by layer. */
export const convOf = ({ blocks }: ModelSpec): Map<number, ConvMixer> =>
  new Map(blocks.flatMap(({ mixer }, layer) => (mixer.kind === 'conv' ? [[layer, mixer]] : [])));

/** One tensor of a checkpoint. */
export interface TensorSpec {
  name: string;
  /** Row-major; matrices are `(out, in)`. */
  shape: readonly number[];
  /**
   * A stored copy of another tensor, of which either may be left out: an MLP that is another block's, the head of a model whose
   * embedding it is.
   */
  copyOf?: string;
  /** The stored tensor of which it is rows from `row` on; without it, one of its own name. */
  within?: Within;
}

function matrixTensors({ name, rows, cols, bias, within }: Matrix, copy?: Matrix): TensorSpec[] {
  const tensor = (part: 'weight' | 'bias', shape: readonly number[]): TensorSpec => ({
    name: `${name}.${part}`,
    shape,
    ...(copy && { copyOf: `${copy.name}.${part}` }),
    ...(within && { within: { ...within, name: `${within.name}.${part}` } }),
  });
  return [tensor('weight', [rows, cols]), ...(bias ? [tensor('bias', [rows])] : [])];
}

/** Gains of the norms of q and k, where they have them. */
export function qkGains({ qkNorm, headDim, heads, kvHeads }: AttentionMixer): TensorSpec[] {
  if (typeof qkNorm !== 'object') return [];
  const sizes = qkNorm.whole ? [heads * headDim, kvHeads * headDim] : [headDim, headDim];
  return [qkNorm.q, qkNorm.k].map((name, i) => ({ name, shape: [sizes[i]!] }));
}

/** The convolution itself, `(hidden, 1, taps)`, then its bias. */
export const convTensors = ({ conv, taps }: ConvMixer, hiddenSize: number): TensorSpec[] => [
  { name: `${conv.name}.weight`, shape: [hiddenSize, 1, taps] },
  ...(conv.bias ? [{ name: `${conv.name}.bias`, shape: [hiddenSize] }] : []),
];

/** Tensors of a block before its feed-forward. */
export function mixerTensors(mixer: Mixer, hiddenSize: number): TensorSpec[] {
  if (mixer.kind === 'none') return [];
  if (mixer.kind === 'linear')
    return [mixer.down, mixer.up].flatMap((matrix) => (matrix ? matrixTensors(matrix) : []));
  if (mixer.kind === 'conv')
    return [
      { name: mixer.norm, shape: [hiddenSize] },
      ...matrixTensors(mixer.in),
      ...convTensors(mixer, hiddenSize),
      ...matrixTensors(mixer.out),
    ];
  const { norm, normAfter, q, k, v, out } = mixer;
  return [
    ...(norm === undefined ? [] : [{ name: norm, shape: [hiddenSize] }]),
    ...[q, k, v, out].flatMap((matrix) => matrixTensors(matrix)),
    ...qkGains(mixer),
    ...(normAfter === undefined ? [] : [{ name: normAfter, shape: [hiddenSize] }]),
  ];
}

/** Tensors of a feed-forward, as copies of another's. */
export function feedForwardTensors(own: FeedForward, hiddenSize: number, copy?: FeedForward): TensorSpec[] {
  const norms = (['norm', 'normAfter'] as const).flatMap((which): TensorSpec[] => {
    const [name, copyOf] = [own[which], copy?.[which]];
    return name === undefined ? [] : [{ name, shape: [hiddenSize], ...(copyOf && { copyOf }) }];
  });
  return [
    ...norms,
    ...(['gate', 'up', 'down'] as const).flatMap((which) => matrixTensors(own[which], copy?.[which])),
  ];
}

/** Every tensor of a checkpoint, in the order of the stack. */
export function tensorsOf(spec: ModelSpec): TensorSpec[] {
  const { hiddenSize, embedding, blocks, norm, head, tied } = spec;
  return [
    ...matrixTensors(embedding),
    ...blocks.flatMap(({ mixer, feedForward }, layer) => [
      ...mixerTensors(mixer, hiddenSize),
      ...feedForwardTensors(
        feedForward,
        hiddenSize,
        feedForward.owner === layer ? undefined : blocks[feedForward.owner]!.feedForward,
      ),
    ]),
    { name: norm, shape: [hiddenSize] },
    ...matrixTensors(head, tied ? embedding : undefined),
  ];
}

/** The tensors of a model, each shared one once. */
export const ownTensors = (spec: ModelSpec): TensorSpec[] =>
  tensorsOf(spec).filter(({ copyOf }) => copyOf === undefined);

export const elements = ({ shape }: Pick<TensorSpec, 'shape'>): number => shape.reduce((a, b) => a * b, 1);

/** Parameters, each shared one counted once. */
export const parameterCount = (spec: ModelSpec): number =>
  ownTensors(spec).reduce((sum, tensor) => sum + elements(tensor), 0);

/** K, or V, of one position of a block. */
export const kvElements = ({ kvHeads, headDim }: AttentionMixer): number => kvHeads * headDim;

/**
 * Positions that a block's KV cache has room for. One with a window keeps a ring: the window, and the rows that a forward writes
 * at once, of which the first still sees the window before it.
 */
export const kvCapacity = (
  { window }: Pick<AttentionMixer, 'window'>,
  size: { context: number; rows: number },
): number => (window === undefined ? size.context : Math.min(size.context, window + size.rows));

/** Bytes of K and V of one sequence, of each block that attends for as many positions as it is to have: 2 * bytes * KV heads * head size. */
export function kvBytes(
  spec: ModelSpec,
  plan: Plan,
  bytesPerElement: number,
  positions: (mixer: AttentionMixer) => number,
): number {
  const attention = attentionOf(spec);
  return plan.reduce((sum, { kind, layer }) => {
    if (kind !== 'attention') return sum;
    const mixer = attention.get(layer)!;
    return sum + 2 * bytesPerElement * kvElements(mixer) * positions(mixer);
  }, 0);
}

/** Readings of a config, with one without a head where a checkpoint was saved so: its names lack the first part, too. */
export function withoutHead(
  specs: readonly [ModelSpec, ...ModelSpec[]],
  found: { has(name: string): boolean },
): [ModelSpec, ...ModelSpec[]] {
  const [spec, ...others] = specs;
  const saved = [spec.embedding, spec.head].some(({ name }) => found.has(`${name}.weight`));
  const headless: ModelSpec[] = saved || spec.tied ? [] : [{ ...spec, tied: true, headless: true }];
  return [spec, ...others, ...headless];
}

/** Bytes of K and V that one token adds, while blocks with a window have room; past it they add nothing. */
export const kvBytesPerToken = (spec: ModelSpec, plan: Plan, bytesPerElement: number): number =>
  kvBytes(spec, plan, bytesPerElement, () => 1);
