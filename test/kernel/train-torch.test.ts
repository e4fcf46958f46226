// Training steps against torch's: losses, norms of gradients, and each tensor's gradient, whatever is trained.
import { expect, test } from 'vitest';
import { Trainer } from '../../src/train/trainer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { TORCH_CASES, torchBatch, torchCase } from '../support/train-fixtures.ts';

const gpu = await openTestGpu({ profile: 'software' });

const decoded = (text: string): Float32Array =>
  new Float32Array(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);

test.each(Object.entries(TORCH_CASES))('%s', async (_name, one) => {
  const { spec, weights, options } = torchCase(one);
  const trainer = await Trainer.create(gpu, spec, { weights }, options);
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
