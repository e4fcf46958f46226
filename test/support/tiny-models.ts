import { specOf } from '../../src/families/index.ts';
import { bf16ArrayToF32, f16ArrayToF32, f32ArrayToBf16, f32ArrayToF16 } from '../../src/formats/float.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import { type ModelSpec, tensorsOf } from '../../src/model/spec.ts';
import { mulberry32 } from './random.ts';

export { memorySource } from './memory-source.ts';

/** One tensor: row-major, f32. */
export interface TinyTensor {
  shape: readonly number[];
  data: Float32Array;
}

/** A random model small enough for the reference forward. */
export interface TinyModel {
  configJson: Record<string, unknown>;
  spec: ModelSpec;
  tensors: Map<string, TinyTensor>;
}

const common = {
  rms_norm_eps: 1e-5,
  max_position_embeddings: 96,
  hidden_act: 'silu',
  bos_token_id: 1,
  eos_token_id: 2,
};

const shishu = {
  ...common,
  model_type: 'shishu-llama',
  hidden_size: 44,
  intermediate_size: 52,
  intermediate_size_mlp: 92,
  num_decoder_front: 2,
  num_mlp: 5,
  num_mlp_shared: 2,
  num_decoder_end: 1,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 12,
  vocab_size: 131,
  rope_theta: 8000,
  use_qk_norm: true,
  tie_word_embeddings: true,
};

/** Sizes are multiples of nothing but 4, so that every kernel meets a ragged edge. */
const CONFIGS = {
  /** Grouped heads, tied, linear RoPE scaling. */
  llama: {
    ...common,
    model_type: 'llama',
    hidden_size: 40,
    intermediate_size: 92,
    num_hidden_layers: 3,
    num_attention_heads: 5,
    num_key_value_heads: 1,
    vocab_size: 131,
    rope_theta: 10000,
    rope_scaling: { type: 'linear', factor: 2.5 },
    tie_word_embeddings: true,
  },
  /** Every bias, an own head, llama3 RoPE scaling whose three ranges of wavelength all occur. */
  'llama-untied-bias': {
    ...common,
    model_type: 'llama',
    hidden_size: 60,
    intermediate_size: 52,
    num_hidden_layers: 3,
    num_attention_heads: 5,
    num_key_value_heads: 5,
    vocab_size: 83,
    rope_parameters: {
      rope_type: 'llama3',
      rope_theta: 100,
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 48,
    },
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: false,
    eos_token_id: [2, 3],
  },
  /** Tied through `share_embedding`. */
  mobilellm: {
    ...common,
    model_type: 'llama',
    hidden_size: 60,
    intermediate_size: 92,
    num_hidden_layers: 3,
    num_attention_heads: 3,
    num_key_value_heads: 1,
    head_dim: null,
    vocab_size: 131,
    share_embedding: true,
  },
  /** Biases on q, k and v alone; a sliding window that is not used. */
  qwen2: {
    ...common,
    model_type: 'qwen2',
    hidden_size: 40,
    intermediate_size: 52,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    vocab_size: 83,
    rope_theta: 1000000,
    sliding_window: 16,
    use_sliding_window: false,
    tie_word_embeddings: true,
  },
  /** Weighted q and k norms, heads * head_dim is not the hidden size, an own head. */
  qwen3: {
    ...common,
    model_type: 'qwen3',
    hidden_size: 44,
    intermediate_size: 92,
    num_hidden_layers: 2,
    num_attention_heads: 6,
    num_key_value_heads: 2,
    head_dim: 12,
    vocab_size: 131,
    rope_theta: 1000000,
    tie_word_embeddings: false,
  },
  /** Front, two shared pairs and one unshared MLP-only block of another width, end; weightless q and k norm. */
  shishu,
  /** `shishu` with the second member of each pair stored as a copy. */
  'shishu-copies': shishu,
  /** `shishu` with nothing shared: each pair's weights twice. */
  'shishu-unshared': { ...shishu, num_mlp_shared: 0 },
  /** `shishu` with linear maps in the second member of a pair and in the unshared block. */
  linear: { ...shishu, linear_layers: [3, 6] },
  /** The same maps as two factors. */
  'linear-rank': { ...shishu, linear_layers: [3, 6], linear_rank: 7 },
  /** Blocks of every kind in no order; MLPs shared across other blocks, also by blocks that attend. */
  scattered: {
    ...common,
    model_type: 'shishu',
    parent_model_type: 'qwen3',
    hidden_size: 44,
    intermediate_size: 92,
    num_hidden_layers: 8,
    layer_types: [
      'mlp',
      'full_attention',
      'linear',
      'full_attention',
      'mlp',
      'linear',
      'full_attention',
      'mlp',
    ],
    shared_mlps: [
      [1, 6],
      [2, 4, 5],
    ],
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 12,
    vocab_size: 131,
    tie_word_embeddings: true,
  },
} satisfies Record<string, Record<string, unknown>>;

export type TinyModelName = keyof typeof CONFIGS;
export const TINY_MODEL_NAMES = Object.keys(CONFIGS) as TinyModelName[];

