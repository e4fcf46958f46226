// Models whose shaders are compiled: four as they are published, whose gates count, and sizes that others have, down to multiples
// of nothing but 4. One block says what all do.
import { readFileSync } from 'node:fs';

import { specOf } from '../../src/families/index.ts';
import type { ModelSpec } from '../../src/model/spec.ts';

const common = { rms_norm_eps: 1e-5, max_position_embeddings: 8192, hidden_act: 'silu' };

/** 125M Llama, and a ShishuLM of it. */
const small = {
  ...common,
  model_type: 'shishu-llama',
  hidden_size: 576,
  intermediate_size: 1536,
  num_decoder_front: 1,
  num_mlp: 2,
  num_mlp_shared: 0,
  num_decoder_end: 0,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  vocab_size: 49152,
  tie_word_embeddings: true,
};

const CONFIGS: readonly Record<string, unknown>[] = [
  small,
  { ...small, use_qk_norm: true, linear_layers: [2] },
  { ...small, linear_layers: [2], linear_rank: 64 },
  {
    ...common,
    model_type: 'llama',
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 1,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128256,
    attention_bias: true,
    mlp_bias: true,
    tie_word_embeddings: false,
  },
  {
    ...common,
    model_type: 'qwen2',
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 1,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    vocab_size: 151936,
    tie_word_embeddings: true,
  },
  {
    ...common,
    model_type: 'llama',
    hidden_size: 1024,
    intermediate_size: 2048,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 256,
    vocab_size: 262144,
    tie_word_embeddings: true,
  },
  {
    ...common,
    model_type: 'gemma3_text',
    hidden_act: undefined,
    hidden_size: 640,
    intermediate_size: 2048,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 256,
    sliding_window: 512,
    vocab_size: 262144,
  },
  {
    ...common,
    model_type: 'llama',
    hidden_size: 60,
    intermediate_size: 92,
    num_hidden_layers: 1,
    num_attention_heads: 5,
    num_key_value_heads: 5,
    vocab_size: 260,
    tie_word_embeddings: true,
  },
];

/** Heads of sizes that the others lack. */
const withHeads = (headDim: number) => ({
  ...small,
  head_dim: headDim,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  vocab_size: 1024,
});
export const HEADS: readonly ModelSpec[] = [32, 96].map((headDim) => specOf(withHeads(headDim)));

const PUBLISHED: Record<string, string> = {
  'SmolLM2-135M': 'HuggingFaceTB/SmolLM2-135M',
  'Qwen3-0.6B': 'Qwen/Qwen3-0.6B',
  'Llama-3.2-1B': 'meta-llama/Llama-3.2-1B',
  'Gemma 3 1B': 'google/gemma-3-1b-it',
};
const fixture = new URL('../../test/fixtures/published-configs.json', import.meta.url);
const published = JSON.parse(readFileSync(fixture, 'utf8')) as {
  repo: string;
  config: Record<string, unknown>;
}[];

/** Four models as they are published, by their names. */
export const REAL_CONFIGS: ReadonlyMap<string, Readonly<Record<string, unknown>>> = new Map(
  Object.entries(PUBLISHED).map(([name, wanted]) => [
    name,
    published.find(({ repo }) => repo === wanted)!.config,
  ]),
);

/** One block of each kind: Gemma's sixth has no window. */
export const REAL: ReadonlyMap<string, ModelSpec> = new Map(
  [...REAL_CONFIGS].map(([name, config]) => [
    name,
    specOf({ ...config, num_hidden_layers: Number(config.sliding_window_pattern ?? 1) }),
  ]),
);

export const SHAPES: readonly ModelSpec[] = CONFIGS.map((json) => specOf(json));
