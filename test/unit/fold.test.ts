// What weights become as they are read: factors, offsets, rows of fused tensors, and the order of a head's rows.
import { expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { encodeSafetensors, type NamedTensor } from '../../src/formats/safetensors.ts';
import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { gainSize } from '../../src/kernels/tensor.ts';
import { F16Fit } from '../../src/model/f16-fit.ts';
import { foldsOf, isPlain, rotatedPlace } from '../../src/model/fold.ts';
import { fillFromCheckpoint } from '../../src/model/load.ts';
import { tensorsOf } from '../../src/model/spec.ts';
import { allocateWeights } from '../../src/model/weights.ts';
import { checkTrainable } from '../../src/train/trainable.ts';
import { memorySource } from '../support/memory-source.ts';

Object.assign(globalThis, { GPUBufferUsage: {} });
const base = {
  model_type: 'granite',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  vocab_size: 20,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
};
const granite = {
  ...base,
  attention_bias: true,
  embedding_multiplier: 12,
  residual_multiplier: 0.25,
  attention_multiplier: 0.5,
  logits_scaling: 4,
};
const phi = { ...base, model_type: 'phi3', partial_rotary_factor: 0.5 };
const at = 'model.layers.0';

/** What is written to the GPU, by buffer; `stored` are the tensors of the file. */
async function load(
  json: object,
  stored: Record<string, readonly number[]>,
  options: { dtype?: 'f32' | 'f16'; as?: 'F32' | 'F16'; fit?: F16Fit } = {},
) {
  const { dtype = 'f32', as = 'F32', fit } = options;
  const spec = specOf(json);
  const written = new Map<string, Float32Array>();
  const device = {
    limits: { maxBufferSize: Number.POSITIVE_INFINITY },
    createBuffer({ size, label }: GPUBufferDescriptor) {
      written.set(label!, new Float32Array(size / 4));
      return { size, label };
    },
    pushErrorScope() {},
    popErrorScope: async () => null,
    queue: {
      writeBuffer: ({ label }: GPUBuffer, to: number, data: ArrayBuffer, from: number, size: number) =>
        written.get(label!)!.set(new Float32Array(data.slice(from, from + size)), to / 4),
    },
  };
  const gpu = { device, limits: { binding: 2 ** 30, workgroups: 65535 } } as unknown as Gpu;
  // Each value tells its place.
  const tensors = Object.entries(stored).map(([name, shape]): NamedTensor => {
    const length = shape.reduce((a, b) => a * b, 1);
    return { name, dtype: as, shape, data: Float32Array.from({ length }, (_, i) => i + 1) };
  });
  const files = memorySource({ 'model.safetensors': encodeSafetensors(tensors) });
  const checkpoint = await openCheckpoint(files, tensorsOf(spec));
  const { fill } = allocateWeights(gpu, new Ledger(gpu), spec, dtype);
  await fillFromCheckpoint(gpu, fill, checkpoint, tensorsOf(spec), { fit });
  return written;
}

/** Row r of a matrix of 8 columns, which are padded to 64. */
const row = (values: Float32Array, r: number): number[] => [...values.subarray(64 * r, 64 * r + 8)];

const own = Object.fromEntries(tensorsOf(specOf({ ...granite })).map(({ name, shape }) => [name, shape]));

it('multipliers are in the weights, and the head of a tied model is rid of the embedding’s', async () => {
  const { 'lm_head.weight': _, ...stored } = own;
  const written = await load(granite, stored);
  const row0 = [1, 2, 3, 4, 5, 6, 7, 8];
  expect(row(written.get('embedding')!, 0)).toEqual(row0.map((x) => 12 * x));
  expect(row(written.get('block 0 out')!, 0)).toEqual(row0.map((x) => x / 4));
  expect(written.get('block 0 out vectors')![0]).toBe(0.25);
  const scale = Math.fround(0.5 * Math.sqrt(8));
  expect(row(written.get('block 0 qkv')!, 0)[1]).toBeCloseTo(2 * scale, 5);
  expect(row(written.get('block 0 qkv')!, 8)).toEqual(row0);
  // The bias of q, behind the gain.
  const bias = written.get('block 0 qkv vectors')!.subarray(gainSize(8));
  expect(bias[0]).toBeCloseTo(scale, 5);
  expect(bias[8]).toBe(1);
  expect(written.get('head vectors')![1]).toBeCloseTo(2 / 48, 6);
});

it('what a factor takes past f16 is told, also of tensors that are stored as f16', async () => {
  const { 'lm_head.weight': _, ...stored } = own;
  const fit = new F16Fit();
  await load({ ...granite, embedding_multiplier: 1000 }, stored, { dtype: 'f16', as: 'F16', fit });
  expect(fit.misfits).toEqual(['model.embed_tokens.weight']);
  const large = load({ ...granite, embedding_multiplier: 1000 }, stored, { dtype: 'f16', as: 'F16' });
  await expect(large).rejects.toMatchObject({ code: 'bad-checkpoint' });
});

it('an own head has the factor of the logits alone', () => {
  const folds = foldsOf(specOf({ ...granite, tie_word_embeddings: false }));
  expect(folds.get('model.norm.weight')).toEqual({ times: 0.25, plus: 0 });
});

it('an offset of gains is scaled with them', () => {
  const spec = { ...specOf(granite), gainOffset: 1 };
  expect(foldsOf(spec).get('model.norm.weight')).toEqual({ times: 1 / 48, plus: 1 / 48 });
  expect(foldsOf(spec).get(`${at}.input_layernorm.weight`)).toEqual({ times: 1, plus: 1 });
});

it('gains of Gemma are 1 more than stored, those after a block too; scores are scaled by the gain of q', async () => {
  const gemma = {
    ...base,
    model_type: 'gemma3_text',
    num_key_value_heads: 1,
    head_dim: 8,
    query_pre_attn_scalar: 2,
  };
  const shapes = Object.fromEntries(tensorsOf(specOf(gemma)).map(({ name, shape }) => [name, shape]));
  const { 'lm_head.weight': _, ...stored } = shapes;
  const written = await load(gemma, stored);
  const gains = [2, 3, 4, 5, 6, 7, 8, 9];
  for (const after of ['attention', 'MLP'])
    expect(row(written.get(`block 0 norm after ${after}`)!, 0)).toEqual(gains);
  expect(written.get('block 0 norm after MLP')).toHaveLength(64);
  expect(row(written.get('block 0 gate and up vectors')!, 0)).toEqual(gains);
  expect([...written.get('block 0 q and k norms')!]).toEqual([...gains.map((gain) => 2 * gain), ...gains]);
  expect(written.get('embedding')![1]).toBeCloseTo(2 * Math.sqrt(8), 5);
  // The head of a tied model is rid of the embedding's factor.
  expect(written.get('head vectors')![1]).toBeCloseTo(3 / Math.sqrt(8), 6);
  expect(row(written.get('block 0 out')!, 0)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

it('gains of all heads of q and of k are one after the other', async () => {
  const olmo = { ...base, model_type: 'olmo2', num_attention_heads: 2, num_key_value_heads: 1 };
  const shapes = Object.fromEntries(tensorsOf(specOf(olmo)).map(({ name, shape }) => [name, shape]));
  expect(shapes[`${at}.self_attn.q_norm.weight`]).toEqual([8]);
  expect(shapes[`${at}.self_attn.k_norm.weight`]).toEqual([4]);
  expect(Object.keys(shapes).some((name) => name.includes('input_layernorm'))).toBe(false);
  const { 'lm_head.weight': _, ...stored } = shapes;
  const written = await load(olmo, stored);
  expect([...written.get('block 0 q and k norms')!]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4]);
  expect(written.has('block 0 qkv vectors')).toBe(false);
});

it('what is scaled before a norm is scaled after it', () => {
  const gemma = specOf({ ...base, model_type: 'gemma3_text', head_dim: 8, num_key_value_heads: 1 });
  const folds = foldsOf({ ...gemma, scales: { residual: 0.5 } });
  expect(folds.has(`${at}.self_attn.o_proj.weight`)).toBe(false);
  expect(folds.get(`${at}.post_feedforward_layernorm.weight`)).toEqual({ times: 0.5, plus: 0.5 });
});

const fused: Record<string, readonly number[]> = {
  'model.embed_tokens.weight': [20, 8],
  'model.norm.weight': [8],
  [`${at}.input_layernorm.weight`]: [8],
  [`${at}.post_attention_layernorm.weight`]: [8],
  [`${at}.self_attn.qkv_proj.weight`]: [24, 8],
  [`${at}.self_attn.o_proj.weight`]: [8, 8],
  [`${at}.mlp.gate_up_proj.weight`]: [24, 8],
  [`${at}.mlp.down_proj.weight`]: [8, 12],
};

it('fused rows go where their matrix is; those of q and k so that halves of a head turn', async () => {
  const written = await load(phi, fused);
  const first = (label: string, r: number): number => written.get(label)![64 * r]!;
  const stored = (r: number): number => 8 * r + 1;
  // Dimensions 0 to 3 turn: 0 with 2, 1 with 3. Here 0 turns with 4, 1 with 5.
  const order = [0, 1, 4, 5, 2, 3, 6, 7];
  for (const head of [0, 8])
    expect(order.map((_, r) => first('block 0 qkv', head + r))).toEqual(order.map((r) => stored(head + r)));
  for (let r = 16; r < 24; r++) expect(first('block 0 qkv', r)).toBe(stored(r));
  for (let r = 0; r < 24; r++) expect(first('block 0 gate and up', r)).toBe(stored(r));
});

it.each([
  [`${at}.self_attn.qkv_proj.weight`, [16, 8], /qkv_proj.*\[16,8\].*\[24,8\]/],
  [`${at}.mlp.gate_up_proj.weight`, [24, 4], /gate_up_proj.*\[24,4\].*\[24,8\]/],
  [`${at}.mlp.gate_up_proj.weight`, undefined, /lacks the tensor "model.layers.0.mlp.gate_up_proj.weight"/],
])('a fused %s of shape %s is an error that names it', async (name, shape, message) => {
  const { [name]: _, ...others } = fused;
  const stored = shape ? { ...others, [name]: shape } : others;
  await expect(load(phi, stored)).rejects.toMatchObject({
    code: 'bad-checkpoint',
    message: expect.stringMatching(message),
  });
});

it('every dimension of a head has a place, and pairs stay pairs', () => {
  for (const [headDim, rotated] of [
    [16, 12],
    [16, 4],
    [12, 2],
    [8, 8],
  ] as const) {
    const head = { headDim, rope: { theta: 1, scaling: { type: 'none' as const }, rotated } };
    const places = Array.from({ length: headDim }, (_, d) => rotatedPlace(head, d));
    expect([...places].sort((a, b) => a - b)).toEqual(places.map((_, d) => d));
    for (let d = 0; d < rotated / 2; d++) expect(places[d + rotated / 2]! - places[d]!).toBe(headDim / 2);
  }
});

it('training refuses what would be trained as another model', () => {
  for (const json of [granite, phi]) {
    const spec = specOf({ ...json, attention_bias: false });
    expect(isPlain(spec)).toBe(false);
    expect(() => checkTrainable(spec)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  }
  expect(isPlain(specOf({ ...base, model_type: 'llama' }))).toBe(true);
  const mistral = { ...base, model_type: 'mistral' };
  expect(isPlain(specOf(mistral))).toBe(true);
  // Each of these alone.
  const windowed = specOf({ ...mistral, sliding_window: 8 });
  const plain = specOf(mistral);
  const withBlock = (extra: object) => ({
    ...plain,
    blocks: plain.blocks.map(({ mixer, feedForward }) => ({
      mixer,
      feedForward: { ...feedForward, ...extra },
    })),
  });
  const without = withBlock({ norm: undefined });
  for (const spec of [windowed, without, withBlock({ activation: 'gelu' }), withBlock({ normAfter: 'a' })]) {
    expect(isPlain(spec)).toBe(false);
    expect(() => checkTrainable(spec)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  }
});
