import { attention, type Family, feedForward, model, sizesOf, stack } from './decoder.ts';
import { fail, field, flag, type Json, size } from './fields.ts';
import { refuseUnsupported } from './refusals.ts';

const isFlags = (value: unknown): value is (0 | 1)[] =>
  Array.isArray(value) && value.every((each) => each === 0 || each === 1);

/** Whether each layer rotates: as listed (1 where it does), or all but each `no_rope_layer_interval`th. */
export function rotates(json: Json): (layer: number) => boolean {
  const listed = field(json, 'no_rope_layers', 'a list of 0 and 1', isFlags);
  const interval = size(json, 'no_rope_layer_interval') ?? 4;
  if (!listed) return (layer) => (layer + 1) % interval !== 0;
  const layers = size(json, 'num_hidden_layers') ?? 0;
  if (listed.length < layers) fail(`"no_rope_layers" lists ${listed.length} of ${layers} layers.`);
  return (layer) => listed[layer] === 1;
}

/** SmolLM3: some layers have no rotary embeddings. */
export const SMOLLM3: Family = {
  modelTypes: ['smollm3'],
  read(json) {
    const windowed = (): boolean => flag(json, 'use_sliding_window') === true;
    refuseUnsupported(json, { fields: ['no_rope_layers', 'no_rope_layer_interval'], windowed });
    const sizes = sizesOf(json, { maxPositions: 32768, theta: 2e6 });
    const bias = flag(json, 'attention_bias') ?? false;
    const mlpBias = flag(json, 'mlp_bias') ?? false;
    const rotated = rotates(json);
    const blocks = stack(json, (layer) => ({
      mixer: attention({ ...sizes, rope: rotated(layer) ? sizes.rope : undefined }, layer, {
        qkvBias: bias,
        outBias: bias,
      }),
      feedForward: feedForward(sizes, layer, { bias: mlpBias }),
    }));
    return [model(json, sizes, blocks, true)];
  },
};
