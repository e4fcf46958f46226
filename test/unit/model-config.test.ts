// What config.json says of the sums: run as transformers runs it, or refused by name.
import { describe, expect, it } from 'vitest';
import { specOf, specsOf } from '../../src/families/index.ts';
import { type AttentionMixer, type ModelSpec, planOf } from '../../src/model/spec.ts';

const base = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 300,
  max_position_embeddings: 512,
};
const rope = (extra: object) => {
  const { mixer } = specOf({ ...base, ...extra }).blocks[0]!;
  return (mixer as AttentionMixer).rope!;
};
const run = { model_type: 'shishu-llama', num_decoder_front: 1, num_mlp: 1 };
const none = { type: 'none' };
const linear = { type: 'linear', factor: 4 };
const yarn = {
  type: 'yarn',
  factor: 4,
  betaFast: 32,
  betaSlow: 1,
  originalMaxPositions: 128,
  truncate: true,
};
const [ones, twos] = [Array(8).fill(1), Array(8).fill(2)];
const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };

describe('rotary embeddings', () => {
  it.each<[string, object, object]>([
    ['plain', {}, { theta: 10000, scaling: none }],
    ['theta at the top', { rope_theta: 500 }, { theta: 500, scaling: none }],
    ['null', { rope_theta: 500, rope_scaling: null, rope_parameters: null }, { theta: 500, scaling: none }],
    [
      'old name of the type',
      { rope_scaling: { type: 'linear', factor: 4 } },
      { theta: 10000, scaling: linear },
    ],
    [
      'both names of the type: the new one counts',
      { rope_scaling: { type: 'llama3', rope_type: 'linear', factor: 4 } },
      { theta: 10000, scaling: linear },
    ],
    [
      'both objects: rope_scaling wins, with the theta of the top',
      {
        rope_theta: 500,
        rope_scaling: { rope_type: 'linear', factor: 4 },
        rope_parameters: { rope_type: 'default', rope_theta: 7 },
      },
      { theta: 500, scaling: linear },
    ],
    [
      'both objects, the scaling empty',
      { rope_scaling: {}, rope_parameters: { rope_type: 'linear', factor: 4, rope_theta: 7 } },
      { theta: 7, scaling: linear },
    ],
    [
      'theta in both places: that of the object counts',
      { rope_theta: 500, rope_parameters: { rope_type: 'default', rope_theta: 7 } },
      { theta: 7, scaling: none },
    ],
    ['a type left out, nothing scaled', { rope_parameters: { rope_theta: 7 } }, { theta: 7, scaling: none }],
    [
      'nested by layer type',
      {
        rope_theta: 500,
        rope_parameters: {
          full_attention: { rope_type: 'linear', factor: 4 },
          sliding_attention: { rope_type: 'default', rope_theta: 7 },
        },
      },
      { theta: 500, scaling: linear },
    ],
    ['all of each head', { partial_rotary_factor: 1 }, { theta: 10000, scaling: none }],
    [
      "dynamic, which scales only contexts past the model's own",
      { rope_scaling: { rope_type: 'dynamic', factor: 4 } },
      { theta: 10000, scaling: none },
    ],
    [
      'YaRN, with what it leaves out',
      { rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 128 } },
      { theta: 10000, scaling: yarn, amplitude: 0.1 * Math.log(4) + 1 },
    ],
    [
      'YaRN with a factor of the attention',
      {
        rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 128, attention_factor: 1 },
      },
      { theta: 10000, scaling: yarn },
    ],
    [
      'longrope, by its old name, raised by the ratio of the contexts',
      {
        rope_scaling: { type: 'su', short_factor: ones, long_factor: twos },
        original_max_position_embeddings: 128,
      },
      {
        theta: 10000,
        scaling: { type: 'longrope', short: ones, long: twos, originalMaxPositions: 128 },
        amplitude: Math.sqrt(1 + Math.log(4) / Math.log(128)),
      },
    ],
  ])('%s', (_, extra, expected) => expect(rope(extra)).toEqual(expected));

  it("takes Phi-3's first context from its own default where the config names none", () => {
    const json = { model_type: 'phi3', max_position_embeddings: 16384 };
    const rope_scaling = { type: 'longrope', short_factor: ones, long_factor: twos };
    const { scaling, amplitude } = rope({ ...json, rope_scaling });
    expect(scaling).toMatchObject({ originalMaxPositions: 4096 });
    expect(amplitude).toBe(Math.sqrt(1 + Math.log(4) / Math.log(4096)));
    const named = { ...rope_scaling, original_max_position_embeddings: 1024 };
    expect(rope({ ...json, rope_scaling: named }).scaling).toMatchObject({ originalMaxPositions: 1024 });
  });

  it("takes llama3's first context from the top, the object, or the model's own, in this order", () => {
    const first = (extra: object) =>
      (rope(extra).scaling as { originalMaxPositions: number }).originalMaxPositions;
    const original_max_position_embeddings = 128;
    expect(first({ rope_scaling: llama3 })).toBe(512);
    expect(first({ rope_scaling: { ...llama3, original_max_position_embeddings } })).toBe(128);
    expect(
      first({
        rope_scaling: { ...llama3, original_max_position_embeddings },
        original_max_position_embeddings: 64,
      }),
    ).toBe(64);
  });

  it.each<[RegExp, object]>([
    [/"factor": 4.*Name the type/, { rope_scaling: { factor: 4 } }],
    [/"factor": 4/, { rope_parameters: { rope_type: 'default', factor: 4, rope_theta: 1e4 } }],
    [/"partial_rotary_factor" 0.5/, { partial_rotary_factor: 0.5 }],
    [
      /"partial_rotary_factor": 0.5/,
      { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.5 } },
    ],
    [/"rotary_pct"/, { rotary_pct: 0.25 }],
    [/"proportional"/, { rope_scaling: { rope_type: 'proportional' } }],
    [/"beta_slow"/, { rope_scaling: { rope_type: 'dynamic', factor: 4, beta_slow: 2 } }],
    [/"toString"/, { rope_scaling: { rope_type: 'toString' } }],
    [/"mrope_section"/, { rope_scaling: { type: 'default', mrope_section: [1, 2] } }],
    [/"attention_factor"/, { rope_scaling: { type: 'linear', factor: 4, attention_factor: 2 } }],
    [/without rotary/, { rope_parameters: { full_attention: null } }],
    [
      /"sliding_attention"/,
      { rope_parameters: { sliding_attention: { rope_type: 'default', rope_theta: 7 } } },
    ],
  ])('refuses %s', (message, extra) => {
    expect(() => specOf({ ...base, ...extra })).toThrow(
      expect.objectContaining({ code: 'unsupported', message: expect.stringMatching(message) }),
    );
  });
});

