import type { AttentionMixer, BlockSpec, ConvMixer } from '../model/spec.ts';
import { attention, type Family, feedForward, model, type Sizes, sizesOf, stack } from './decoder.ts';
import { field, flag, isCounts, type Json, need, positive, refuse, size } from './fields.ts';
import { layersOfType, refuseUnsupported } from './refusals.ts';

const FIELDS = [
  'norm_eps',
  'conv_L_cache',
  'conv_bias',
  'full_attn_idxs',
  'block_auto_adjust_ff_dim',
  'block_ffn_dim_multiplier',
  'block_multiple_of',
  'block_ff_dim',
  'tie_embedding',
  'block_use_swiglu',
  'use_pos_enc',
  // How weights began.
  'block_mlp_init_scale',
  'block_out_init_scale',
  'block_use_xavier_init',
  'conv_use_xavier_init',
];

/** What older configs say once more in other words. */
const TWICE = {
  block_dim: 'hidden_size',
  conv_dim: 'hidden_size',
  conv_dim_out: 'hidden_size',
  num_heads: 'num_attention_heads',
  block_norm_eps: 'norm_eps',
  theta: 'rope_theta',
};

/** What a config leaves out where it is so. */
const DEFAULTS: Json = { num_key_value_heads: 8, norm_eps: 1e-5 };

/** @throws ShishuError `unsupported` naming what differs from what is run */
function refuseOther(json: Json): void {
  for (const name of ['block_use_swiglu', 'use_pos_enc'])
    if (flag(json, name) === false) refuse(`"${name}" is false, which is not supported.`);
  for (const [name, other] of Object.entries(TWICE)) {
    const { [name]: said = null, [other]: counts } = json;
    if (said !== null && said !== counts)
      refuse(`"${name}" is ${JSON.stringify(said)} where "${other}" is ${JSON.stringify(counts)}.`);
  }
  refuseUnsupported(json, {
    fields: [...FIELDS, ...Object.keys(TWICE)],
    layerTypes: ['conv', 'full_attention'],
  });
}

/** Width of the feed-forward: two thirds of what is said, rounded up, unless the config says otherwise. */
function widthOf(json: Json): number {
  const said = size(json, 'block_ff_dim') ?? need(json, 'intermediate_size');
  if (flag(json, 'block_auto_adjust_ff_dim') === false) return said;
  const share = Math.floor((2 * said) / 3);
  if (json.block_ffn_dim_multiplier === null) return share;
  const multiple = size(json, 'block_multiple_of') ?? 256;
  const wanted = Math.floor((positive(json, 'block_ffn_dim_multiplier') ?? 1) * share);
  return multiple * Math.ceil(wanted / multiple);
}

/** Whether each layer attends; the others are convolutions. */
function attends(json: Json): (layer: number) => boolean {
  const typed = layersOfType(json, 'full_attention');
  if (typed) return typed;
  const listed = field(json, 'full_attn_idxs', 'a list of layers', isCounts);
  return (layer) => listed?.includes(layer) ?? true;
}

function attentionMixer(sizes: Sizes, layer: number): AttentionMixer {
  const at = `model.layers.${layer}`;
  const mixer = attention(sizes, layer);
  return {
    ...mixer,
    qkNorm: { q: `${at}.self_attn.q_layernorm.weight`, k: `${at}.self_attn.k_layernorm.weight` },
    norm: `${at}.operator_norm.weight`,
    out: { ...mixer.out, name: `${at}.self_attn.out_proj` },
  };
}

function convMixer({ hiddenSize }: Sizes, layer: number, taps: number, bias: boolean): ConvMixer {
  const at = `model.layers.${layer}`;
  return {
    kind: 'conv',
    taps,
    norm: `${at}.operator_norm.weight`,
    in: { name: `${at}.conv.in_proj`, rows: 3 * hiddenSize, cols: hiddenSize, bias },
    conv: { name: `${at}.conv.conv`, bias },
    out: { name: `${at}.conv.out_proj`, rows: hiddenSize, cols: hiddenSize, bias },
  };
}

/** LFM2: most blocks are short convolutions, which keep a constant state. */
export const LFM2: Family = {
  modelTypes: ['lfm2'],
  read(given) {
    const json: Json = { ...DEFAULTS, ...given };
    refuseOther(json);
    const sizes = sizesOf(
      { ...json, intermediate_size: widthOf(json) },
      { maxPositions: 128000, theta: 1e6 },
    );
    const taps = size(json, 'conv_L_cache') ?? 3;
    if (taps < 2 || taps > 16) refuse(`"conv_L_cache" is ${taps}: from 2 to 16 are supported.`);
    const bias = flag(json, 'conv_bias') ?? false;
    const attending = attends(json);
    const blocks = stack(json, (layer): BlockSpec => {
      const own = feedForward(sizes, layer);
      const matrix = (name: string) => `model.layers.${layer}.feed_forward.${name}`;
      return {
        mixer: attending(layer) ? attentionMixer(sizes, layer) : convMixer(sizes, layer, taps, bias),
        feedForward: {
          ...own,
          norm: `model.layers.${layer}.ffn_norm.weight`,
          gate: { ...own.gate, name: matrix('w1') },
          up: { ...own.up, name: matrix('w3') },
          down: { ...own.down, name: matrix('w2') },
        },
      };
    });
    const { tie_embedding: tied, ...others } = json;
    const said = typeof tied === 'boolean' ? { tie_word_embeddings: tied } : {};
    const spec = model({ ...others, ...said, rms_norm_eps: json.norm_eps }, sizes, blocks, true);
    return [{ ...spec, norm: 'model.embedding_norm.weight' }];
  },
};
