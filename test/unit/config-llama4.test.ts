// What configs of dense Llama 4 (MobileLLM-R1) say.
import { expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import type { AttentionMixer } from '../../src/model/spec.ts';

/** As the configs of MobileLLM-R1 are. */
const base = {
  model_type: 'llama4_text',
  hidden_size: 64,
  intermediate_size: 32,
  intermediate_size_mlp: 96,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 300,
  max_position_embeddings: 32768,
  moe_layers: [],
  interleave_moe_layer_step: 0,
  num_local_experts: 16,
  num_experts_per_tok: 1,
  no_rope_layers: [1, 1, 1, 1],
  attn_temperature_tuning: false,
  attention_chunk_size: 32768,
  use_qk_norm: true,
  rope_theta: 5e5,
  rope_scaling: null,
  tie_word_embeddings: true,
};
const mixersOf = (extra: object) =>
  specOf({ ...base, ...extra }).blocks.map(({ mixer }) => mixer as AttentionMixer);

it('is read with its own names, width, norms and rotation', () => {
  const spec = specOf(base);
  const [{ mixer, feedForward }] = spec.blocks as [(typeof spec.blocks)[0]];
  expect(feedForward.gate).toEqual({
    name: 'model.layers.0.feed_forward.gate_proj',
    rows: 96,
    cols: 64,
    bias: false,
  });
  expect(mixer).toMatchObject({ qkNorm: 'weightless', rope: { theta: 5e5, interleaved: true } });
  expect(spec).toMatchObject({ maxPositions: 32768, tied: true });
});

it('layers that do not rotate have no norm of q and k', () => {
  for (const extra of [{ no_rope_layers: [1, 0, 1, 1] }, { no_rope_layers: [], no_rope_layer_interval: 2 }]) {
    const [first, second] = mixersOf(extra);
    expect(first).toMatchObject({ qkNorm: 'weightless', rope: { interleaved: true } });
    expect(second).toMatchObject({ qkNorm: undefined, rope: undefined });
  }
  expect(mixersOf({ use_qk_norm: false })[0]).toMatchObject({
    qkNorm: undefined,
    rope: { interleaved: true },
  });
});

it.each<[string, object, number]>([
  ['one chunk', { attention_chunk_size: 8192 }, 8192],
  [
    'one chunk, of listed layers',
    { attention_chunk_size: 512, layer_types: listed('chunked_attention') },
    512,
  ],
  ['all, where no layer has chunks', { attention_chunk_size: 512, layer_types: listed() }, 32768],
  ['all, where there are no chunks', { attention_chunk_size: null }, 32768],
  ['queries unscaled', { attn_temperature_tuning: true, no_rope_layers: [1, 1, 1, 0] }, 8191],
  ['all, where each layer rotates', { attn_temperature_tuning: true }, 32768],
])('the context is %s', (_, extra, positions) => {
  expect(specOf({ ...base, ...extra }).maxPositions).toBe(positions);
});

function listed(last = 'full_attention'): string[] {
  return [...Array(3).fill('full_attention'), last];
}

it.each<[string, string, object]>([
  ['unsupported', 'experts', { moe_layers: [1] }],
  ['unsupported', 'experts', { moe_layers: null, interleave_moe_layer_step: 2 }],
  ['unsupported', 'experts', { moe_layers: undefined, interleave_moe_layer_step: undefined }],
  ['unsupported', 'use_qk_norm', { rope_scaling: { rope_type: 'yarn', factor: 4 } }],
  ['unsupported', 'sliding_attention', { layer_types: listed('sliding_attention') }],
  ['unsupported', 'router_dtype', { router_dtype: 'f32' }],
  [
    'bad-config',
    'attention_chunk_size',
    { attention_chunk_size: null, layer_types: listed('chunked_attention') },
  ],
  ['bad-config', 'layer_types', { layer_types: ['full_attention'] }],
  ['bad-config', 'no_rope_layers', { no_rope_layers: [1] }],
  [
    'unsupported',
    'floor_scale',
    { floor_scale: 1, attn_temperature_tuning: true, no_rope_layers: [1, 1, 1, 0] },
  ],
  [
    'bad-config',
    'floor_scale',
    { floor_scale: 0, attn_temperature_tuning: true, no_rope_layers: [1, 1, 1, 0] },
  ],
])('%s: %s is named', (code, name, extra) => {
  const error = { code, message: expect.stringContaining(name) };
  expect(() => specOf({ ...base, ...extra })).toThrow(expect.objectContaining(error));
});
