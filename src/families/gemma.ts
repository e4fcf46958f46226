import type { BlockSpec } from '../model/spec.ts';
import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { count, fail, type Json, object, positive, size } from './fields.ts';
import { layersOfType, refuseUnsupported, WINDOWS, windowOf } from './refusals.ts';
import { ropeOf } from './rope.ts';

const FIELDS = [
  'query_pre_attn_scalar',
  'rope_local_base_freq',
  'sliding_window_pattern',
  '_sliding_window_pattern',
  'gain_offset',
];

/** Whether each layer has a window: as listed, or all but each sixth (or as `sliding_window_pattern` says). */
function slides(json: Json): (layer: number) => boolean {
  const every = size(json, 'sliding_window_pattern') ?? size(json, '_sliding_window_pattern') ?? 6;
  return layersOfType(json, 'sliding_attention') ?? ((layer) => (layer + 1) % every !== 0);
}

/** The config as layers with a window read it: a base of their own, no scaling unless it is said to be theirs. */
function local({ rope_scaling: _, rope_parameters: nested, ...json }: Json): Json {
  const own = nested ? object(nested as Json, 'sliding_attention') : undefined;
  return { ...json, rope_theta: positive(json, 'rope_local_base_freq') ?? 10000, rope_parameters: own };
}

/** Gemma 3, text alone: norms before and after, gains stored less 1, windows in most layers. */
export const GEMMA3: Family = {
  modelTypes: ['gemma3_text'],
  read(given) {
    // What a config leaves out where it is so.
    const json: Json = { num_key_value_heads: 4, sliding_window: 4096, ...given };
    refuseUnsupported(json, {
      fields: FIELDS,
      ...WINDOWS,
      activations: ['gelu_pytorch_tanh'],
    });
    if (json.rope_parameters && !('full_attention' in (object(json, 'rope_parameters') ?? {})))
      fail('"rope_parameters" are not by layer type.');
    const sizes = sizesOf(json, { maxPositions: 131072, headDim: 256, theta: 1e6 });
    const { headDim, maxPositions, hiddenSize } = sizes;
    const localRope = ropeOf(local(json), { headDim, maxPositions });
    const sliding = slides(json);
    const bias = json.attention_bias === true;
    const scoreScale = (positive(json, 'query_pre_attn_scalar') ?? 256) ** -0.5;
    const window = windowOf(json);
    const blocks = stack(json, (layer): BlockSpec => {
      const at = `model.layers.${layer}`;
      const rope = sliding(layer) ? localRope : sizes.rope;
      return {
        mixer: {
          ...attention({ ...sizes, rope }, layer, {
            qkvBias: bias,
            outBias: bias,
            qkNorm: 'weighted',
            window: sliding(layer) ? window : undefined,
          }),
          scoreScale,
          normAfter: `${at}.post_attention_layernorm.weight`,
        },
        feedForward: {
          ...feedForward(sizes, layer),
          activation: 'gelu',
          norm: `${at}.pre_feedforward_layernorm.weight`,
          normAfter: `${at}.post_feedforward_layernorm.weight`,
        },
      };
    });
    return [
      {
        ...model(json, sizes, blocks, true),
        scales: { embedding: Math.sqrt(hiddenSize) },
        // Files that store gains whole say so.
        gainOffset: count(json, 'gain_offset') ?? 1,
      },
    ];
  },
};
