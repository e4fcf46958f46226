import * as jax from '@jax-js/jax';
import { beforeAll, describe, expect, it } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { crossEntropy, distillation } from '../../src/train/jax-loss.ts';
import { constantsOf, forward, toCpu, toDevice } from '../../src/train/jax-model.ts';
import { startJax } from '../../src/train/jax-trainer.ts';
import { learningRateAt } from '../../src/train/optimizer.ts';
import { randomFrom } from '../../src/train/random.ts';
import { checkTrainable, loadTraining } from '../../src/train/trainable.ts';

const { numpy: np } = jax;
const [rows, length, vocab] = [2, 12, 40];
const sizes = {
  hidden_size: 32,
  intermediate_size: 48,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: vocab,
};
const CONFIGS = {
  parent: specOf({ ...sizes, model_type: 'llama', num_hidden_layers: 2, tie_word_embeddings: true }),
  child: specOf({
    ...sizes,
    model_type: 'shishu-llama',
    num_decoder_front: 1,
    num_mlp: 3,
    linear_layers: [2, 3],
    num_mlp_shared: 1,
    num_decoder_end: 1,
    use_qk_norm: true,
  }),
};

beforeAll(() => startJax());

describe.each(Object.entries(CONFIGS))('gradients of a %s', (_name, spec) => {
  it.each(['cross-entropy', 'distillation'])('of %s agree with finite differences', async (kind) => {
    const random = randomFrom(5);
    const weights = initialWeights(spec, 3);
    // Weights large enough that every part matters.
    for (const { shape, data } of Object.values(weights))
      if (shape.length === 2) for (let i = 0; i < data.length; i++) data[i]! *= 2.5;
    const ids = (): Int32Array<ArrayBuffer> =>
      Int32Array.from({ length: rows * length }, () => Math.floor(random() * vocab));
    const [tokens, targets] = [ids(), ids()];
    const share = Float32Array.from({ length: rows * length }, () => random());
    const total = share.reduce((a, b) => a + b, 0);
    for (let i = 0; i < share.length; i++) share[i]! /= total;
    const teacher = Float32Array.from({ length: rows * length * vocab }, () => 4 * random() - 2);
    const loss = (params: Record<string, jax.Array>): jax.Array => {
      const logits = forward(
        params,
        np.array(tokens.slice()).reshape([rows, length]),
        constantsOf(spec, length),
        spec,
      );
      const [y, w] = [np.array(targets.slice()), np.array(share.slice())];
      if (kind === 'cross-entropy') return crossEntropy(logits, y, w);
      const taught = np.array(teacher.slice()).reshape([rows * length, vocab]);
      return distillation(logits, taught, y, w, 0.7);
    };
    const [value, gradients] = jax.valueAndGrad(loss)(toDevice(weights, spec)) as [
      jax.Array,
      Record<string, jax.Array>,
    ];
    expect((await value.data())[0]).toBeGreaterThan(0);
    const found = await toCpu(gradients, spec);
    const compiled = jax.jit(loss);
    const measure = async (): Promise<number> => (await compiled(toDevice(weights, spec)).data())[0]!;
    for (const [name, { data }] of Object.entries(weights)) {
      // The steepest entry and a random one of every tensor.
      const gradient = found[name]!.data;
      const steepest = gradient.reduce((at, g, i) => (Math.abs(g) > Math.abs(gradient[at]!) ? i : at), 0);
      for (const i of [steepest, Math.floor(random() * data.length)]) {
        const [kept, step] = [data[i]!, 4e-3];
        data[i] = kept + step;
        const above = await measure();
        data[i] = kept - step;
        const below = await measure();
        data[i] = kept;
        const slope = (above - below) / (2 * step);
        expect(Math.abs(slope - gradient[i]!), `${name}[${i}] ${gradient[i]} ${slope}`).toBeLessThan(
          4e-4 + 0.03 * Math.abs(slope),
        );
      }
    }
  });
});

it('keeps matrices as they were, to the device and back', async () => {
  const weights = initialWeights(CONFIGS.child, 3);
  const spec = CONFIGS.child;
  expect(await toCpu(toDevice(weights, spec), spec)).toEqual(weights);
});

it('has no entry for the second of a shared pair', () => {
  const names = Object.keys(initialWeights(CONFIGS.child, 3));
  expect(names).toContain('model.layers.1.mlp.up_proj.weight');
  expect(names).not.toContain('model.layers.2.mlp.up_proj.weight');
  expect(names).toContain('model.layers.3.mlp.up_proj.weight');
});

it('refuses by name what the trainer does not have', () => {
  const qwen = { ...sizes, num_hidden_layers: 1 };
  expect(() => checkTrainable(specOf({ ...qwen, model_type: 'qwen2' }))).toThrow(/no biases/);
  expect(() => checkTrainable(specOf({ ...qwen, model_type: 'qwen3' }))).toThrow(/weighted norms/);
  const smollm = { ...qwen, model_type: 'smollm3', no_rope_layers: [0] };
  expect(() => checkTrainable(specOf(smollm))).toThrow(/no attention without rotary embeddings/);
});

it('names the package that is not installed, and passes on every other error', async () => {
  const missing = Object.assign(new Error("Cannot find package '@jax-js/jax' imported from cli.js"), {
    code: 'ERR_MODULE_NOT_FOUND',
  });
  await expect(loadTraining(() => Promise.reject(missing))).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('npm install @jax-js/jax'),
  });
  const other = new Error('no such thing');
  await expect(loadTraining(() => Promise.reject(other))).rejects.toBe(other);
});

it('warms up, peaks and decays to a tenth', () => {
  const schedule = { steps: 100, learningRate: 1, warmUp: 10 };
  expect(learningRateAt(schedule, 1)).toBeCloseTo(0.1);
  expect(learningRateAt(schedule, 10)).toBeCloseTo(1);
  expect(learningRateAt(schedule, 55)).toBeCloseTo(0.55);
  expect(learningRateAt(schedule, 100)).toBeCloseTo(0.1);
});
