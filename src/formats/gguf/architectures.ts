// What is read of each architecture of llama.cpp, beside what they have in common.
import type { Json } from '../json.ts';
import type { Keys } from './keys.ts';

/** What the config of an architecture is made of. */
export interface Facts {
  keys: Keys;
  /** A number by its key without the architecture's name. */
  number: (key: string) => number | undefined;
  own: (key: string) => string;
  headDim: number;
  hiddenSize: number;
  heads: number;
  blocks: number;
  /** Values of the tensors with factors of RoPE that the file has, by name. */
  factors: ReadonlyMap<string, Float32Array>;
}

interface Architecture {
  /** What `config.json` calls it. */
  modelType: string;
  /** The two dimensions of q and k that rotate together lie side by side, where other files have all first ones, then all second. */
  interleaved?: boolean;
  /** Names of tensors that differ from Llama's, as in names.ts. */
  names?: Readonly<Record<string, string>>;
  /** A part of each head may rotate. */
  partial?: boolean;
  /** Heads of K and V differ from layer to layer. */
  headsByLayer?: boolean;
  /** What it says beside what all say, or instead. */
  more?: (facts: Facts) => Json;
}

const NORMS_AFTER = {
  post_attention_norm: 'post_attention_layernorm',
  post_ffw_norm: 'post_feedforward_layernorm',
};

/** Files of models of so many blocks were made with another scale of scores, as llama.cpp knows. */
const GEMMA3_27B_BLOCKS = 62;

const gemma3 = ({ number, headDim, hiddenSize, heads, blocks }: Facts): Json => ({
  query_pre_attn_scalar: blocks === GEMMA3_27B_BLOCKS ? hiddenSize / heads : headDim,
  rope_local_base_freq: number('rope.freq_base_swa') ?? 10000,
  sliding_window_pattern: number('attention.sliding_window_pattern') ?? 6,
  // Its gains are stored whole.
  gain_offset: 0,
});

/** What is not said is as in llama.cpp. */
const granite = ({ number, headDim }: Facts): Json => ({
  logits_scaling: number('logit_scale'),
  logit_scale: undefined,
  attention_multiplier: number('attention.scale') ?? headDim ** -0.5,
});

function phi3({ keys, own, number, headDim, factors }: Facts): Json {
  const [long, short] = ['long', 'short'].map((which) => factors.get(`rope_factors_${which}.weight`));
  const rotated = number('rope.dimension_count') ?? headDim;
  const original = number('rope.scaling.original_context_length');
  const plain = { partial_rotary_factor: rotated / headDim };
  if (!long || !short) return plain;
  // Named by some converters, and by none the factors themselves.
  keys.text(own('rope.scaling.type'));
  return {
    ...plain,
    original_max_position_embeddings: original,
    rope_scaling: {
      type: 'longrope',
      long_factor: [...long],
      short_factor: [...short],
      attention_factor: number('rope.scaling.attn_factor') ?? 1,
    },
  };
}

/**
 * A window of 0 says that all layers rotate and attend to all; without it they are as those of Llama 4, three of four within a
 * chunk.
 */
function llama4({ number, blocks }: Facts): Json {
  const plain = number('attention.sliding_window') === 0;
  const step = number('interleave_moe_layer_step') ?? 1;
  number('expert_feed_forward_length');
  return {
    sliding_window: undefined,
    intermediate_size_mlp: number('feed_forward_length'),
    // Of dense models, a count of experts says nothing.
    num_experts: undefined,
    interleave_moe_layer_step: step,
    ...(step === 0 && { moe_layers: [] }),
    attention_chunk_size: plain ? null : (number('attention.sliding_window') ?? 8192),
    attn_temperature_tuning: !plain,
    no_rope_layers: Array.from({ length: blocks }, (_, layer) => (plain || (layer + 1) % 4 !== 0 ? 1 : 0)),
  };
}

function lfm2({ keys, own, number, blocks }: Facts): Json {
  const key = own('attention.head_count_kv');
  const heads = Array.from(keys.need(keys.numbers(key), key));
  const kvHeads = heads.find((count) => count !== 0);
  if (kvHeads === undefined)
    return keys.refuse(key, 'is 0 in all layers, which is not supported.', 'unsupported');
  if (heads.length !== blocks || heads.some((count) => count !== 0 && count !== kvHeads))
    keys.refuse(key, 'is not 0 or one number for each layer, which is not supported.', 'unsupported');
  return {
    num_key_value_heads: kvHeads,
    full_attn_idxs: heads.flatMap((count, layer) => (count > 0 ? [layer] : [])),
    conv_L_cache: number('shortconv.l_cache'),
    norm_eps: number('attention.layer_norm_rms_epsilon'),
    block_auto_adjust_ff_dim: false,
  };
}

export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: { modelType: 'llama', interleaved: true },
  qwen2: { modelType: 'qwen2' },
  qwen3: { modelType: 'qwen3' },
  gemma3: {
    modelType: 'gemma3_text',
    names: { ...NORMS_AFTER, ffn_norm: 'pre_feedforward_layernorm' },
    more: gemma3,
  },
  granite: { modelType: 'granite', interleaved: true, more: granite },
  // Each fourth layer does not rotate, which files do not say.
  smollm3: { modelType: 'smollm3', interleaved: true, more: () => ({ no_rope_layer_interval: 4 }) },
  phi3: {
    modelType: 'phi3',
    partial: true,
    names: { attn_qkv: 'self_attn.qkv_proj', ffn_up: 'mlp.gate_up_proj' },
    more: phi3,
  },
  olmo2: { modelType: 'olmo2', names: NORMS_AFTER },
  // Its rows are as in other files, where neighbours rotate together too.
  llama4: {
    modelType: 'llama4_text',
    names: {
      ffn_gate: 'feed_forward.gate_proj',
      ffn_up: 'feed_forward.up_proj',
      ffn_down: 'feed_forward.down_proj',
    },
    more: llama4,
  },
  lfm2: {
    modelType: 'lfm2',
    headsByLayer: true,
    names: {
      token_embd_norm: 'model.embedding_norm',
      attn_norm: 'operator_norm',
      attn_output: 'self_attn.out_proj',
      attn_q_norm: 'self_attn.q_layernorm',
      attn_k_norm: 'self_attn.k_layernorm',
      ffn_norm: 'ffn_norm',
      ffn_gate: 'feed_forward.w1',
      ffn_up: 'feed_forward.w3',
      ffn_down: 'feed_forward.w2',
      'shortconv.in_proj': 'conv.in_proj',
      'shortconv.conv': 'conv.conv',
      'shortconv.out_proj': 'conv.out_proj',
    },
    more: lfm2,
  },
};
