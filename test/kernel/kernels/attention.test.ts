// Attention of prompts where queries are f16 in workgroup memory: those whose numbers f16 does not hold.
import { afterAll, expect, test } from 'vitest';
import { f16ToF32, f32ToF16 } from '../../../src/formats/float.ts';
import { ATTENTION_TILED } from '../../../src/kernels/attention.ts';
import { keyAt } from '../../../src/kernels/qkv.ts';
import { openTestGpu } from '../../support/gpu-features.ts';
import { type KernelCase, kernelCases } from '../../support/kernel-cases.ts';
import { runCase } from '../../support/twin-check.ts';

const gpu = await openTestGpu();
afterAll(() => gpu.close());

/** A case with other queries, and another K: `change` is told the dimension. */
function changed(
  one: KernelCase,
  { query, key }: Record<'query' | 'key', (value: number, dim: number) => number>,
): KernelCase {
  const { HEAD_DIM, SEQUENCES, KV_HEADS, CAPACITY } = one.launch.constants as Record<string, number>;
  const q = new Float32Array(one.before.get('q')!.slice().buffer).map((value, i) =>
    query(value, i % HEAD_DIM!),
  );
  const kv = new Uint16Array(one.before.get('kv')!.slice().buffer);
  for (let sequence = 0; sequence < SEQUENCES!; sequence++)
    for (let head = 0; head < KV_HEADS!; head++)
      for (let position = 0; position < CAPACITY!; position++)
        for (let dim = 0; dim < HEAD_DIM!; dim++) {
          const at = keyAt(one.launch as Parameters<typeof keyAt>[0], sequence, head, position, dim);
          kv[at] = f32ToF16(key(f16ToF32(kv[at]!), dim));
        }
  const before = new Map(one.before).set('q', new Uint8Array(q.buffer)).set('kv', new Uint8Array(kv.buffer));
  return { ...one, before };
}

const fixed = ATTENTION_TILED.choices[0]!.find(({ KV_READ }) => KV_READ === 'kv_read_f16')!;
// Heads of which as many as there are fill the rows of q.
const [one] = kernelCases(ATTENTION_TILED, fixed).filter(
  ({ launch: { constants: c } }) => c.HEADS! * c.HEAD_DIM! === 4 * c.Q_STRIDE4!,
);

test('a number beyond 65504 that meets zeros of K', async () => {
  const some = changed(one!, {
    query: (value, dim) => (dim === 0 ? 1e6 * Math.sign(value) : value),
    key: (value, dim) => (dim === 0 ? 0 * value : value),
  });
  expect(new Float32Array(some.before.get('q')!.buffer)).toContain(1e6);
  await runCase(gpu, some);
});

test('numbers below the least of f16', async () => {
  await runCase(gpu, changed(one!, { query: (value) => value * 2 ** -26, key: (value) => value * 2 ** 14 }));
});
