import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { count, flag, type Json } from './fields.ts';
import { layersOfType, refuseUnsupported, WINDOWS, windowOf } from './refusals.ts';

/**
 * Configs carry a window that is off unless they say otherwise, and then on in the upper layers alone or in those
 * listed.
 * @throws ShishuError `unsupported`, `bad-config`
 */
function windows(json: Json): (layer: number) => number | undefined {
  const used = flag(json, 'use_sliding_window') === true;
  refuseUnsupported(json, used ? WINDOWS : { windowed: WINDOWS.windowed });
  if (!used) return () => undefined;
  const first = count(json, 'max_window_layers') ?? 28;
  const sliding = layersOfType(json, 'sliding_attention') ?? ((layer) => layer >= first);
  return (layer) => (sliding(layer) ? windowOf(json) : undefined);
}

/** Qwen 2 and 2.5: biases on q, k and v alone. */
export const QWEN2: Family = {
  modelTypes: ['qwen2'],
  read(json) {
    const window = windows(json);
    const sizes = sizesOf(json, { maxPositions: 32768 });
    const blocks = stack(json, (layer) => ({
      mixer: attention(sizes, layer, { qkvBias: true, window: window(layer) }),
      feedForward: feedForward(sizes, layer),
    }));
    return [model(json, sizes, blocks)];
  },
};

/** Qwen 3: norms of q and k with gains, heads of 128. */
export const QWEN3: Family = {
  modelTypes: ['qwen3'],
  read(json) {
    const window = windows(json);
    const sizes = sizesOf(json, { maxPositions: 32768, headDim: 128 });
    const bias = flag(json, 'attention_bias') ?? false;
    const blocks = stack(json, (layer) => ({
      mixer: attention(sizes, layer, {
        qkvBias: bias,
        outBias: bias,
        qkNorm: 'weighted',
        window: window(layer),
      }),
      feedForward: feedForward(sizes, layer),
    }));
    return [model(json, sizes, blocks)];
  },
};
