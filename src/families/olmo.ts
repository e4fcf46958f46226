import type { BlockSpec } from '../model/spec.ts';
import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { flag } from './fields.ts';
import { refuseUnsupported } from './refusals.ts';

/** OLMo 2: norms after alone; q and k are normalised before they are heads. */
export const OLMO2: Family = {
  modelTypes: ['olmo2'],
  read(given) {
    // What a config leaves out where it is so.
    const json = { rms_norm_eps: 1e-5, ...given };
    refuseUnsupported(json);
    const sizes = sizesOf(json, { maxPositions: 2048 });
    const bias = flag(json, 'attention_bias') ?? false;
    const blocks = stack(json, (layer): BlockSpec => {
      const at = `model.layers.${layer}`;
      const [q, k] = ['q', 'k'].map((of) => `${at}.self_attn.${of}_norm.weight`) as [string, string];
      return {
        mixer: {
          ...attention(sizes, layer, { qkvBias: bias, outBias: bias }),
          qkNorm: { q, k, whole: true },
          norm: undefined,
          normAfter: `${at}.post_attention_layernorm.weight`,
        },
        feedForward: {
          ...feedForward(sizes, layer),
          norm: undefined,
          normAfter: `${at}.post_feedforward_layernorm.weight`,
        },
      };
    });
    return [model(json, sizes, blocks)];
  },
};
