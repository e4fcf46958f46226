import {
  attention,
  type Family,
  feedForward,
  fusedGateUp,
  fusedQkv,
  model,
  sizesOf,
  stack,
} from './decoder.ts';
import { refuseUnsupported, WINDOWS, windowOf } from './refusals.ts';

/** Phi-3 and Phi-4-mini: q, k and v stored as one, gate and up as one; a part of each head may rotate. */
export const PHI3: Family = {
  modelTypes: ['phi3'],
  read(json) {
    refuseUnsupported(json, { windowed: WINDOWS.windowed });
    const sizes = sizesOf(json, { maxPositions: 4096, originalMaxPositions: 4096, partialRotary: true });
    const blocks = stack(json, (layer) => {
      const at = `model.layers.${layer}`;
      return {
        mixer: fusedQkv(attention(sizes, layer, { window: windowOf(json) }), `${at}.self_attn.qkv_proj`),
        feedForward: fusedGateUp(feedForward(sizes, layer), {
          gateUp: `${at}.mlp.gate_up_proj`,
          down: `${at}.mlp.down_proj`,
        }),
      };
    });
    // Another epsilon than the other families where a config names none.
    return [model({ rms_norm_eps: 1e-5, ...json }, sizes, blocks)];
  },
};
