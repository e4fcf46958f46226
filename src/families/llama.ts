import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { flag } from './fields.ts';
import { refuseUnsupported } from './refusals.ts';

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

/** Mistral: Llama's layout without biases. A window that is narrower than the context is refused. */
export const MISTRAL: Family = {
  modelTypes: ['mistral'],
  read(json) {
    // A config that names no window has this one; null is none.
    refuseUnsupported({ sliding_window: 4096, ...json });
    const sizes = sizesOf(json, { maxPositions: 131072 });
    const blocks = stack(json, (layer) => ({
      mixer: attention(sizes, layer),
      feedForward: feedForward(sizes, layer),
    }));
    return [model(json, sizes, blocks)];
  },
};
