import * as jax from '@jax-js/jax';
import { beforeAll, describe, expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { constantsOf, forward, toDevice } from '../../src/train/jax-model.ts';
import { startJax } from '../../src/train/jax-trainer.ts';
import { referenceLogits } from '../reference/forward.ts';

const { numpy: np } = jax;
const sizes = {
  hidden_size: 32,
  intermediate_size: 48,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 50,
  rms_norm_eps: 1e-5,
};
const child = {
  ...sizes,
  model_type: 'shishu-llama',
  num_decoder_front: 2,
  num_mlp: 3,
  linear_layers: [3],
  num_mlp_shared: 1,
  num_decoder_end: 1,
  use_qk_norm: true,
};
const CONFIGS = {
  parent: specOf({ ...sizes, model_type: 'llama', num_hidden_layers: 3, tie_word_embeddings: true }),
  child: specOf(child),
  'child with maps of rank 5': specOf({ ...child, linear_rank: 5 }),
};

describe.each(Object.entries(CONFIGS))('jax forward of a %s', (_name, spec) => {
  beforeAll(() => startJax());

  it.each([false, true])(
    'gives the logits of the CPU reference in every row (compiled: %s)',
    async (compiled) => {
      const weights = initialWeights(spec, 3);
      // Gains other than 1, outputs large enough that attention matters.
      for (const [name, { shape, data }] of Object.entries(weights))
        for (let i = 0; i < data.length; i++)
          if (shape.length === 1) data[i] = 1 + 0.3 * Math.sin(i);
          else if (/o_proj|down_proj/.test(name)) data[i]! *= 8;
      const length = 16;
      const rows = Array.from({ length: 3 }, (_, r) =>
        Array.from({ length }, (_, t) => (7 * t + 11 * r + t * t * r) % 50),
      );
      const run = (params: Record<string, jax.Array>, tokens: jax.Array): jax.Array =>
        forward(params, tokens, constantsOf(spec, length), spec);
      const logits = (await (compiled ? jax.jit(run) : run)(
        toDevice(weights, spec),
        np.array(new Int32Array(rows.flat())).reshape([3, length]),
      ).data()) as Float32Array;
      const tensors = new Map(Object.entries(weights));
      rows.forEach((row, r) => {
        const expected = referenceLogits(spec, tensors, row);
        expected.forEach((value, i) => {
          expect(Math.abs(logits[r * length * 50 + i]! - value)).toBeLessThan(
            1e-4 * Math.max(1, Math.abs(value)),
          );
        });
      });
    },
  );
});
