import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import { type ModelSpec, ownTensors } from '../../src/model/spec.ts';
import type { CpuWeights } from '../../src/train/weights.ts';
import { memorySource } from './memory-source.ts';

/** The config of a parent of three blocks that is healed in tests. */
export const parentJson = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 24,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 0,
};
export const parent = specOf(parentJson);

/** A model with these weights, as healing takes it. */
export async function modelWith(spec: ModelSpec, weights: CpuWeights) {
  const tensors = ownTensors(spec).map(({ name, shape }) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: weights[name]!.data,
  }));
  const source = memorySource({ 'model.safetensors': encodeSafetensors(tensors) });
  return { spec, checkpoint: await openCheckpoint(source, ownTensors(spec)) };
}
