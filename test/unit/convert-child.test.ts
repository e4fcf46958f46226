import { describe, expect, test } from 'vitest';
import { childTensors } from '../../src/convert/child.ts';
import { childConfig } from '../../src/convert/child-config.ts';
import { inUsualOrder, weightsInUsualOrder } from '../../src/convert/parent-tensors.ts';
import { specOf } from '../../src/families/index.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { bytesToF32 } from '../../src/formats/float.ts';
import {
  type AttentionMixer,
  attentionOf,
  type BlockSpec,
  type ModelSpec,
  planOf,
  tensorsOf,
} from '../../src/model/spec.ts';
import { readWeights } from '../../src/train/weights.ts';
import { type ReferenceTensor, referenceLogits } from '../reference/forward.ts';
import { difference } from '../support/family-fixtures.ts';
import { memorySource, mobileR1, type TinyModelName, tinyFiles, tinyModel } from '../support/tiny-models.ts';

const shape = { layers: [1], pairs: [], linear: false };
const childOf = (json: Record<string, unknown>): { parent: ModelSpec; child: ModelSpec } => {
  const parent = specOf(json);
  return { parent, child: specOf(childConfig(json, parent, shape)) };
};
const mixers = (spec: ModelSpec) => [...attentionOf(spec).values()];

describe('the config of a child keeps what changes sums', () => {
  const parents: TinyModelName[] = ['llama', 'llama-untied-bias', 'mobilellm', 'qwen2'];
  test.each(parents)('of %s', (name) => {
    const { parent, child } = childOf(tinyModel(name, 1).configJson);
    // The layout has one switch for all biases of attention: those that the parent lacks are written as zeros.
    const bias = mixers(parent).some(({ q }) => q.bias);
    const blocks = parent.blocks.map(({ mixer, feedForward }, layer) => {
      if (layer === 1) return { mixer: { kind: 'none' }, feedForward };
      const { out, ...rest } = mixer as AttentionMixer;
      return { mixer: { ...rest, out: { ...out, bias } }, feedForward };
    });
    expect(child).toEqual({ ...parent, modelType: 'shishu-llama', blocks });
  });

  test('of a file that leaves out what has a default', () => {
    const { configJson } = tinyModel('qwen2', 1);
    const {
      max_position_embeddings: _,
      rms_norm_eps: __,
      num_key_value_heads: ___,
      ...bare
    } = configJson as Record<string, unknown>;
    const { parent, child } = childOf(bare);
    const { maxPositions, rmsNormEps } = parent;
    const [{ kvHeads, rope }] = mixers(parent) as [AttentionMixer];
    expect(child).toMatchObject({ maxPositions, rmsNormEps });
    expect(mixers(child)[0]).toMatchObject({ kvHeads, rope });
    expect(childConfig(bare, parent, shape)).toMatchObject({
      max_position_embeddings: maxPositions,
      rms_norm_eps: rmsNormEps,
      num_key_value_heads: kvHeads,
      mlp_bias: false,
    });
  });

  test('of a ShishuLM with all of its attention: the norms of q and k stay', () => {
    const { configJson } = tinyModel('shishu', 1);
    const whole = { num_decoder_front: 3, num_mlp: 0, num_mlp_shared: 0, num_decoder_end: 0 };
    for (const use_qk_norm of [true, false]) {
      const { child } = childOf({ ...configJson, ...whole, use_qk_norm });
      expect(mixers(child)[0]!.qkNorm).toBe(use_qk_norm ? 'weightless' : undefined);
    }
  });

  test('of MobileLLM-R1, whose tensors have other names and order of rows', async () => {
    const parent = mobileR1(3);
    const source = memorySource(tinyFiles(parent));
    const { spec } = parent;
    const child = specOf(childConfig(parent.configJson, spec, shape));
    expect(mixers(child)[0]).toMatchObject({ qkNorm: 'weightless', rope: { theta: 100 } });
    const checkpoint = await openCheckpoint(source, tensorsOf(spec));
    const made = new Map<string, ReferenceTensor>();
    for (const { name, shape, read } of childTensors(
      { spec, checkpoint, dtype: 'F32' },
      child,
      new Map(),
      'keep-first',
    ))
      made.set(name, { shape, data: bytesToF32(new Uint8Array(await read()), 'F32') });
    const tokens = [5, 9, 3, 40, 17, 8, 2, 31];
    const skip = planOf(spec).map((block, i) => (i === 1 ? { ...block, kind: 'mlp' as const } : block));
    const [found, expected] = [
      referenceLogits(child, made, tokens),
      referenceLogits(spec, parent.tensors, tokens, skip),
    ];
    expect(difference(found, expected)).toBeLessThan(1e-6);
    // As its teacher in healing.
    const teacher = weightsInUsualOrder(await readWeights(checkpoint, spec), spec);
    const taught = referenceLogits(inUsualOrder(spec), new Map(Object.entries(teacher)), tokens);
    expect(difference(taught, referenceLogits(spec, parent.tensors, tokens))).toBeLessThan(1e-6);
  });

  test('of LFM2 there is none', () => {
    const { configJson } = tinyModel('llama', 1);
    const { rms_norm_eps: _, ...rest } = configJson as Record<string, unknown>;
    const json = { ...rest, model_type: 'lfm2', full_attn_idxs: [1] };
    const error = { code: 'unsupported', message: expect.stringContaining('a short convolution') };
    expect(() => childConfig(json, specOf(json), shape)).toThrowError(expect.objectContaining(error));
  });

  test('of SmolLM3, where the blocks without rotary embeddings are those that lose their attention', () => {
    const { configJson } = tinyModel('llama', 1);
    const json = { ...configJson, model_type: 'smollm3', num_hidden_layers: 8, no_rope_layer_interval: 4 };
    const of = (layers: number[]) => childConfig(json, specOf(json), { ...shape, layers });
    // Not a run.
    expect(of([3, 7])).toMatchObject({ model_type: 'shishu', no_rope_layer_interval: 4 });
    expect(attentionOf(specOf(of([3, 7]))).get(2)!.rope).toBeDefined();
    const last = attentionOf(specOf(of([3]))).get(7)!;
    expect(last.rope).toBeUndefined();
    const four = { ...json, num_hidden_layers: 4 };
    expect(childConfig(four, specOf(four), { ...shape, layers: [3] }).model_type).toBe('shishu-llama');
  });

  test('of a ShishuLM with all of its attention: blocks that are no run', () => {
    const { configJson } = tinyModel('shishu', 1);
    const json = { ...configJson, num_decoder_front: 2, num_mlp: 0, num_mlp_shared: 0, num_decoder_end: 1 };
    const scattered = { layers: [0, 2], pairs: [], linear: false };
    const child = specOf(childConfig(json, specOf(json), scattered));
    expect(planOf(child).map(({ kind }) => kind)).toEqual(['mlp', 'attention', 'mlp']);
  });

  test('fields that only shishu-llama reads are not taken over', () => {
    const { configJson } = tinyModel('llama', 1);
    const own = { intermediate_size_mlp: 7, linear_rank: 3, linear_layers: [], shared_mlps: [[0, 1]] };
    // A parent's own family would refuse them.
    const child = childConfig({ ...configJson, ...own }, specOf(configJson), shape);
    expect(specOf(child)).toEqual(childOf(configJson).child);
  });
});

