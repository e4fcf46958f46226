// What other models of the same names have, and this engine does not run: refused by name, never ignored.
import {
  count,
  fail,
  field,
  flag,
  isCount,
  isObject,
  type Json,
  need,
  refuse,
  size,
  text,
} from './fields.ts';
import { KNOWN } from './known.ts';

/** Fields that change the sums in some family, and the values with which they do not; null never does. */
const NEUTRAL: Record<string, readonly unknown[]> = {
  // Scales and caps of Granite, MiniCPM, Cohere, Gemma and Grok.
  attention_multiplier: [],
  embedding_multiplier: [1],
  embedding_scale: [1],
  residual_multiplier: [1],
  residual_scale: [1],
  logits_scaling: [1],
  logit_scale: [1],
  scale_emb: [1],
  scale_depth: [],
  dim_model_base: [],
  attn_logit_softcapping: [],
  final_logit_softcapping: [],
  attn_logit_soft_cap: [],
  final_logit_soft_cap: [],
  router_logit_softcapping: [],
  query_pre_attn_scalar: [],
  attention_scale: [],
  clip_qkv: [],
  // Other attention.
  attention_chunk_size: [],
  kv_lora_rank: [],
  q_lora_rank: [],
  qk_layernorm: [false],
  alibi: [false],
  use_alibi: [false],
  use_rope: [true],
  rope_interleave: [false],
  rope_interleaved: [false],
  use_mrope: [false],
  is_causal: [true],
  use_bidirectional_attention: [false],
  use_qk_norm: [false],
  add_cross_attention: [false],
  // Other stacks.
  full_attn_mod: [1],
  interpolate_factor: [1],
  lm_head_bias: [false],
  layer_sharing: [false],
  parallel_attn: [false],
  use_parallel_residual: [false],
  num_experts: [0],
  num_local_experts: [0],
  n_routed_experts: [0],
  vision_config: [],
  audio_config: [],
};

const SILU = ['silu', 'swish'];

function isQuantized(json: Json): void {
  for (const name of ['quantization_config', 'quantization', 'compression_config']) {
    const value = json[name];
    if (value === undefined || value === null) continue;
    const method = isObject(value) ? (value.quant_method ?? (value.bits && `${value.bits} bits`)) : undefined;
    refuse(
      `the checkpoint is quantized (${JSON.stringify(method ?? 'unknown method')}).`,
      'Use the unquantized one (F32, F16 or BF16).',
    );
  }
}

/** What some families read of the fields that others must not have. */
interface Reads {
  /** Fields that change the sums. */
  fields?: readonly string[];
  /** Values of `layer_types`. */
  layerTypes?: readonly string[];
  /** Activations of the feed-forward, the one that a config does not name first. Default: silu. */
  activations?: readonly string[];
  /** Whether the window of `sliding_window` is on and not read. Default: on unless `use_sliding_window` says no. */
  windowed?: (json: Json) => boolean;
}

const usesWindow = (json: Json): boolean => flag(json, 'use_sliding_window') ?? true;

/** Families that read the window themselves. */
export const WINDOWS = { layerTypes: ['full_attention', 'sliding_attention'], windowed: () => false };

/** The width of `sliding_window`; one as wide as the context hides nothing. */
export function windowOf(json: Json): number | undefined {
  const window = count(json, 'sliding_window') ?? 0;
  const hides = window > 0 && window < (size(json, 'max_position_embeddings') ?? Number.POSITIVE_INFINITY);
  return hides ? window : undefined;
}

/** Whether each layer is of a type, where a config lists them. */
export function layersOfType(json: Json, type: string): ((layer: number) => boolean) | undefined {
  const listed = layerTypesOf(json);
  if (!listed) return undefined;
  const layers = need(json, 'num_hidden_layers');
  if (listed.length !== layers) fail(`"layer_types" lists ${listed.length} of ${layers} layers.`);
  return (layer) => listed[layer] === type;
}

/** The kind of each block, where a config lists them. */
export const layerTypesOf = (json: Json): readonly unknown[] | undefined =>
  field(json, 'layer_types', 'a list', (value): value is unknown[] => Array.isArray(value));

/** @throws ShishuError `unsupported` naming the field */
export function refuseUnsupported(
  json: Json,
  { fields = [], layerTypes = ['full_attention'], activations = SILU, windowed = usesWindow }: Reads = {},
): void {
  isQuantized(json);
  for (const name of ['hidden_act', 'hidden_activation']) {
    const activation = text(json, name) ?? activations[0]!;
    if (!activations.includes(activation))
      refuse(`activation "${activation}" is not supported.`, `Supported: ${activations[0]}.`);
  }
  const odd = layerTypesOf(json)?.find((each) => !layerTypes.includes(each as string));
  if (odd !== undefined) refuse(`layer type ${JSON.stringify(odd)} is not supported.`);
  const window = windowOf(json);
  if (window && windowed(json)) refuse(`a sliding window (${window}) is not supported.`);
  for (const name of ['num_experts', 'num_local_experts', 'n_routed_experts'])
    if ((field(json, name, 'a number', isCount) ?? 0) > 0) refuse('mixtures of experts are not supported.');
  for (const [name, values] of Object.entries(NEUTRAL)) {
    const value = json[name];
    if (value !== undefined && value !== null && !values.includes(value) && !fields.includes(name))
      refuse(`"${name}" is ${JSON.stringify(value)}, which is not supported.`);
  }
  for (const [name, value] of Object.entries(json))
    if (value !== null && !KNOWN.has(name) && !Object.hasOwn(NEUTRAL, name) && !fields.includes(name))
      refuse(
        `"${name}" (${JSON.stringify(value)}) is not known.`,
        'Leave it out of config.json where it says nothing of the sums.',
      );
  const { no_rope_layers: rotated } = json;
  if (!fields.includes('no_rope_layers') && Array.isArray(rotated) && rotated.some((each) => each !== 1))
    refuse('layers without rotary embeddings ("no_rope_layers") are not supported.');
}
