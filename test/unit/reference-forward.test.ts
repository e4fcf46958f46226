import { existsSync, readFileSync } from 'node:fs';
import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, test } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { planOf, tensorsOf } from '../../src/model/spec.ts';
import { type ReferenceTensor, referenceGreedy, referenceLogits } from '../reference/forward.ts';
import { argmax } from '../reference/kernels.ts';
import { randomTokens, TINY_MODEL_NAMES, tinyModel } from '../support/tiny-models.ts';

describe.each(TINY_MODEL_NAMES)('tiny %s', (name) => {
  const { spec, tensors } = tinyModel(name, 1);
  const tokens = randomTokens(spec, 12, 2);
  const logits = referenceLogits(spec, tensors, tokens);
  const rowOf = (all: Float32Array, r: number): Float32Array =>
    all.subarray(r * spec.vocabSize, (r + 1) * spec.vocabSize);

  test('has the tensors of its config', () => {
    for (const { name: tensor, shape, copyOf } of tensorsOf(spec)) {
      if (copyOf !== undefined && (name !== 'shishu-copies' || tensor === 'lm_head.weight')) {
        expect(tensors.has(tensor)).toBe(false);
      } else {
        expect(tensors.get(tensor)?.shape).toEqual(shape);
        expect(tensors.get(tensor)?.data).toHaveLength(shape.reduce((a, b) => a * b, 1));
      }
    }
  });
  test('has logits that are spread out and differ by position', () => {
    expect(logits).toHaveLength(tokens.length * spec.vocabSize);
    const mean = logits.reduce((a, b) => a + b, 0) / logits.length;
    const variance = logits.reduce((a, b) => a + (b - mean) ** 2, 0) / logits.length;
    expect(Math.sqrt(variance)).toBeGreaterThan(1);
    expect(Math.sqrt(variance)).toBeLessThan(5);
    const likeliest = tokens.map((_, r) => argmax(rowOf(logits, r)));
    expect(new Set(likeliest).size).toBeGreaterThan(4);
  });
  test('is causal: a prefix has the same logits, an earlier token changes later ones', () => {
    const prefix = referenceLogits(spec, tensors, tokens.slice(0, 7));
    expect(prefix).toEqual(logits.slice(0, prefix.length));
    const other = referenceLogits(spec, tensors, [(tokens[0]! + 1) % spec.vocabSize, ...tokens.slice(1)]);
    expect(rowOf(other, 11)).not.toEqual(rowOf(logits, 11));
  });
  test('uses every tensor it has, and a bias wherever its config has one', () => {
    // A used tensor cannot be zeroed without a change of the logits; copies of shared weights are not read.
    for (const { name: tensor, copyOf } of tensorsOf(spec)) {
      if (copyOf !== undefined) continue;
      const { shape, data } = tensors.get(tensor)!;
      const without = new Map<string, ReferenceTensor>(tensors);
      without.set(tensor, { shape, data: new Float32Array(data.length) });
      const changed = referenceLogits(spec, without, tokens.slice(0, 3));
      // A bias of k moves all scores of an attention row alike, save for RoPE and rounding.
      expect(changed, tensor).not.toEqual(logits.slice(0, changed.length));
    }
  });
});

// The first logits after 60 tokens, of the same weights and tokens in Hugging Face transformers 5.18 (torch 2.13, f32,
// eager attention). The whole arrays differ by 5e-5 at most.
test.each([
  ['llama', [-2.2978, 4.2618, 1.8175, -0.727, -0.0604]],
  ['llama-untied-bias', [0.536, -1.5224, -1.6088, 2.67, 0.4844]],
  ['mobilellm', [1.7134, -1.3365, 1.8578, 1.551, -3.9322]],
  ['qwen2', [-4.8829, 2.8918, -1.819, -2.1579, 2.9652]],
  ['qwen3', [-1.7011, 0.7915, 1.8364, -0.3263, -1.7537]],
] as const)('tiny %s has the logits of another implementation', (name, expected) => {
  const { spec, tensors } = tinyModel(name, 7);
  const logits = referenceLogits(spec, tensors, randomTokens(spec, 60, 3));
  const last = logits.subarray(logits.length - spec.vocabSize);
  expected.forEach((value, i) => {
    expect(Math.abs(last[i]! - value)).toBeLessThan(2e-4);
  });
});

