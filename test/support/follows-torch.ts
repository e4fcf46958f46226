import { expect } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { trainingBytes } from '../../src/train/plan.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { unpacked } from './fixture-bytes.ts';
import { type TorchCase, torchBatch, torchCase } from './train-fixtures.ts';

/** Holds the losses, norms and gradients of a case's steps against torch's. */
export async function followsTorch(on: Gpu, name: string, one: TorchCase): Promise<void> {
  const { spec, weights, options } = torchCase(one);
  // Inner values of blocks are computed anew, kept, or kept of the last block.
  const keep = { plain: 0, 'from the lowest': 0, qwen3: 30_000 }[name];
  const trainer = await Trainer.create(on, spec, { weights }, { ...options, keep });
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
      const gradient = unpacked(packed);
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
}
