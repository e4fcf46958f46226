// Error scopes are a stack of the device: what overlaps must not get the other's errors.
import { expect, test } from 'vitest';
import { guardMemory, watchErrors } from '../../src/gpu/buffer.ts';

/** A device with WebGPU's rules: an error goes to the innermost open scope of its kind, and pops are answered late. */
function device() {
  const scopes: { filter: string; error: { message: string } | null }[] = [];
  const uncaught: string[] = [];
  return {
    uncaught,
    open: () => scopes.length,
    fail(filter: string, message: string): void {
      const scope = scopes.findLast((scope) => scope.filter === filter);
      if (scope) scope.error ??= { message };
      else uncaught.push(message);
    },
    pushErrorScope(filter: string): void {
      scopes.push({ filter, error: null });
    },
    async popErrorScope() {
      const { error } = scopes.pop()!;
      await new Promise((resolve) => setTimeout(resolve, 5 * Math.random()));
      return error;
    },
  };
}
const gpuOf = (fake: ReturnType<typeof device>) => ({ device: fake as unknown as GPUDevice });

test('overlapping guards see their own errors', async () => {
  const fake = device();
  const gpu = gpuOf(fake);
  const kinds = [undefined, 'out-of-memory', 'validation', undefined, 'out-of-memory'];
  const codes: Record<string, string> = { 'out-of-memory': 'out-of-memory', validation: 'shader' };
  const all = kinds.map((kind, i) =>
    guardMemory(gpu, `model ${i}`, () => {
      if (kind) fake.fail(kind, `of ${i}`);
      return i;
    }),
  );
  expect(fake.open()).toBe(0);
  const settled = await Promise.allSettled(all);
  for (const [i, kind] of kinds.entries())
    expect(settled[i]).toMatchObject(
      kind
        ? {
            reason: {
              code: codes[kind],
              message: expect.stringContaining(`model ${i}`),
              cause: { message: `of ${i}` },
            },
          }
        : { value: i },
    );
  expect(fake.uncaught).toEqual([]);
});

test('what throws inside leaves no scope open; the GPU’s word comes first', async () => {
  const fake = device();
  const gpu = gpuOf(fake);
  const broken = (kind?: string) =>
    guardMemory(gpu, 'a model', () => {
      if (kind) fake.fail(kind, 'full');
      if (fake) throw new Error('mine');
      return 1;
    });
  await expect(broken()).rejects.toThrow('mine');
  await expect(broken('out-of-memory')).rejects.toMatchObject({ code: 'out-of-memory' });
  expect(fake.open()).toBe(0);
});

test('a watch that has ended hears nothing more', async () => {
  const fake = device();
  const end = watchErrors(gpuOf(fake), 'the weights');
  const told = end();
  fake.fail('validation', 'another’s');
  await told;
  expect(fake.uncaught).toEqual(['another’s']);
});
