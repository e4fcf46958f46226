import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { count, fail, field, flag, isCounts, type Json, refuse, size } from './fields.ts';
import { layersOfType, refuseUnsupported } from './refusals.ts';
import { rotates } from './smollm3.ts';

const FIELDS = [
  'no_rope_layers',
  'no_rope_layer_interval',
  'use_qk_norm',
  'intermediate_size_mlp',
  'moe_layers',
  'interleave_moe_layer_step',
  'attention_chunk_size',
  'attn_temperature_tuning',
  'floor_scale',
  'attn_scale',
  // Of experts, which dense models do not have.
  'num_local_experts',
  'router_jitter_noise',
];

/** What a config leaves out where it is so. */
const DEFAULTS: Json = { num_key_value_heads: 8, rms_norm_eps: 1e-5, attention_chunk_size: 8192 };

function refuseExperts(json: Json): void {
  const step = count(json, 'interleave_moe_layer_step') ?? 1;
  const listed = field(json, 'moe_layers', 'a list of layers', isCounts);
  // Without a list each `step`th layer has experts.
  const some = listed ? listed.length > 0 : step > 0 && step <= (size(json, 'num_hidden_layers') ?? 0);
  if (some)
    refuse('mixtures of experts are not supported.', 'Dense models have an empty list in "moe_layers".');
}

/**
 * The positions up to which all layers attend to all positions before, unscaled: those that rotate may attend within a chunk
 * alone, and those that do not may scale their queries by their position, from `floor_scale` on.
 */
function plainPositions(json: Json, rotated: (layer: number) => boolean): number {
  const layers = Array.from({ length: size(json, 'num_hidden_layers') ?? 0 }, (_, layer) => layer);
  const chunk = size(json, 'attention_chunk_size');
  const chunked = layers.some(
    layersOfType(json, 'chunked_attention') ?? ((layer) => chunk !== undefined && rotated(layer)),
  );
  if (chunked && chunk === undefined)
    fail('"layer_types" lists chunks, and "attention_chunk_size" is missing.');
  const tuned = (flag(json, 'attn_temperature_tuning') ?? true) && !layers.every(rotated);
  const floor = size(json, 'floor_scale') ?? 8192;
  if (tuned && floor === 1) refuse('"floor_scale" is 1: queries scaled by their position are not supported.');
  return Math.min(chunked ? chunk! : Number.POSITIVE_INFINITY, tuned ? floor - 1 : Number.POSITIVE_INFINITY);
}

/** Llama 4, text, dense: MobileLLM-R1. Neighbouring dimensions rotate together, and what rotates is then normalised. */
export const LLAMA4: Family = {
  modelTypes: ['llama4_text'],
  read(given) {
    const json: Json = { ...DEFAULTS, ...given };
    refuseExperts(json);
    refuseUnsupported(
      { ...json, num_local_experts: undefined },
      { fields: FIELDS, layerTypes: ['full_attention', 'chunked_attention'] },
    );
    const width = size(json, 'intermediate_size_mlp') ?? 16384;
    const sizes = sizesOf(
      { ...json, intermediate_size: width },
      { maxPositions: 131072, headDim: 128, theta: 500000 },
    );
    // An empty list says nothing.
    const { no_rope_layers: listed, ...others } = json;
    const rotated = rotates(Array.isArray(listed) && listed.length === 0 ? others : json);
    const bias = flag(json, 'attention_bias') ?? false;
    const normed = flag(json, 'use_qk_norm') ?? true;
    if (normed && sizes.rope?.amplitude !== undefined)
      refuse('"use_qk_norm" beside rotary embeddings that scale is not supported.');
    const rope = sizes.rope && { ...sizes.rope, interleaved: true };
    const blocks = stack(json, (layer) => ({
      mixer: attention({ ...sizes, rope: rotated(layer) ? rope : undefined }, layer, {
        qkvBias: bias,
        outBias: bias,
        qkNorm: normed && rotated(layer) ? 'weightless' : undefined,
      }),
      feedForward: feedForward(sizes, layer, { module: 'feed_forward' }),
    }));
    const maxPositions = Math.min(sizes.maxPositions, plainPositions(json, rotated));
    return [model(json, { ...sizes, maxPositions }, blocks)];
  },
};
