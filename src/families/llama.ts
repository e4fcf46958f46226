import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { flag } from './fields.ts';
import { refuseUnsupported, WINDOWS, windowOf } from './refusals.ts';

/** Llama, and what is published in its layout: SmolLM2, and MobileLLM, whose embedding is its head unless the config says otherwise. */
export const LLAMA: Family = {
  modelTypes: ['llama', 'mobilellm'],
  read(json) {
    refuseUnsupported(json);
    const sizes = sizesOf(json, { maxPositions: 2048 });
    const bias = flag(json, 'attention_bias') ?? false;
    const mlpBias = flag(json, 'mlp_bias') ?? false;
    const blocks = stack(json, (layer) => ({
      mixer: attention(sizes, layer, { qkvBias: bias, outBias: bias }),
      feedForward: feedForward(sizes, layer, { bias: mlpBias }),
    }));
    return [model(json, sizes, blocks, json.model_type === 'mobilellm')];
  },
};

/** Mistral: Llama's layout without biases, in older ones with a window. */
export const MISTRAL: Family = {
  modelTypes: ['mistral'],
  read(given) {
    // A config that names no window has this one; null is none.
    const json = { sliding_window: 4096, ...given };
    refuseUnsupported(json, { windowed: WINDOWS.windowed });
    const sizes = sizesOf(json, { maxPositions: 131072 });
    const blocks = stack(json, (layer) => ({
      mixer: attention(sizes, layer, { window: windowOf(json) }),
      feedForward: feedForward(sizes, layer),
    }));
    return [model(json, sizes, blocks)];
  },
};