describe('other fields that change the sums', () => {
  it.each<[string, object]>([
    ['attention_multiplier', { attention_multiplier: 0.1 }],
    ['embedding_multiplier', { embedding_multiplier: 12 }],
    ['residual_multiplier', { residual_multiplier: 0.22 }],
    ['logits_scaling', { logits_scaling: 8 }],
    ['attn_logit_softcapping', { attn_logit_softcapping: 50 }],
    ['final_logit_softcapping', { final_logit_softcapping: 30 }],
    ['query_pre_attn_scalar', { query_pre_attn_scalar: 256 }],
    ['clip_qkv', { clip_qkv: 8 }],
    ['kv_lora_rank', { kv_lora_rank: 512 }],
    ['use_qk_norm', { use_qk_norm: true }],
    ['layer_sharing', { model_type: 'mobilellm', layer_sharing: true }],
    ['no_rope_layers', { no_rope_layers: [1, 0] }],
    ['mixtures of experts', { num_local_experts: 8 }],
    ['activation "gelu"', { hidden_act: 'gelu' }],
    ['activation "gelu_pytorch_tanh"', { hidden_activation: 'gelu_pytorch_tanh' }],
    ['quantized ("awq")', { quantization_config: { quant_method: 'awq' } }],
    ['quantized ("4 bits")', { quantization: { group_size: 64, bits: 4 } }],
    ['sliding window (128)', { sliding_window: 128 }],
    // Of layers with a window, where the window is off.
    ['layer type "sliding_attention"', { model_type: 'qwen3', layer_types: ['sliding_attention'] }],
    ['"gemma2"', { model_type: 'gemma2' }],
    ['final_logit_softcapping', { model_type: 'gemma3_text', final_logit_softcapping: 30 }],
    ['use_bidirectional_attention', { model_type: 'gemma3_text', use_bidirectional_attention: true }],
    ['activation "silu"', { model_type: 'gemma3_text', hidden_activation: 'silu' }],
  ])('refuses %s by name', (name, extra) => {
    const error = { code: 'unsupported', message: expect.stringContaining(name) };
    expect(() => specOf({ ...base, ...extra })).toThrow(expect.objectContaining(error));
  });

  it.each<[string, object]>([
    ['short_factor', { rope_scaling: { type: 'longrope', short_factor: [1], long_factor: twos } }],
    ['long_factor', { rope_scaling: { type: 'longrope', short_factor: ones } }],
    ['long_factor', { rope_scaling: { type: 'longrope', short_factor: ones, long_factor: [...ones, 1] } }],
    ['low_freq_factor', { rope_scaling: { rope_type: 'llama3', factor: 4 } }],
    ['partial_rotary_factor', { model_type: 'phi3', partial_rotary_factor: 1.5 }],
    ['partial_rotary_factor', { model_type: 'phi3', partial_rotary_factor: 0.2 }],
    ['no_rope_layers', { model_type: 'smollm3', no_rope_layers: [1] }],
    ['no_rope_layers', { model_type: 'smollm3', no_rope_layers: [1, 2] }],
    ['2000000000 blocks', { num_hidden_layers: 2e9 }],
    ['2000000001 blocks', { ...run, num_hidden_layers: undefined, num_decoder_front: 2e9 }],
    ['2000000001 blocks', { ...run, num_hidden_layers: undefined, num_mlp: 2e9 }],
    ['layer_types', { model_type: 'gemma3_text', layer_types: ['full_attention'] }],
    ['rope_parameters', { model_type: 'gemma3_text', rope_parameters: { rope_type: 'default' } }],
  ])('%s that cannot be is an error', (name, extra) => {
    const error = { code: 'bad-config', message: expect.stringContaining(name) };
    expect(() => specOf({ ...base, ...extra })).toThrow(expect.objectContaining(error));
  });

  it.each<[string, object]>([
    ['gate_multiplier', { gate_multiplier: 0.5 }],
    ['use_gate', { use_gate: false }],
    // Of one family, and not of another.
    ['embedding_multiplier', { model_type: 'qwen3', embedding_multiplier: 12 }],
    ['num_decoder_front', { num_decoder_front: 1 }],
    ['no_rope_layer_interval', { no_rope_layer_interval: 4 }],
    ['Mamba', { model_type: 'granitemoehybrid', num_local_experts: 0 }],
    ['"mamba"', { model_type: 'granitemoehybrid', layer_types: ['mamba', 'attention'] }],
  ])('refuses %s, which nothing is known of, by name', (name, extra) => {
    const error = { code: 'unsupported', message: expect.stringContaining(name) };
    expect(() => specOf({ ...base, ...extra })).toThrow(expect.objectContaining(error));
  });

  it('runs what leaves the sums as they are', () => {
    const neutral = {
      attention_multiplier: null,
      embedding_multiplier: 1,
      logits_scaling: 1.0,
      final_logit_softcapping: null,
      quantization_config: null,
      sliding_window: null,
      use_qk_norm: false,
      layer_sharing: false,
      no_rope_layers: [1, 1],
      hidden_act: 'swish',
      layer_types: ['full_attention', 'full_attention'],
    };
    expect(specOf({ ...base, ...neutral })).toEqual(specOf(base));
    // The window begins above the last layer.
    const window = { sliding_window: 128, use_sliding_window: true, max_window_layers: 2 };
    for (const model_type of ['qwen2', 'qwen3'])
      expect(specOf({ ...base, model_type, ...window }).blocks).toHaveLength(2);
  });

  it('reads windows, of all layers or of some', () => {
    const windows = (extra: object) =>
      specOf({ ...base, ...extra }).blocks.map(({ mixer }) => (mixer as AttentionMixer).window);
    expect(windows({ model_type: 'mistral', sliding_window: 128 })).toEqual([128, 128]);
    expect(windows({ model_type: 'mistral', max_position_embeddings: 8192 })).toEqual([4096, 4096]);
    expect(windows({ model_type: 'mistral', sliding_window: null })).toEqual([undefined, undefined]);
    expect(windows({ model_type: 'phi3', sliding_window: 128 })).toEqual([128, 128]);
    const used = { sliding_window: 128, use_sliding_window: true };
    const some = ['sliding_attention', 'full_attention'];
    for (const model_type of ['qwen2', 'qwen3']) {
      expect(windows({ ...used, model_type, max_window_layers: 1 })).toEqual([undefined, 128]);
      expect(windows({ ...used, model_type, layer_types: some })).toEqual([128, undefined]);
      expect(windows({ model_type, sliding_window: 128, max_window_layers: 0 })).toEqual([
        undefined,
        undefined,
      ]);
    }
    const gemma = { model_type: 'gemma3_text', sliding_window: 128 };
    expect(windows({ ...gemma, layer_types: some })).toEqual([128, undefined]);
    expect(windows({ ...gemma, sliding_window_pattern: 2 })).toEqual([128, undefined]);
    expect(windows(gemma)).toEqual([128, 128]);
  });

  it('reads both ways in which configs of Gemma 3 say how layers rotate', () => {
    const linear = { rope_type: 'linear', factor: 8 };
    const gemma = { ...base, model_type: 'gemma3_text', sliding_window_pattern: 2 };
    const flat = { rope_theta: 1e6, rope_local_base_freq: 300, rope_scaling: linear };
    const full_attention = { ...linear, rope_theta: 1e6 };
    const sliding_attention = { rope_type: 'default', rope_theta: 300 };
    const { rope_theta: _, ...rest } = { rope_theta: 0, ...gemma };
    const spec = specOf({ ...gemma, ...flat });
    expect(spec).toEqual(specOf({ ...rest, rope_parameters: { full_attention, sliding_attention } }));
    expect(spec.blocks.map(({ mixer }) => (mixer as AttentionMixer).rope)).toEqual([
      { theta: 300, scaling: { type: 'none' } },
      { theta: 1e6, scaling: { type: 'linear', factor: 8 } },
    ]);
    expect(spec.gainOffset).toBe(1);
    expect(spec.tied).toBe(true);
  });

  it('fills in what each family leaves out', () => {
    const { max_position_embeddings: _, ...rest } = base;
    const of = (extra: object) => {
      const spec = specOf({ ...rest, ...extra });
      const { mixer, feedForward } = spec.blocks[0]!;
      const { headDim, kvHeads, q, out } = mixer as AttentionMixer;
      const biases = { qkv: q.bias, out: out.bias, mlp: feedForward.down.bias };
      const { maxPositions, rmsNormEps, tied } = spec;
      return { maxPositions, headDim, kvHeads, rmsNormEps, tied, biases };
    };
    const none = { qkv: false, out: false, mlp: false };
    expect(of({})).toEqual({
      maxPositions: 2048,
      headDim: 16,
      kvHeads: 4,
      rmsNormEps: 1e-6,
      tied: false,
      biases: none,
    });
    expect(of({ num_key_value_heads: null, head_dim: null })).toMatchObject({ headDim: 16, kvHeads: 4 });
    expect(of({ model_type: 'qwen2', mlp_bias: true, attention_bias: false })).toMatchObject({
      maxPositions: 32768,
      biases: { ...none, qkv: true },
    });
    expect(of({ model_type: 'phi3' })).toMatchObject({ maxPositions: 4096, rmsNormEps: 1e-5, tied: false });
    const dense = { model_type: 'granitemoehybrid', num_local_experts: 0, layer_types: ['attention'] };
    expect(of(dense)).toMatchObject({ maxPositions: 2048, rmsNormEps: 1e-6, tied: false });
    expect(of({ model_type: 'qwen3', attention_bias: true })).toMatchObject({
      maxPositions: 32768,
      headDim: 128,
      biases: { ...none, qkv: true, out: true },
    });
  });

  it('reads mobilellm as the Llama that it is', () => {
    const mobile = { ...base, model_type: 'mobilellm', layer_sharing: false };
    const spec = specOf({ ...mobile, share_embedding: true });
    expect(spec).toEqual({ ...specOf(base), modelType: 'mobilellm', tied: true });
    expect(specOf(mobile).tied).toBe(true);
    expect(specOf({ ...mobile, share_embedding: false }).tied).toBe(false);
  });
});

