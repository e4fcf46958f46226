import { describe, expect, test } from 'vitest';
import { childConfig } from '../../src/convert/child.ts';
import { type ModelConfig, parseConfig } from '../../src/model/config.ts';
import { type TinyModelName, tinyModel } from '../support/tiny-models.ts';

const shape = { front: 1, mlpOnly: 1, sharedPairs: 0, linear: false };
const childOf = (json: Record<string, unknown>): { parent: ModelConfig; child: ModelConfig } => {
  const parent = parseConfig(json);
  return { parent, child: parseConfig(childConfig(json, parent, shape)) };
};

describe('the config of a child keeps what changes sums', () => {
  const parents: TinyModelName[] = ['llama', 'llama-untied-bias', 'mobilellm', 'qwen2'];
  test.each(parents)('of %s', (name) => {
    const { parent, child } = childOf(tinyModel(name, 1).configJson);
    // The layout has one switch for all biases of attention: those that the parent lacks are written as zeros.
    const bias = parent.qkvBias || parent.attentionOutBias;
    expect(child).toEqual({
      ...parent,
      modelType: 'shishu-llama',
      front: 1,
      mlpOnly: 1,
      end: parent.layers - 2,
      qkvBias: bias,
      attentionOutBias: bias,
    });
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
    const { maxPositions, rmsNormEps, kvHeads, ropeTheta, mlpBias } = parent;
    expect(child).toMatchObject({ maxPositions, rmsNormEps, kvHeads, ropeTheta, mlpBias });
    expect(childConfig(bare, parent, shape)).toMatchObject({
      max_position_embeddings: maxPositions,
      rms_norm_eps: rmsNormEps,
      num_key_value_heads: kvHeads,
      mlp_bias: mlpBias,
    });
  });

  test('of a ShishuLM with all of its attention: the norms of q and k stay', () => {
    const { configJson } = tinyModel('shishu', 1);
    const whole = { num_decoder_front: 3, num_mlp: 0, num_mlp_shared: 0, num_decoder_end: 0 };
    for (const use_qk_norm of [true, false]) {
      const { child } = childOf({ ...configJson, ...whole, use_qk_norm });
      expect(child.qkNorm).toBe(use_qk_norm ? 'weightless' : 'none');
    }
  });

  test('fields that only shishu-llama reads are not taken over', () => {
    const { configJson } = tinyModel('llama', 1);
    const { parent, child } = childOf({
      ...configJson,
      intermediate_size_mlp: 7,
      linear_rank: 3,
      linear_layers: [],
    });
    expect(child).toMatchObject({
      mlpOnlyIntermediateSize: parent.intermediateSize,
      linearLayers: [],
      linearRank: undefined,
      qkNorm: 'none',
    });
  });
});

test('a parent that the layout cannot say is refused by the field that would be lost', () => {
  const { configJson } = tinyModel('llama', 1);
  const parent = { ...parseConfig(configJson), ropeTheta: 0.5 };
  expect(() => childConfig(configJson, parent, shape)).toThrowError(
    expect.objectContaining({
      code: 'unsupported',
      details: expect.objectContaining({ field: 'ropeTheta' }),
    }),
  );
});
