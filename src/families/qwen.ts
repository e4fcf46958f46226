import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { count, flag, type Json, size } from './fields.ts';
import { layerTypesOf, refuseUnsupported, usesWindow } from './refusals.ts';

/** Configs carry a window that is off unless they say otherwise, and then on in the upper layers alone. */
const windowed = (json: Json): boolean =>
  flag(json, 'use_sliding_window') === true &&
  usesWindow(json) &&
  !layerTypesOf(json) &&
  (count(json, 'max_window_layers') ?? 28) < (size(json, 'num_hidden_layers') ?? 0);

/** Qwen 2 and 2.5: biases on q, k and v alone. */
export const QWEN2: Family = {
  modelTypes: ['qwen2'],
  read(json) {
    refuseUnsupported(json, { windowed });
    const sizes = sizesOf(json, { maxPositions: 32768 });
    const blocks = stack(json, (layer) => ({
      mixer: attention(sizes, layer, { qkvBias: true }),
      feedForward: feedForward(sizes, layer),
    }));
    return [model(json, sizes, blocks)];
  },
};

/** Qwen 3: norms of q and k with gains, heads of 128. */
export const QWEN3: Family = {
  modelTypes: ['qwen3'],
  read(json) {
    refuseUnsupported(json, { windowed });
    const sizes = sizesOf(json, { maxPositions: 32768, headDim: 128 });
    const bias = flag(json, 'attention_bias') ?? false;
    const blocks = stack(json, (layer) => ({
      mixer: attention(sizes, layer, { qkvBias: bias, outBias: bias, qkNorm: 'weighted' }),
      feedForward: feedForward(sizes, layer),
    }));
    return [model(json, sizes, blocks)];
  },
};