describe('the stack of a ShishuLM', () => {
  const { num_hidden_layers: _, ...sizes } = base;
  const shishu = { ...sizes, model_type: 'shishu-llama' };
  const stackOf = (extra: object) =>
    planOf(specOf({ ...shishu, ...extra })).map(({ kind, mlp }) => `${kind} ${mlp}`);

  it('is one run of blocks without attention', () => {
    const run = { num_decoder_front: 1, num_mlp: 3, num_mlp_shared: 1, num_decoder_end: 1 };
    expect(stackOf(run)).toEqual(['attention 0', 'mlp 1', 'mlp 1', 'mlp 3', 'attention 4']);
    expect(stackOf({ ...run, layer_types: Array(5).fill('full_attention') })).toEqual(stackOf(run));
    expect(() => stackOf({})).toThrow(/"num_decoder_front" is missing/);
    expect(() => stackOf({ ...run, layer_types: ['mlp'] })).toThrow(/layer type "mlp"/);
  });

  it('has MLPs of another width, or of the same: the tensors decide', () => {
    const run = { num_decoder_front: 1, num_mlp: 2, num_decoder_end: 1 };
    const [first, second, ...others] = specsOf({ ...shishu, ...run, intermediate_size_mlp: 32 });
    const widths = (spec?: ModelSpec) => spec?.blocks.map(({ feedForward: { width } }) => width);
    expect(widths(first)).toEqual([96, 32, 32, 96]);
    expect(widths(second)).toEqual([96, 96, 96, 96]);
    expect(others).toEqual([]);
  });
});

