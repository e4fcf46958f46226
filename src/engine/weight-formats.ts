// Which format each matrix of a checkpoint is kept in.
import type { Checkpoint, UsableTensor } from '../formats/checkpoint.ts';
import { rowBytes, type WeightDtype } from '../kernels/tensor.ts';
import { dtypeOfBlocks } from '../model/pack.ts';
import type { ModelSpec } from '../model/spec.ts';
import type { FillPlan } from '../model/weights.ts';

/** How the matrices of a checkpoint are kept. */
export interface KeptFormats {
  /** Each matrix is kept as the file has it, but for what is `converted`. */
  asStored: boolean;
  /** What most values are in; and what is not said otherwise. */
  dtype: WeightDtype;
  /** Matrices that are kept otherwise, by name. */
  own: ReadonlyMap<string, WeightDtype>;
  /** Types of blocks that are kept in another format, and in which. */
  converted: ReadonlyMap<string, WeightDtype>;
}

/** What matrices of a model are kept in, its share of them and of the bytes on the GPU. */
export interface FormatShare {
  dtype: WeightDtype;
  tensors: number;
  bytes: number;
}

type Matrices = [name: string, tensor: UsableTensor][];

const matricesOf = ({ tensors }: Checkpoint): Matrices =>
  [...tensors].filter(([, { shape }]) => shape.length === 2);

/** Keys by the values of their matrices, the one of most first. */
function byValues<T>(matrices: Matrices, keyOf: (name: string, tensor: UsableTensor) => T | undefined): T[] {
  const sizes = new Map<T, number>();
  for (const [name, tensor] of matrices) {
    const key = keyOf(name, tensor);
    const [rows, cols] = tensor.shape as [number, number];
    if (key !== undefined) sizes.set(key, (sizes.get(key) ?? 0) + rows * cols);
  }
  return [...sizes].sort(([, a], [, b]) => b - a).map(([key]) => key);
}

/** Types of the blocks that a checkpoint's matrices are stored in, the one of most values first; none where they are no blocks. */
export const blockTypes = (checkpoint: Checkpoint): string[] =>
  byValues(matricesOf(checkpoint), (_, { blocks }) => blocks);

/**
 * What `auto` makes of a checkpoint. Of a GGUF file each matrix stays as it is stored. Else f16 where most are stored in 16 bits;
 * those stored as F32 stay so.
 */
export function autoFormats(spec: ModelSpec, checkpoint: Checkpoint): KeptFormats {
  const matrices = matricesOf(checkpoint);
  if (matrices.some(([, { stored }]) => stored)) return formatsAsStored(spec, checkpoint);
  const [most] = byValues(matrices, (_, { dtype }) => (dtype === 'F32' ? 'f32' : 'f16'));
  const full = most === 'f32' ? [] : matrices.filter(([, { dtype }]) => dtype === 'F32');
  const own = new Map(full.map(([name]) => [name, 'f32'] as const));
  return { asStored: false, dtype: most!, own, converted: new Map() };
}

/** The format that holds a matrix as it is stored; q8 for blocks that no kernel reads. */
const formatOf = ({ dtype, blocks }: UsableTensor): WeightDtype =>
  blocks ? (dtypeOfBlocks(blocks) ?? 'q8') : ({ F32: 'f32', F16: 'f16', BF16: 'bf16' } as const)[dtype];

function formatsAsStored(spec: ModelSpec, checkpoint: Checkpoint): KeptFormats {
  const { tensors } = checkpoint;
  const own = new Map<string, WeightDtype>();
  for (const [name, tensor] of matricesOf(checkpoint)) own.set(name, formatOf(tensor));
  // Gate and up are read by one kernel, and so in one format.
  for (const { feedForward } of spec.blocks) {
    const pair = [`${feedForward.gate.name}.weight`, `${feedForward.up.name}.weight`];
    if (own.get(pair[0]!) === own.get(pair[1]!)) continue;
    const kept = pair.every((name) => tensors.get(name)?.blocks) ? 'q8' : 'f32';
    for (const name of pair) if (own.has(name)) own.set(name, kept);
  }
  const converted = new Map<string, WeightDtype>();
  for (const [name, dtype] of own) {
    const { blocks } = tensors.get(name)!;
    if (blocks && dtypeOfBlocks(blocks) !== dtype) converted.set(blocks, dtype);
  }
  const [dtype] = byValues(matricesOf(checkpoint), (name) => own.get(name));
  return { asStored: true, dtype: dtype!, own, converted };
}

/** What a user is told of types that are kept in another format; undefined where there are none. */
export function convertedText({ converted }: Pick<KeptFormats, 'converted'>): string | undefined {
  if (converted.size === 0) return undefined;
  const list = [...converted].map(([type, dtype]) => `${type} as ${dtype}`).join(', ');
  return `Some weights are in blocks that are not read as they are, and are kept in another format: ${list}.`;
}

/** What a model's matrices are kept in, of most bytes first. */
export function formatShares({ matrices }: FillPlan): FormatShare[] {
  const shares = new Map<WeightDtype, FormatShare>();
  for (const { weight, rows, place } of matrices) {
    const { dtype } = weight.parts[place(0).part]!;
    const share = shares.get(dtype) ?? { dtype, tensors: 0, bytes: 0 };
    shares.set(dtype, share);
    const { codes, scales } = rowBytes(dtype, weight.cols);
    share.tensors++;
    share.bytes += rows * (codes + scales);
  }
  return [...shares.values()].sort((a, b) => b.bytes - a.bytes);
}