describe('shared pairs', () => {
  const shared = tinyModel('shishu', 3);
  const tokens = randomTokens(shared.spec, 9, 4);
  const logits = referenceLogits(shared.spec, shared.tensors, tokens);

  test.each(['shishu-copies', 'shishu-unshared'] as const)('%s has the logits of shishu', (name) => {
    const { spec, tensors } = tinyModel(name, 3);
    expect(tensors.size).toBeGreaterThan(shared.tensors.size);
    expect(referenceLogits(spec, tensors, tokens)).toEqual(logits);
  });
  test('the second member of a pair reads the first', () => {
    expect(planOf(shared.spec).map((block) => block.mlp)).toEqual([0, 1, 2, 2, 4, 4, 6, 7]);
    const { spec, tensors } = tinyModel('shishu-unshared', 3);
    tensors.get('model.layers.3.mlp.up_proj.weight')!.data.fill(0);
    expect(referenceLogits(spec, tensors, tokens)).not.toEqual(logits);
  });
});

test('a linear map of zeros is no map', () => {
  const { spec, tensors } = tinyModel('linear', 5);
  const tokens = randomTokens(spec, 5, 6);
  const zeroed = new Map<string, ReferenceTensor>(tensors);
  for (const [name, { shape, data }] of tensors)
    if (name.includes('linear_attn')) zeroed.set(name, { shape, data: new Float32Array(data.length) });
  const withoutMaps = planOf(spec).map(
    (block) => ({ ...block, kind: block.kind === 'linear' ? 'mlp' : block.kind }) as const,
  );
  expect(referenceLogits(spec, zeroed, tokens)).toEqual(referenceLogits(spec, tensors, tokens, withoutMaps));
  expect(referenceLogits(spec, tensors, tokens)).not.toEqual(referenceLogits(spec, zeroed, tokens));
});

test('a linear map of two factors is their product', () => {
  const { spec, configJson, tensors } = tinyModel('linear-rank', 5);
  const [d, rank] = [spec.hiddenSize, 7];
  const maps = planOf(spec).filter(({ kind }) => kind === 'linear');
  expect(maps).toHaveLength(2);
  const tokens = randomTokens(spec, 5, 6);
  const whole = new Map<string, ReferenceTensor>(tensors);
  for (const { layer } of maps) {
    const at = `model.layers.${layer}.linear_attn`;
    const [down, up] = ['down', 'up'].map((part) => tensors.get(`${at}.${part}.weight`)!.data);
    const data = Float32Array.from({ length: d * d }, (_, place) => {
      const [i, j] = [Math.floor(place / d), place % d];
      return Array.from({ length: rank }, (_, r) => up![i * rank + r]! * down![r * d + j]!).reduce(
        (a, b) => a + b,
      );
    });
    whole.set(`${at}.weight`, { shape: [d, d], data });
    whole.set(`${at}.bias`, tensors.get(`${at}.up.bias`)!);
  }
  const logits = referenceLogits(spec, tensors, tokens);
  const expected = referenceLogits(specOf({ ...configJson, linear_rank: undefined }), whole, tokens);
  for (const [i, value] of expected.entries()) expect(logits[i]!).toBeCloseTo(value, 4);
});