describe('a child that keeps the fields of its parent', () => {
  const types = ['linear', 'full_attention', 'mlp', 'mlp', 'full_attention'];
  const child = { ...base, num_hidden_layers: 5, model_type: 'shishu', parent_model_type: 'llama' };
  const stackOf = (extra: object) =>
    planOf(specOf({ ...child, layer_types: types, ...extra })).map(({ kind, mlp }) => `${kind} ${mlp}`);

  it('has any blocks without attention, and any blocks share an MLP', () => {
    const shared_mlps = [
      [0, 3],
      [1, 2],
    ];
    expect(stackOf({ shared_mlps })).toEqual(['linear 0', 'attention 1', 'mlp 1', 'mlp 0', 'attention 4']);
  });

  it('names the windows of its parent, or the types that it lists', () => {
    const sliding = types.map((type) => type.replace('full', 'sliding'));
    const windowed = { parent_model_type: 'mistral', sliding_window: 16, layer_types: sliding };
    expect(stackOf(windowed)).toEqual(stackOf({}));
    expect(() => stackOf({ ...windowed, layer_types: types })).toThrow(
      /"layer_types" has "full_attention" for block 1.*Supported there: "sliding_attention", "linear", "mlp"/s,
    );
    const listed = types.map((_, layer) => (layer < 2 ? 'sliding_attention' : 'full_attention'));
    const qwen = { parent_model_type: 'qwen3', use_sliding_window: true, sliding_window: 16 };
    const own = types.map((type, layer) => (type.includes('attention') ? listed[layer] : type));
    const spec = specOf({ ...child, ...qwen, parent_layer_types: listed, layer_types: own });
    const windows = spec.blocks.map(({ mixer }) => mixer.kind === 'attention' && mixer.window);
    expect(windows).toEqual([false, 16, false, false, undefined]);
  });

  it.each<[string, RegExp, object]>([
    ['bad-config', /"parent_model_type" is missing/, { parent_model_type: undefined }],
    ['unsupported', /"parent_model_type" "shishu" is not supported/, { parent_model_type: 'shishu' }],
    ['bad-config', /"parent_model_type" is 3/, { parent_model_type: 3 }],
    ['bad-config', /"layer_types" is missing/, { layer_types: null }],
    ['bad-config', /"layer_types" is "mlp"/, { layer_types: 'mlp' }],
    ['bad-config', /"layer_types" lists 4 of 5 layers/, { layer_types: types.slice(1) }],
    [
      'unsupported',
      /"layer_types" has "linear_map" for block 0/,
      { layer_types: ['linear_map', ...types.slice(1)] },
    ],
    ['unsupported', /"layer_types" has null for block 0/, { layer_types: [null, ...types.slice(1)] }],
    ['bad-config', /"parent_layer_types" lists 1 of 5 layers/, { parent_layer_types: ['full_attention'] }],
    ['bad-config', /"parent_layer_types" is 5/, { parent_layer_types: 5 }],
    ['unsupported', /layer type "linear" is not supported/, { parent_layer_types: types }],
    ['bad-config', /"linear_rank" 65 is above "hidden_size" 64/, { linear_rank: 65 }],
    ['bad-config', /"linear_rank" is 0/, { linear_rank: 0 }],
    ['unsupported', /"linear_inputs" is 17: up to 16/, { linear_inputs: 17 }],
    ['bad-config', /"linear_inputs" is -1/, { linear_inputs: -1 }],
    ['unsupported', /"linear_layers" .* is not known/, { linear_layers: [2] }],
    ['bad-config', /"shared_mlps" holds \[1,5\]/, { shared_mlps: [[1, 5]] }],
    ['bad-config', /"shared_mlps" holds \[2,1\]/, { shared_mlps: [[2, 1]] }],
    [
      'bad-config',
      /"shared_mlps" holds \[1,3\]/,
      {
        shared_mlps: [
          [1, 2],
          [1, 3],
        ],
      },
    ],
    ['bad-config', /"shared_mlps" is/, { shared_mlps: [1, 2] }],
    ['unsupported', /quantized/, { quantization_config: { quant_method: 'gptq' } }],
  ])('refuses as %s what says %s', (code, message, extra) => {
    const error = { code, message: expect.stringMatching(message) };
    expect(() => stackOf(extra)).toThrowError(expect.objectContaining(error));
  });
});

