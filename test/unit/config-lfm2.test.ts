// What configs of LFM2 say.
import { expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { type ConvMixer, planOf, tensorsOf } from '../../src/model/spec.ts';
import { checkTrainable } from '../../src/train/trainable.ts';

/** With all that configs of LFM2 have said. */
const base = {
  model_type: 'lfm2',
  block_auto_adjust_ff_dim: true,
  block_dim: 64,
  block_ff_dim: 96,
  block_ffn_dim_multiplier: 1.0,
  block_mlp_init_scale: 1.0,
  block_multiple_of: 16,
  block_norm_eps: 1e-5,
  block_out_init_scale: 1.0,
  block_use_swiglu: true,
  block_use_xavier_init: true,
  conv_L_cache: 3,
  conv_bias: false,
  conv_dim: 64,
  conv_dim_out: 64,
  conv_use_xavier_init: true,
  full_attn_idxs: [1],
  hidden_size: 64,
  max_position_embeddings: 128000,
  norm_eps: 1e-5,
  num_attention_heads: 4,
  num_heads: 4,
  num_hidden_layers: 3,
  num_key_value_heads: 2,
  rope_theta: 1e6,
  use_pos_enc: true,
  vocab_size: 300,
};
const kinds = (extra: object) => planOf(specOf({ ...base, ...extra })).map(({ kind }) => kind);
const width = (extra: object) => specOf({ ...base, ...extra }).blocks[0]!.feedForward.width;

it('is convolutions but where it attends', () => {
  expect(kinds({})).toEqual(['conv', 'attention', 'conv']);
  expect(kinds({ full_attn_idxs: undefined })).toEqual(['attention', 'attention', 'attention']);
  // What lists every layer counts.
  expect(kinds({ layer_types: ['full_attention', 'conv', 'conv'] })).toEqual(['attention', 'conv', 'conv']);
});

it('has the tensors of published checkpoints', () => {
  const spec = specOf({ ...base, conv_bias: true });
  const shapes = new Map(tensorsOf(spec).map(({ name, shape }) => [name, shape]));
  expect(Object.fromEntries([...shapes].filter(([name]) => name.includes('.layers.0.')))).toEqual({
    'model.layers.0.operator_norm.weight': [64],
    'model.layers.0.conv.in_proj.weight': [192, 64],
    'model.layers.0.conv.in_proj.bias': [192],
    'model.layers.0.conv.conv.weight': [64, 1, 3],
    'model.layers.0.conv.conv.bias': [64],
    'model.layers.0.conv.out_proj.weight': [64, 64],
    'model.layers.0.conv.out_proj.bias': [64],
    'model.layers.0.ffn_norm.weight': [64],
    'model.layers.0.feed_forward.w1.weight': [64, 64],
    'model.layers.0.feed_forward.w3.weight': [64, 64],
    'model.layers.0.feed_forward.w2.weight': [64, 64],
  });
  expect(shapes.get('model.layers.1.self_attn.out_proj.weight')).toEqual([64, 64]);
  expect(shapes.get('model.layers.1.self_attn.q_layernorm.weight')).toEqual([16]);
  expect(shapes.get('model.embedding_norm.weight')).toEqual([64]);
  expect(spec).toMatchObject({ tied: true, rmsNormEps: 1e-5, maxPositions: 128000 });
  expect((specOf({ ...base, conv_L_cache: 5 }).blocks[0]!.mixer as ConvMixer).taps).toBe(5);
});

it('has a feed-forward of two thirds, rounded up, unless it says otherwise', () => {
  expect(width({})).toBe(64);
  expect(width({ block_ff_dim: 100 })).toBe(80);
  expect(width({ block_ff_dim: 100, block_ffn_dim_multiplier: null })).toBe(66);
  expect(width({ block_ff_dim: 100, block_ffn_dim_multiplier: 0.5 })).toBe(48);
  expect(width({ block_auto_adjust_ff_dim: false })).toBe(96);
  expect(width({ block_ff_dim: undefined, intermediate_size: 144 })).toBe(96);
});

it('says whether the head is the embedding in two words, of which the older counts', () => {
  const tied = (extra: object) => specOf({ ...base, ...extra }).tied;
  expect(tied({ tie_word_embeddings: false })).toBe(false);
  expect(tied({ tie_word_embeddings: false, tie_embedding: true })).toBe(true);
});

it.each<[string, string, object]>([
  ['unsupported', 'block_use_swiglu', { block_use_swiglu: false }],
  ['unsupported', 'use_pos_enc', { use_pos_enc: false }],
  ['unsupported', 'conv_dim', { conv_dim: 32 }],
  ['unsupported', 'num_heads', { num_heads: 8 }],
  ['unsupported', 'block_norm_eps', { block_norm_eps: 1e-6 }],
  ['unsupported', 'conv_L_cache', { conv_L_cache: 17 }],
  ['unsupported', 'conv_L_cache', { conv_L_cache: 1 }],
  ['unsupported', 'sliding_attention', { layer_types: ['conv', 'sliding_attention', 'conv'] }],
  ['unsupported', 'conv_kernel', { conv_kernel: 3 }],
  ['unsupported', 'mixtures of experts', { num_experts: 32 }],
  ['unsupported', 'lfm2_moe', { model_type: 'lfm2_moe' }],
  ['bad-config', 'layer_types', { layer_types: ['conv'] }],
  ['bad-config', 'full_attn_idxs', { full_attn_idxs: 2 }],
  ['bad-config', 'norm_eps', { norm_eps: -1, block_norm_eps: undefined }],
])('%s: %s is named', (code, name, extra) => {
  const error = { code, message: expect.stringContaining(name) };
  expect(() => specOf({ ...base, ...extra })).toThrow(expect.objectContaining(error));
});

it('is not trained', () => {
  const bare = { ...base, full_attn_idxs: [] };
  const error = { code: 'unsupported', message: expect.stringContaining('convolutions') };
  expect(() => checkTrainable(specOf(bare))).toThrow(expect.objectContaining(error));
});
