import type { Checkpoint } from '../formats/checkpoint.ts';
import { bytesToF32 } from '../formats/float.ts';
import { type ModelSpec, ownTensors } from '../model/spec.ts';

/** A model's tensors in CPU memory by name, float32; matrices are `(out, in)`. Tensors that two layers share are there once. */
export type CpuWeights = Record<string, { shape: readonly number[]; data: Float32Array<ArrayBuffer> }>;

/** A model's weights, each tensor read by its name. */
export async function weightsOf(
  spec: ModelSpec,
  read: (name: string) => Promise<Float32Array<ArrayBuffer>>,
): Promise<CpuWeights> {
  const weights: CpuWeights = {};
  // In the order of the specs, which is that of a new model: sums of floats depend on it.
  for (const { name, shape } of ownTensors(spec)) weights[name] = { shape, data: await read(name) };
  return weights;
}

/** The tensors of a checkpoint as float32. */
export const readWeights = (checkpoint: Checkpoint, spec: ModelSpec): Promise<CpuWeights> =>
  weightsOf(spec, async (name) =>
    bytesToF32(await checkpoint.read(name), checkpoint.tensors.get(name)!.dtype),
  );