describe('fields of published configs that change nothing', () => {
  const harmless = {
    _attn_implementation_internal: 'sdpa',
    _commit_hash: null,
    _flash_attn_2_enabled: true,
    _name_or_path: 'a/b',
    attention_dropout: 0,
    attention_probs_dropout_prob: 0,
    attn_pdrop: 0,
    auto_map: {},
    bf16: true,
    bos_token: '<s>',
    classifier_dropout: 0.1,
    dtype: 'bfloat16',
    for_llm_compressor: false,
    fp16: false,
    initializer_range: 0.02,
    is_llama_config: true,
    max_sequence_length: 2048,
    max_window_layers: 28,
    model_parallel: false,
    neftune_noise_alpha: 5,
    output_past: true,
    pad_token_id: -1,
    pretraining_tp: 1,
    rope_interleaved: false,
    seq_length: 2048,
    tokenizer_model_max_length: 2048,
    torch_dtype: 'bfloat16',
    'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16' } },
    transformers_version: '4.47.1',
    trl_version: '0.12',
    unsloth_version: '2025.1',
    use_cache: true,
    use_flash_attn: true,
    use_mrope: false,
    use_sliding_window: false,
  };
  it.each(['llama', 'mistral', 'qwen2', 'qwen3', 'granite', 'smollm3', 'phi3'])('of %s', (model_type) => {
    const json = { ...base, model_type, head_dim: 16 };
    expect(specOf({ ...json, ...harmless })).toEqual(specOf(json));
  });
});