/** Standard normal numbers (Box-Muller). */
function normals(seed: number): () => number {
  const uniform = mulberry32(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Mean and standard deviation of a tensor's weights, such that activations and logits stay near 1. */
function spreadOf(name: string, shape: readonly number[]): { mean: number; deviation: number } {
  if (/norm\.weight$/.test(name)) return { mean: 1, deviation: 0.2 };
  if (/\.bias$/.test(name)) return { mean: 0, deviation: 0.2 };
  // A larger embedding would make a tied model answer each token with itself.
  if (name === 'model.embed_tokens.weight') return { mean: 0, deviation: 0.3 };
  // Sharper attention than 1 / sqrt(in) gives, so that a wrong position or head shows.
  const gain = /[qk]_proj|lm_head/.test(name) ? 2 : 1;
  return { mean: 0, deviation: gain / Math.sqrt(shape[1]!) };
}

/** A model of the family `name` with weights drawn from `seed`; the three unlinear shishu ones draw the same weights. */
export function tinyModel(name: TinyModelName, seed: number): TinyModel {
  const drawn = name === 'shishu-copies' || name === 'shishu-unshared' ? specOf(CONFIGS.shishu) : undefined;
  return randomModel(structuredClone(CONFIGS[name]), seed, drawn);
}

/** A model with weights drawn from `seed`, or the weights that `other` would get. */
export function randomModel(configJson: Record<string, unknown>, seed: number, other?: ModelSpec): TinyModel {
  const spec = specOf(configJson);
  const drawn = other ?? spec;
  const normal = normals(seed);
  const tensors = new Map<string, TinyTensor>();
  for (const { name: tensor, shape, copyOf } of tensorsOf(drawn)) {
    if (copyOf !== undefined) {
      if (drawn !== spec && tensor !== 'lm_head.weight')
        tensors.set(tensor, { shape, data: tensors.get(copyOf)!.data.slice() });
      continue;
    }
    const { mean, deviation } = spreadOf(tensor, shape);
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    tensors.set(tensor, { shape, data: data.map(() => mean + deviation * normal()) });
  }
  return { configJson, spec, tensors };
}

/** A dense Llama 4, as MobileLLM-R1 is. */
export function mobileR1(seed: number): TinyModel {
  const { configJson, spec } = tinyModel('mobilellm', seed);
  const own = {
    model_type: 'llama4_text',
    intermediate_size: 7,
    intermediate_size_mlp: configJson.intermediate_size,
    num_local_experts: 16,
    moe_layers: [],
    no_rope_layers: spec.blocks.map(() => 1),
    use_qk_norm: true,
    attn_temperature_tuning: false,
    rope_theta: 100,
    tie_word_embeddings: true,
  };
  return randomModel({ ...configJson, ...own }, seed);
}

/** Token ids below the vocabulary, any of them. */
export function randomTokens(spec: ModelSpec, count: number, seed: number): number[] {
  const uniform = mulberry32(seed);
  return Array.from({ length: count }, () => Math.floor(uniform() * spec.vocabSize));
}

export type TinyDtype = 'F32' | 'F16' | 'BF16';

/** The model as a checkpoint of this dtype holds it: weights rounded, and widened again. */
export function roundedTo(model: TinyModel, dtype: TinyDtype): TinyModel {
  const round = (data: Float32Array): Float32Array => {
    if (dtype === 'F32') return data;
    return dtype === 'F16' ? f16ArrayToF32(f32ArrayToF16(data)) : bf16ArrayToF32(f32ArrayToBf16(data));
  };
  const tensors = [...model.tensors].map(
    ([name, { shape, data }]) => [name, { shape, data: round(data) }] as const,
  );
  return { ...model, tensors: new Map(tensors) };
}

type Files = Record<string, Uint8Array<ArrayBuffer>>;

/** The model's folder: config.json and model.safetensors, or an index and shards of about as many tensors each. */
export function tinyFiles(model: TinyModel, dtype: TinyDtype = 'F32', shards = 1): Files {
  const json = (value: unknown): Uint8Array<ArrayBuffer> => new TextEncoder().encode(JSON.stringify(value));
  const stored = [...model.tensors].map(([name, { shape, data }]) => ({ name, dtype, shape, data }));
  const files: Files = { 'config.json': json(model.configJson) };
  if (shards === 1) return { ...files, 'model.safetensors': encodeSafetensors(stored) };
  const weightMap: Record<string, string> = {};
  const perShard = Math.ceil(stored.length / shards);
  const number = (n: number): string => String(n).padStart(5, '0');
  for (let s = 0; s < shards; s++) {
    const part = stored.slice(s * perShard, (s + 1) * perShard);
    const file = `model-${number(s + 1)}-of-${number(shards)}.safetensors`;
    files[file] = encodeSafetensors(part);
    for (const { name } of part) weightMap[name] = file;
  }
  return { ...files, 'model.safetensors.index.json': json({ metadata: {}, weight_map: weightMap }) };
}
