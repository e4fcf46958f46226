import type { Json } from '../json.ts';
import { ARCHITECTURES } from './architectures.ts';
import type { GgufHeader } from './header.ts';
import { Keys } from './keys.ts';

/** Keys of an architecture that say nothing of the sums. */
const HARMLESS = [
  'tensor_data_layout',
  'rope.scaling.finetuned',
  'expert_used_count',
  'attention.layer_norm_epsilon',
  // Written of every model once; the architectures that are read have none.
  'use_parallel_residual',
];

/** How embeddings are made of the last hidden states, by `pooling_type`, from 1 up, in the words of sentence-transformers. */
const POOLINGS = ['mean', 'cls', 'lasttoken', 'rank'];

/** Factors by which llama3's scaling divides each frequency. */
const ROPE_FACTORS = 'rope_freqs.weight';
/** Tensors that are no weights: factors of RoPE. */
export const ROPE_TENSORS = [ROPE_FACTORS, 'rope_factors_long.weight', 'rope_factors_short.weight'];
/** What all published models with that scaling have. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

/**
 * What `config.json` would say of the model.
 * @param factors the values of those of `ROPE_TENSORS` that the file has, by name
 * @throws ShishuError `bad-checkpoint`, `unsupported` naming the key
 */
export function configOf(
  file: string,
  { metadata, tensors }: GgufHeader,
  factors: ReadonlyMap<string, Float32Array> = new Map(),
): {
  config: Json;
  headDim: number;
  interleaved: boolean;
  /** Names of tensors that the architecture alone has. */
  names: Readonly<Record<string, string>>;
  pooling: string | undefined;
} {
  const keys = new Keys(file, metadata);
  const name = keys.need(keys.text('general.architecture'), 'general.architecture');
  const architecture = Object.hasOwn(ARCHITECTURES, name) ? ARCHITECTURES[name] : undefined;
  if (!architecture)
    return keys.refuse(
      'general.architecture',
      `is "${name}", which is not supported.`,
      'unsupported',
      `Supported: ${Object.keys(ARCHITECTURES).join(', ')}.`,
    );
  const own = (key: string): string => `${name}.${key}`;
  const number = (key: string): number | undefined => keys.same(own(key));
  const need = (key: string): number => keys.need(number(key), own(key));

  const hiddenSize = need('embedding_length');
  const heads = need('attention.head_count');
  const headDim = number('attention.key_length') ?? hiddenSize / heads;
  for (const key of ['attention.value_length', ...(architecture.partial ? [] : ['rope.dimension_count'])])
    if ((number(key) ?? headDim) !== headDim)
      keys.refuse(
        own(key),
        `is ${number(key)} where heads are ${headDim} wide, which is not supported.`,
        'unsupported',
      );
  const blocks = need('block_count');
  // Nothing is made for blocks that cannot be there.
  if (blocks > tensors.size)
    keys.refuse(
      own('block_count'),
      `is ${blocks}, where the file has ${tensors.size} tensors.`,
      'bad-checkpoint',
    );
  const embedding = tensors.get('token_embd.weight');
  const vocabSize = number('vocab_size') ?? embedding?.shape[0];
  const config: Json = {
    model_type: architecture.modelType,
    hidden_size: hiddenSize,
    intermediate_size: need('feed_forward_length'),
    num_hidden_layers: blocks,
    num_attention_heads: heads,
    num_key_value_heads: architecture.headsByLayer ? heads : (number('attention.head_count_kv') ?? heads),
    head_dim: headDim,
    max_position_embeddings: need('context_length'),
    rms_norm_eps: need('attention.layer_norm_rms_epsilon'),
    rope_theta: number('rope.freq_base') ?? 10000,
    rope_scaling: scalingOf(keys, own, headDim, factors.get(ROPE_FACTORS)),
    vocab_size: embedding?.shape[0] ?? vocabSize,
    tie_word_embeddings: !tensors.has('output.weight'),
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    mlp_bias: tensors.has('blk.0.ffn_gate.bias'),
    // What families refuse, or read, by the names of config.json.
    num_experts: number('expert_count'),
    sliding_window: number('attention.sliding_window'),
    logit_scale: number('logit_scale'),
    attention_multiplier: number('attention.scale'),
    residual_multiplier: number('residual_scale'),
    embedding_multiplier: number('embedding_scale'),
    attn_logit_softcapping: number('attn_logit_softcapping'),
    final_logit_softcapping: number('final_logit_softcapping'),
    bos_token_id: keys.tokenId('tokenizer.ggml.bos_token_id'),
    eos_token_id: keys.tokenId('tokenizer.ggml.eos_token_id'),
  };
  Object.assign(
    config,
    architecture.more?.({ keys, number, own, headDim, hiddenSize, heads, blocks, factors }),
  );
  if (keys.flag(own('attention.causal')) === false) config.is_causal = false;
  const type = number('pooling_type') ?? 0;
  const pooling = type > 0 ? (POOLINGS[type - 1] ?? `type ${type}`) : undefined;
  const [unknown] = keys.unread(`${name}.`).filter((key) => !HARMLESS.map(own).includes(key));
  if (unknown !== undefined)
    keys.refuse(unknown, 'is not known, and may change what the model computes.', 'unsupported');
  const { interleaved = false, names = {} } = architecture;
  return { config, headDim, interleaved, names, pooling };
}

function scalingOf(
  keys: Keys,
  own: (key: string) => string,
  headDim: number,
  factors: Float32Array | undefined,
): Json | undefined {
  const type = keys.text(own('rope.scaling.type'));
  const old = keys.number(own('rope.scale_linear'));
  const factor = keys.number(own('rope.scaling.factor')) ?? old;
  const original = keys.number(own('rope.scaling.original_context_length'));
  const attention = keys.number(own('rope.scaling.attn_factor'));
  if (factors) {
    const theta = keys.number(own('rope.freq_base')) ?? 10000;
    return llama3Of(keys, factors, headDim, theta, original);
  }
  if ((type === undefined && (factor ?? 1) === 1) || type === 'none') return undefined;
  // llama.cpp multiplies YaRN's own factor by it, where config.json's takes the place of that.
  const yarn = type === 'yarn' ? 1 + 0.1 * Math.log(Math.max(1, factor ?? 1)) : 1;
  return {
    rope_type: type ?? 'linear',
    factor,
    ...(original !== undefined && { original_max_position_embeddings: original }),
    ...(attention !== undefined && attention !== 1 && { attention_factor: attention * yarn }),
  };
}

/** Files hold the factors of llama3's scaling alone: these are the numbers that they come from, which are checked. */
function llama3Of(
  keys: Keys,
  factors: Float32Array,
  headDim: number,
  theta: number,
  original?: number,
): Json {
  const scaling = { ...LLAMA3, ...(original && { original_max_position_embeddings: original }) };
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: context } = scaling;
  const factor = Math.max(...factors.slice(0, 1024));
  const expected = (pair: number): number => {
    const turns = context / (2 * Math.PI * theta ** ((2 * pair) / headDim));
    if (turns > high) return 1;
    if (turns < low) return factor;
    const smooth = (turns - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  };
  const fits =
    factors.length === headDim / 2 && factors.every((f, pair) => Math.abs(f / expected(pair) - 1) < 1e-4);
  if (!fits)
    return keys.refuse(
      ROPE_FACTORS,
      'is not what "llama3" makes, the one scaling with factors that is supported.',
      'unsupported',
    );
  return { rope_type: 'llama3', factor, ...scaling };
}
