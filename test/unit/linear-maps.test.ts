// A linear map that is larger than a binding goes to the GPU in parts.
import { expect, test } from 'vitest';
import { Ledger } from '../../src/gpu/buffer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { stride } from '../../src/kernels/tensor.ts';
import { installLinearMap, installLinearMaps } from '../../src/model/linear-maps.ts';
import type { Weights } from '../../src/model/weights.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';

test.each([
  [2 ** 27, 1],
  [10 * 4 * stride(30), 4],
  [1, 8],
])('of 30 rows, bindings of %i bytes: %i parts', (binding, parts) => {
  // Node has none.
  globalThis.GPUBufferUsage ??= { STORAGE: 128, COPY_DST: 8, COPY_SRC: 4 } as never;
  const written = new Map<unknown, Float32Array>();
  const device = {
    limits: { maxBufferSize: 2 ** 28 },
    createBuffer: ({ size }: GPUBufferDescriptor) => ({ size }),
    queue: {
      writeBuffer: (buffer: unknown, _: number, data: Float32Array) => void written.set(buffer, data),
    },
  };
  const gpu = { device, limits: { binding, workgroups: 65_535 } } as unknown as Gpu;
  const weights = { linear: new Map() } as unknown as Weights;
  const d = 30;
  for (const shift of [0, 1000]) {
    const W = Float32Array.from({ length: d * d }, (_, i) => i + shift);
    const b = Float32Array.from({ length: d }, (_, i) => -i - shift);
    installLinearMap(gpu, new Ledger(gpu), weights, 3, { W, b });
    const { up } = weights.linear.get(3)!;
    expect(up.parts.length).toBe(parts);
    const rows = up.parts.flatMap(({ codes, rows }) =>
      Array.from({ length: rows }, (_, r) => [
        ...written.get(codes)!.subarray(r * stride(d), r * stride(d) + d),
      ]),
    );
    expect(rows.flat()).toEqual([...W]);
    expect(up.parts.flatMap(({ vectors }) => [...written.get(vectors)!])).toEqual([...b]);
    if (binding > 1) for (const { codes } of up.parts) expect(codes.size).toBeLessThanOrEqual(binding);
  }
});

test('maps that do not fit are gone again, those that were there stay', async () => {
  const gpu = paperGpu(adapterOf('gpu', false));
  const device = gpu.device as unknown as Record<string, unknown>;
  device.pushErrorScope = () => {};
  device.popErrorScope = async () => null;
  const ledger = new Ledger(gpu);
  const weights = { linear: new Map() } as unknown as Weights;
  const map = { W: new Float32Array(64), b: new Float32Array(8) };
  await installLinearMaps(gpu, ledger, weights, [[1, map]]);
  const bytes = ledger.bytes();
  device.popErrorScope = async () => ({ message: 'no room' });
  const failed = installLinearMaps(gpu, ledger, weights, [
    [1, map],
    [2, map],
  ]);
  await expect(failed).rejects.toMatchObject({ code: 'out-of-memory' });
  expect([...weights.linear.keys()]).toEqual([1]);
  expect(ledger.bytes()).toBe(bytes);
});
