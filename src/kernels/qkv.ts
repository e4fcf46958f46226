// Where q, k and v go: shaders/shared/qkv_place.wgsl, kv_layout.wgsl and kv_*.wgsl.
import {
  type Asked,
  type Binding,
  type Range,
  type Result,
  reads,
  type ShaderConstant,
  type TwinLaunch,
  writes,
} from '../gpu/kernel.ts';
import { COUNT, HEAD, stride } from './tensor.ts';

export interface HeadShape {
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** Where q, k and v of each row go. */
export interface QkvPlace {
  shape: HeadShape;
  /** `(rows, stride(heads * headDim))` f32. */
  q: GPUBuffer;
  /** A block's cache, in the layout of shaders/shared/kv_layout.wgsl. */
  kv: GPUBuffer;
  kvDtype: 'f32' | 'f16';
  sequences: number;
  /** Positions of the longest sequence, and of them those that the block's cache has room for: the last ones. */
  context: number;
  capacity: number;
  /** `(context, headDim / 2)`: cos and sin. */
  rope: GPUBuffer;
  rows: GPUBuffer;
}

/** Constants of `qkvConstants`. */
export const QKV_SIZES = {
  HEADS: COUNT,
  KV_HEADS: COUNT,
  HEAD_DIM: HEAD,
  SEQUENCES: [1, 256],
  CONTEXT: COUNT,
  CAPACITY: COUNT,
  Q_STRIDE: COUNT,
} as const satisfies Record<string, Range>;

export type QkvConstant = keyof typeof QKV_SIZES;

export const KV_WRITES = [{ KV_WRITE: 'kv_write_f32' }, { KV_WRITE: 'kv_write_f16' }] as const;

export const qkvConstants = ({
  shape,
  sequences,
  context,
  capacity,
}: Pick<QkvPlace, 'shape' | 'sequences' | 'context' | 'capacity'>): Record<QkvConstant, ShaderConstant> => ({
  HEADS: shape.heads,
  KV_HEADS: shape.kvHeads,
  HEAD_DIM: shape.headDim,
  SEQUENCES: sequences,
  CONTEXT: context,
  CAPACITY: capacity,
  Q_STRIDE: stride(shape.heads * shape.headDim),
});

/** The numbers of a KV cache. */
export const kvShape = ({ constants: c }: Asked<QkvConstant>): readonly number[] => [
  2,
  c.SEQUENCES,
  c.KV_HEADS,
  c.CAPACITY,
  c.HEAD_DIM,
];

export const qkvBindings = ({ imports }: Asked<QkvConstant>): Binding<QkvConstant>[] => [
  // What kv_write_f16.wgsl notes of each sequence is behind the rows.
  writes('q', 'vec2f', ({ constants: c, step }) => [step.rows * c.Q_STRIDE + 2 * c.SEQUENCES]),
  imports.KV_WRITE === 'kv_write_f16' ? writes('kv', 'u32', kvShape, 'f16') : writes('kv', 'vec2f', kvShape),
  // cos and sin of two neighbouring frequencies
  reads('rope', 'vec4f', ({ constants: c }) => [c.CONTEXT, c.HEAD_DIM]),
  reads('rows', 'Row', ({ step }) => [step.rows, 4]),
];

/** Elements of one position of K that are neighbours, as in key_f16.wgsl and key_f32.wgsl. */
export const keySize = (headDim: number, f16: boolean): number =>
  f16 && headDim % 8 === 0 && headDim <= 64 ? 8 : 4;

export const keyVector = ({ constants, imports }: Asked<'HEAD_DIM'>): number =>
  keySize(
    constants.HEAD_DIM,
    Object.values(imports).some((name) => /\bkv_\w+_f16/.test(name)),
  );

/** Place of an element of K, as in kv_layout.wgsl; vectors of neighbouring positions are neighbours. */
export function keyAt(
  asked: Asked<QkvConstant>,
  sequence: number,
  head: number,
  position: number,
  dim: number,
): number {
  const { KV_HEADS, HEAD_DIM, CAPACITY } = asked.constants;
  const size = keyVector(asked);
  const vectors = (sequence * KV_HEADS + head) * (HEAD_DIM / size) + Math.floor(dim / size);
  return (vectors * CAPACITY + (position % CAPACITY)) * size + (dim % size);
}

/** Place of a vector of V. */
export const valueAt = (
  { constants: c }: Asked<QkvConstant>,
  sequence: number,
  head: number,
  position: number,
): number =>
  ((c.SEQUENCES * c.KV_HEADS + sequence * c.KV_HEADS + head) * c.CAPACITY + (position % c.CAPACITY)) *
  c.HEAD_DIM;

/** Heads to look at among `from .. to` of q's, k's and v's heads: some of each. */
export function pickHeads(
  { constants, pick }: TwinLaunch<QkvConstant>,
  from: number,
  to: number,
): readonly number[] {
  const { HEADS, KV_HEADS } = constants;
  return [
    [0, HEADS],
    [HEADS, HEADS + KV_HEADS],
    [HEADS + KV_HEADS, HEADS + 2 * KV_HEADS],
  ].flatMap(([first, end]) => {
    const begin = Math.max(from, first!);
    return pick(Math.max(0, Math.min(to, end!) - begin), 2).map((i) => begin + i);
  });
}

/** A number and what its rounding is relative to. */
export interface Sum {
  value: number;
  scale: number;
}

/** Leaves dimensions j and j + HEAD_DIM / 2 of one of q's, k's and v's heads, q and k rotated. */
export function* placed(
  launch: TwinLaunch<QkvConstant>,
  row: number,
  head: number,
  j: number,
  low: Sum,
  high: Sum,
): Iterable<Result> {
  const { HEADS, KV_HEADS, HEAD_DIM, CONTEXT, Q_STRIDE } = launch.constants;
  const [, sequence, position] = launch.words('rows', 4 * row, 4);
  if (position! >= CONTEXT) return;
  const half = HEAD_DIM / 2;
  let pair = [low, high];
  if (head < HEADS + KV_HEADS) {
    const [cos, sin] = launch.floats('rope', 2 * (position! * half + j), 2) as unknown as [number, number];
    const turned = (a: Sum, b: Sum, sine: number): Sum => ({
      value: a.value * cos - b.value * sine,
      scale: a.scale * Math.abs(cos) + b.scale * Math.abs(sine),
    });
    pair = [turned(low, high, sin), turned(high, low, -sin)];
  }
  for (const [i, sum] of pair.entries()) {
    const dim = j + i * half;
    if (head < HEADS) yield { binding: 'q', at: row * Q_STRIDE + head * HEAD_DIM + dim, ...sum };
    else if (head < HEADS + KV_HEADS)
      yield { binding: 'kv', at: keyAt(launch, sequence!, head - HEADS, position!, dim), ...sum };
    else
      yield {
        binding: 'kv',
        at: valueAt(launch, sequence!, head - HEADS - KV_HEADS, position!) + dim,
        ...sum,
      };
  }
}
