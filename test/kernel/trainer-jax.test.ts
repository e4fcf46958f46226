import { expect, test } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { JaxTrainer, startJax } from '../../src/train/jax-trainer.ts';
import { randomFrom } from '../../src/train/random.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { openTestGpu } from '../support/gpu-features.ts';

const gpu = await openTestGpu({ profile: 'software' });
const sizes = {
  hidden_size: 32,
  intermediate_size: 48,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 40,
  tie_word_embeddings: true,
};
const parent = specOf({ ...sizes, model_type: 'llama', num_hidden_layers: 4 });
const child = specOf({
  ...sizes,
  model_type: 'shishu-llama',
  num_decoder_front: 1,
  num_mlp: 3,
  linear_layers: [2, 3],
  num_mlp_shared: 1,
  num_decoder_end: 1,
  use_qk_norm: true,
});
const [rows, length] = [2, 16];
const random = randomFrom(5);
const ids = () => Int32Array.from({ length: rows * length }, () => Math.floor(random() * 40));
const batch = {
  rows,
  length,
  tokens: ids(),
  targets: ids(),
  weights: Float32Array.from({ length: rows * length }, () => random()),
  count: 32,
};

test.each([
  ['plain', undefined],
  ['taught', 0.7],
] as const)('%s', async (_n, mix) => {
  await startJax();
  const schedule = { steps: 10, learningRate: 0.01, warmUp: 3 };
  const weights = initialWeights(child, 3);
  const teacher = mix === undefined ? undefined : { spec: parent, weights: initialWeights(parent, 4), mix };
  const jax = new JaxTrainer(child, { weights }, { schedule, length, ...(teacher && { teacher }) });
  const own = await Trainer.create(
    gpu,
    child,
    { weights },
    { schedule, rows, length, ...(teacher && { teacher }) },
  );
  console.log(await jax.loss(batch), await own.loss(batch), own.bytes);
  for (let i = 0; i < 8; i++) {
    const [a, b] = [await jax.train(batch), await own.train(batch)];
    console.log(a, b);
    expect(Math.abs(a.loss - b.loss)).toBeLessThan(1e-3);
  }
  own.dispose();
});
