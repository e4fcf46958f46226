// Every kernel of the engine and of training has bindings, a CPU twin, and odd sizes at which registry.test.ts and train.test.ts of
// test/kernel/kernels hold the two against one another.
import { expect, test } from 'vitest';
import { checkDeclared, type Kernel } from '../../src/gpu/kernel.ts';
import { KERNELS } from '../../src/kernels/all.ts';
import { SCORE, TOP_LOGPROBS } from '../../src/kernels/logprobs.ts';
import { all, ends, placesOf, twinLaunch } from '../../src/kernels/twin.ts';
import { TRAIN_KERNELS } from '../../src/train/kernels/all.ts';
import { bindingBytes, covering, kernelCases } from '../support/kernel-cases.ts';

test.each([...KERNELS, ...TRAIN_KERNELS])('$name', (kernel) => {
  const some = covering(kernel, { pairs: false, fits: () => true });
  for (const [i, fixed] of some.entries())
    for (const { spec, launch, label } of kernelCases(kernel, fixed, some.length > 4 ? i : undefined)) {
      checkDeclared(spec);
      const bindings = kernel.bindings(launch);
      const written = new Set(
        bindings.filter(({ access }) => access === 'read_write').map(({ name }) => name),
      );
      expect(new Set(bindings.map(({ name }) => name)).size, label).toBe(bindings.length);
      expect(bindings.filter(({ access }) => access !== 'uniform').length, label).toBeLessThanOrEqual(8);
      const bytes = bindingBytes(kernel, launch);
      const left = new Set<string>();
      for (const result of kernel.cpu(launch))
        for (const { binding, at, size } of placesOf(spec, result)) {
          left.add(binding);
          if (at + size > bytes.get(binding)!) expect.fail(`${label} leaves what is past ${binding}.`);
        }
      for (const name of left) expect(written, label).toContain(name);
      expect(kernel.grid(launch, 65_535), label).toBeDefined();
    }
});

/** What a twin leaves in one binding of data of 32 bits, by place. */
function left(
  kernel: Kernel,
  constants: Record<string, number>,
  data: Record<string, Float32Array | Uint32Array>,
): [binding: string, at: number, value: number][] {
  const step = { rows: 2, first: 0, count: 2, next: 0, context: 1 };
  const bytes = (name: string, at: number, size: number): ArrayBuffer =>
    data[name]!.buffer.slice(at, at + size) as ArrayBuffer;
  const launch = twinLaunch({ kernel, constants }, { step, items: 0, bytes, pick: all });
  return Array.from(kernel.cpu(launch), ({ binding, at, value }) => [binding, at, value]);
}

const logits = new Float32Array(128);
logits.set([0, Math.log(3)]);
logits.set([5, 5], 64);

test('score: the log-probability of each target, and the likeliest token', () => {
  const found = left(SCORE, { WG: 16, VOCAB: 2, STRIDE4: 16 }, { logits, targets: Uint32Array.of(0, 1) });
  expect(found).toEqual([
    ['scores', 0, expect.closeTo(Math.log(1 / 4), 6)],
    ['scores', 1, 1],
    ['scores', 2, expect.closeTo(Math.log(1 / 2), 6)],
    ['scores', 3, 0],
  ]);
});

test('top_logprobs: the likeliest, the lowest id first among equals, then the chosen token', () => {
  const sampled = Uint32Array.of(0, 1);
  const found = left(TOP_LOGPROBS, { WG: 16, VOCAB: 2, STRIDE4: 16, TOP: 2 }, { logits, sampled });
  expect(found.filter(([, at]) => at % 2 === 0).map(([, , token]) => token)).toEqual([1, 0, 0, 0, 1, 1]);
  expect(found[1]![2]).toBeCloseTo(Math.log(3 / 4), 6);
  expect(found.at(-1)![2]).toBeCloseTo(Math.log(1 / 2), 6);
});

test('a spot check looks at both ends', () => {
  expect(ends(5)).toEqual([0, 1, 2, 3, 4]);
  expect(ends(20)).toEqual([0, 1, 2, 3, 16, 17, 18, 19]);
  expect(ends(20, 2)).toEqual([0, 19]);
});