test('a linear block is x + W (x / rms(x)) + b', () => {
  const spec = specOf({
    model_type: 'shishu-llama',
    hidden_size: 4,
    intermediate_size: 1,
    num_decoder_front: 0,
    num_mlp: 1,
    linear_layers: [0],
    num_attention_heads: 1,
    vocab_size: 1,
    rms_norm_eps: 1e-12,
    tie_word_embeddings: true,
  });
  const tensors = new Map<string, ReferenceTensor>();
  for (const { name, shape } of tensorsOf(spec))
    tensors.set(name, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
  const fill = (name: string, ...values: number[]): void => tensors.get(name)!.data.set(values);
  fill('model.embed_tokens.weight', 3, -3, 3, -3);
  fill('model.norm.weight', 1, 1, 1, 1);
  fill('model.layers.0.linear_attn.weight', 0, 7);
  fill('model.layers.0.linear_attn.bias', 0, 1);
  // z = (1, -1, 1, -1); x becomes (3 - 7, -3 + 1, 3, -3); the MLP is zero.
  const x = [-4, -2, 3, -3];
  const rms = Math.sqrt((16 + 4 + 9 + 9) / 4);
  const logit = (3 * x[0]! - 3 * x[1]! + 3 * x[2]! - 3 * x[3]!) / rms;
  expect(referenceLogits(spec, tensors, [0])[0]).toBeCloseTo(logit, 5);
});

test('one block worked out by hand', () => {
  // hidden 4, one head of 4, one token: attention gives v itself, RoPE at position 0 turns nothing.
  const spec = specOf({
    model_type: 'llama',
    hidden_size: 4,
    intermediate_size: 1,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    vocab_size: 2,
    rms_norm_eps: 1e-12,
    tie_word_embeddings: true,
  });
  const eye = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
  const tensors = new Map<string, ReferenceTensor>();
  const set = (name: string, shape: number[], values: number[]): void => {
    tensors.set(name, { shape, data: Float32Array.from(values) });
  };
  set('model.embed_tokens.weight', [2, 4], [2, -2, 2, -2, 1, 0, 0, 0]);
  set('model.norm.weight', [4], [1, 1, 1, 1]);
  const at = 'model.layers.0';
  set(`${at}.input_layernorm.weight`, [4], [1, 1, 1, 1]);
  set(`${at}.post_attention_layernorm.weight`, [4], [1, 1, 1, 1]);
  for (const part of ['q', 'k', 'v', 'o']) set(`${at}.self_attn.${part}_proj.weight`, [4, 4], eye);
  set(`${at}.mlp.gate_proj.weight`, [1, 4], [1, 0, 0, 0]);
  set(`${at}.mlp.up_proj.weight`, [1, 4], [0, 1, 0, 0]);
  set(`${at}.mlp.down_proj.weight`, [4, 1], [1, 0, 0, 0]);
  // x = (2,-2,2,-2); + norm(x) = (3,-3,3,-3); the MLP adds silu(1) * -1 to the first element.
  const first = 3 - 1 / (1 + Math.exp(-1));
  const rms = Math.sqrt((first ** 2 + 27) / 4);
  const logits = referenceLogits(spec, tensors, [0]);
  expect(logits[0]).toBeCloseTo((2 * first + 2 * 3 + 2 * 3 + 2 * 3) / rms, 5);
  expect(logits[1]).toBeCloseTo(first / rms, 5);
});

const stories = new URL('../../../shared/models/stories260K/', import.meta.url);
const present = existsSync(stories);
if (!present) console.warn(`Skipped the trained model: ${stories.pathname} is absent.`);

test.skipIf(!present)('stories260K says what it was trained to say', () => {
  const json = (file: string): object => JSON.parse(readFileSync(new URL(file, stories), 'utf8')) as object;
  const spec = specOf(json('config.json'));
  const bytes = readFileSync(new URL('model.safetensors', stories));
  const headerSize = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerSize)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, ReferenceTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    expect(entry.dtype).toBe('F32');
    const [begin, end] = entry.data_offsets;
    const data = new Float32Array((end - begin) / 4);
    data.forEach((_, i) => {
      data[i] = bytes.readFloatLE(8 + headerSize + begin + 4 * i);
    });
    tensors.set(name, { shape: entry.shape, data });
  }
  const tokenizer = new Tokenizer(json('tokenizer.json'), json('tokenizer_config.json'));
  const prompt = tokenizer.encode('Once upon a time').ids;
  expect(prompt[0]).toBe(1);
  expect(referenceGreedy(spec, tensors, prompt, 12)).toEqual([
    432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338,
  ]);
});
