import type { Checkpoint } from '../formats/checkpoint.ts';
import { bytesToF32 } from '../formats/float.ts';
import type { ModelConfig } from '../model/config.ts';
import { ownSpecs } from '../model/plan.ts';

/** A model's tensors in CPU memory by name, float32; matrices are `(out, in)`. Tensors that two layers share are there once. */
export type CpuWeights = Record<string, { shape: readonly number[]; data: Float32Array<ArrayBuffer> }>;

/** The tensors of a checkpoint as float32. */
export async function readWeights(checkpoint: Checkpoint, config: ModelConfig): Promise<CpuWeights> {
  const weights: CpuWeights = {};
  for (const { name, shape } of ownSpecs(config)) {
    const data = bytesToF32(await checkpoint.read(name), checkpoint.tensors.get(name)!.dtype);
    weights[name] = { shape, data };
  }
  return weights;
}
