// Training steps against torch's: losses, norms of gradients, and each tensor's gradient, whatever is trained.
import { expect, test } from 'vitest';
import { Trainer } from '../../src/train/trainer.ts';
import { followsTorch } from '../support/follows-torch.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { TORCH_CASES, torchBatch, torchCase } from '../support/train-fixtures.ts';

const gpu = await openTestGpu({ profile: 'software' });

test.each(Object.entries(TORCH_CASES))('%s', (name, one) => followsTorch(gpu, name, one));

test('a step whose loss is no number changes nothing and is not counted', async () => {
  const one = TORCH_CASES.plain!;
  const { spec, weights, options } = torchCase(one);
  const embedding = weights[`${spec.embedding.name}.weight`]!;
  const odd = {
    ...weights,
    [`${spec.embedding.name}.weight`]: { ...embedding, data: embedding.data.slice() },
  };
  // In a token of the second batch alone.
  const [first, second] = [torchBatch(2, one), torchBatch(1, one)];
  const token = second.tokens.find((id) => !first.tokens.includes(id))!;
  odd[`${spec.embedding.name}.weight`]!.data.fill(
    Number.NaN,
    token * spec.hiddenSize,
    (token + 1) * spec.hiddenSize,
  );
  const trainer = await Trainer.create(gpu, spec, { weights: odd }, { ...options, keep: 0 });
  const before = await trainer.snapshot();
  const { loss, norm, finite } = await trainer.train(second);
  expect([finite, Number.isFinite(loss), Number.isFinite(norm)]).toEqual([false, false, false]);
  expect(await trainer.snapshot()).toEqual(before);
  expect((await trainer.train(first)).finite).toBe(true);
  expect(trainer.step).toBe(1);
  trainer.dispose();
});

test('what cannot be trained is refused before anything is made', async () => {
  const { spec, weights, options } = torchCase(TORCH_CASES.distilled!);
  const make = (other: object) => Trainer.create(gpu, spec, { weights }, { ...options, ...other });
  await expect(make({ length: 513 })).rejects.toThrow(/513 tokens are too long/);
  await expect(make({ rows: 0 })).rejects.toThrow(/rows of training is 0/);
  await expect(make({ lowest: 9 })).rejects.toThrow(/no block 9 of 4/);
  const teacher = { ...options.teacher!, spec: { ...options.teacher!.spec, vocabSize: 41 } };
  await expect(make({ teacher })).rejects.toThrow(/41 tokens, the model 40/);
});