test('blocks that are no run are listed by their types, with the pairs of neighbours that share', () => {
  const { configJson } = tinyModel('llama', 1);
  const json = { ...configJson, num_hidden_layers: 8 };
  const pairs = [
    [2, 3],
    [6, 7],
  ] as const;
  const scattered = { layers: [0, 2, 3, 5, 6, 7], pairs, linear: true, rank: 5, inputs: 2 };
  const config = childConfig(json, specOf(json), scattered);
  expect(config).toMatchObject({ shared_mlps: pairs, linear_rank: 5, linear_inputs: 2 });
  const spec = specOf(config);
  const kinds = planOf(spec).map(({ kind, mlp }) => `${kind[0]}${mlp}`);
  expect(kinds.join(' ')).toBe('l0 a1 l2 l2 a4 l5 l6 l6');
  expect(spec.blocks[0]!.mixer).toMatchObject({
    inputs: 2,
    down: { rows: 5, cols: 80 },
    up: { rows: 40, cols: 5 },
  });
  // 27 of 40 in two factors take more than the whole, of two inputs: 27 * (40 + 80) against 40 * 80.
  const wide = childConfig(json, specOf(json), { ...scattered, rank: 27 });
  expect(wide).not.toHaveProperty('linear_rank');
});

test('maps are no part of the public layout, nor are pairs behind others that do not share', () => {
  const { configJson } = tinyModel('llama', 1);
  const json = { ...configJson, num_hidden_layers: 6 };
  const typeOf = (more: object) =>
    childConfig(json, specOf(json), { layers: [1, 2, 3, 4], pairs: [], linear: false, ...more }).model_type;
  expect(typeOf({})).toBe('shishu-llama');
  expect(typeOf({ pairs: [[1, 2]] })).toBe('shishu-llama');
  expect(typeOf({ pairs: [[3, 4]] })).toBe('shishu');
  expect(typeOf({ linear: true })).toBe('shishu');
});

test('what the public layout would read as another model keeps the fields of its parent', () => {
  const { configJson } = tinyModel('llama', 1);
  const spec = specOf(configJson);
  const [{ mixer, feedForward }, ...rest] = spec.blocks as [BlockSpec];
  const rotated = { ...(mixer as AttentionMixer), rope: { theta: 0.5, scaling: { type: 'none' as const } } };
  const parent = { ...spec, blocks: [{ mixer: rotated, feedForward }, ...rest] };
  expect(childConfig(configJson, parent, shape).model_type).toBe('shishu');
});
