import type { BlockSpec, ModelSpec } from '../model/spec.ts';
import {
  attention,
  type Family,
  feedForward,
  fusedGateUp,
  model,
  type Sizes,
  sizesOf,
  stack,
} from './decoder.ts';
import { count, fail, flag, type Json, positive, refuse, size, text } from './fields.ts';
import { refuseUnsupported } from './refusals.ts';

const MULTIPLIERS = ['embedding_multiplier', 'residual_multiplier', 'attention_multiplier', 'logits_scaling'];

/** The model of blocks that have no factors yet. */
function multiplied(json: Json, sizes: Sizes, blocks: readonly BlockSpec[]): ModelSpec {
  const factor = (name: string): number => positive(json, name) ?? 1;
  return {
    ...model(json, sizes, blocks),
    scales: {
      embedding: factor('embedding_multiplier'),
      residual: factor('residual_multiplier'),
      logits: 1 / factor('logits_scaling'),
    },
  };
}

/** Attention whose scores have a factor of their own. */
function scaledAttention(json: Json, sizes: Sizes, layer: number) {
  const bias = flag(json, 'attention_bias') ?? false;
  return {
    ...attention(sizes, layer, { qkvBias: bias, outBias: bias }),
    scoreScale: positive(json, 'attention_multiplier') ?? 1,
  };
}

/** Granite 3, dense: factors of the embedding, of what blocks add, of scores and of logits. */
export const GRANITE: Family = {
  modelTypes: ['granite'],
  read(json) {
    refuseUnsupported(json, { fields: MULTIPLIERS });
    const sizes = sizesOf(json, { maxPositions: 2048 });
    const bias = flag(json, 'mlp_bias') ?? false;
    const blocks = stack(json, (layer) => ({
      mixer: scaledAttention(json, sizes, layer),
      feedForward: feedForward(sizes, layer, { bias }),
    }));
    return [multiplied(json, sizes, blocks)];
  },
};

/** Fields of the Mamba blocks and experts that dense models do not have. */
const UNUSED = [
  'mamba_chunk_size',
  'mamba_conv_bias',
  'mamba_d_conv',
  'mamba_d_head',
  'mamba_d_state',
  'mamba_expand',
  'mamba_n_groups',
  'mamba_n_heads',
  'mamba_proj_bias',
  'time_step_limit',
  'normalization_function',
  'init_method',
];

/** Granite 4, dense: as Granite 3, with gate and up stored as one; where all blocks attend and there are no experts. */
export const GRANITE4: Family = {
  modelTypes: ['granitemoehybrid'],
  read(json) {
    refuseUnsupported(json, {
      fields: [...MULTIPLIERS, ...UNUSED, 'shared_intermediate_size', 'position_embedding_type'],
      layerTypes: ['attention', 'full_attention'],
    });
    if (!json.layer_types || count(json, 'num_local_experts') !== 0)
      refuse('Mamba blocks and mixtures of experts are not supported.', 'Take a dense Granite 4.');
    const normalization = text(json, 'normalization_function') ?? 'rmsnorm';
    if (normalization !== 'rmsnorm') refuse(`normalization "${normalization}" is not supported.`);
    const encoding = text(json, 'position_embedding_type') ?? 'nope';
    if (!['rope', 'nope'].includes(encoding)) fail(`"position_embedding_type" is "${encoding}".`);
    const sizes = sizesOf(json, { maxPositions: 2048 });
    const rope = encoding === 'rope' ? sizes.rope : undefined;
    const width = size(json, 'shared_intermediate_size') ?? 1024;
    const blocks = stack(json, (layer) => ({
      mixer: scaledAttention(json, { ...sizes, rope }, layer),
      feedForward: fusedGateUp(feedForward(sizes, layer, { width }), {
        gateUp: `model.layers.${layer}.shared_mlp.input_linear`,
        down: `model.layers.${layer}.shared_mlp.output_linear`,
      }),
    }));
    return [multiplied(json, sizes, blocks)];
  },
};
