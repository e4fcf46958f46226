// Training steps against torch's: losses, norms of gradients, and each tensor's gradient, whatever is trained.
import { expect, test } from 'vitest';
import { trainingBytes } from '../../src/train/plan.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { TORCH_CASES, torchBatch, torchCase } from '../support/train-fixtures.ts';

const gpu = await openTestGpu({ profile: 'software' });

const decoded = (text: string): Float32Array =>
  new Float32Array(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);

test.each(Object.entries(TORCH_CASES))('%s', async (name, one) => {
  const { spec, weights, options } = torchCase(one);
  // Inner values of blocks are computed anew, kept, or kept of the last block.
  const keep = { plain: 0, 'from the lowest': 0, qwen3: 30_000 }[name];
  const trainer = await Trainer.create(gpu, spec, { weights }, { ...options, keep });
  // Buffers are whole vectors of four.
  const { total } = trainingBytes(spec, { ...options, keep });
  expect(Math.abs(trainer.bytes - total) / total).toBeLessThan(0.02);
  for (let step = 1; step <= one.steps; step++) {
    const { loss, norm, finite } = await trainer.train(torchBatch(step, one));
    const [expected, length] = [one.losses[step - 1]!, one.norms[step - 1]!];
    expect(finite).toBe(true);
    expect(Math.abs(loss - expected), `loss ${loss} of step ${step}, not ${expected}`).toBeLessThan(1e-3);
    expect(Math.abs(norm - length) / length, `norm ${norm} of step ${step}, not ${length}`).toBeLessThan(
      3e-3,
    );
    if (step > 1) continue;
    const { first } = await trainer.snapshot();
    expect(Object.keys(first).sort()).toEqual(Object.keys(one.gradients).sort());
    for (const [name, packed] of Object.entries(one.gradients)) {
      const gradient = decoded(packed);
      const found = first[name]!.data;
      expect(found.length).toBe(gradient.length);
      const size = Math.hypot(...gradient) / Math.sqrt(gradient.length);
      // The first moment after one step is a tenth of the gradient, shortened to a norm of 1.
      const times = 10 * Math.max(1, length);
      gradient.forEach((value, i) => {
        if (!(Math.abs(found[i]! * times - value) <= 1e-4 * (size + Math.abs(value))))
          expect.fail(`gradient of ${name}[${i}] is ${found[i]! * times}, not ${value} (of ${size})`);
      });
    }
  }
  trainer.dispose();
});

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
