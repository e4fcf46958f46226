// Which clock times kernels, by devices on paper: the GPU's where it is fine enough, else the page's, and none where both are coarse.
import { afterEach, expect, test, vi } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { ReadBack } from '../../src/gpu/read-back.ts';
import { stopwatchOf, tickOf } from '../../src/gpu/stopwatch.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';

globalThis.GPUMapMode ??= { READ: 1, WRITE: 2 } as never;
Object.assign(globalThis.GPUBufferUsage, { MAP_READ: 1, QUERY_RESOLVE: 512 });

afterEach(() => void vi.restoreAllMocks());

test.each([
  [[5, 1, 3, 3], 2],
  [[1, 1.5, 9], 0.5],
  [[7, 7], undefined],
  [[], undefined],
])('the tick of %j is %s', (times, tick) => {
  expect(tickOf(times)).toBe(tick);
});

/**
 * @param stamp what the GPU's clock says when it is asked for the n-th time, in nanoseconds; it has none without
 * @param lateMs how late the word comes that work is done
 */
function gpuOf(stamp: ((n: number) => number) | undefined, lateMs = 0): Gpu {
  let asked = 0;
  let count = 0;
  const late = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, lateMs));
  const pass = { end() {} };
  const encoder = {
    beginComputePass: () => pass,
    resolveQuerySet(_: unknown, __: number, queries: number) {
      count = queries;
    },
    clearBuffer() {},
    copyBufferToBuffer() {},
    finish: () => ({}),
  };
  const createBuffer = ({ size }: GPUBufferDescriptor) => ({
    size,
    mapAsync: late,
    getMappedRange: () => BigUint64Array.from({ length: count }, () => BigInt(stamp!(asked++))).buffer,
    unmap() {},
    destroy() {},
  });
  const device = {
    createBuffer,
    createQuerySet: () => ({ destroy() {} }),
    createCommandEncoder: () => encoder,
    queue: { submit() {}, onSubmittedWorkDone: late },
  } as unknown as GPUDevice;
  const gpu = paperGpu(adapterOf('gpu', false));
  const features = { ...gpu.features, timestamps: stamp !== undefined };
  return { ...gpu, device, features, readBack: ReadBack.of(device) };
}

test("a fine GPU clock times short samples, Chrome's rounded one longer ones", async () => {
  const fine = await stopwatchOf(gpuOf((n) => 1000 * n));
  expect(fine!.leastMs).toBe(5);
  expect(await fine!.time(() => {})).toBeCloseTo(0.001);
  const rounded = await stopwatchOf(gpuOf((n) => 200_000 * Math.floor(n / 5)));
  expect(rounded!.leastMs).toBeCloseTo(10);
  // It may not move in between.
  expect((await stopwatchOf(gpuOf(() => 12_300_000)))!.leastMs).toBeCloseTo(5);
});

test("the page's clock times at least 25 ms, where the GPU's is coarse, stands still or is not there", async () => {
  for (const stamp of [(n: number) => 5_000_000 * n, () => 0, undefined]) {
    const watch = await stopwatchOf(gpuOf(stamp));
    expect(watch!.leastMs).toBe(25);
    expect(await watch!.time(() => {})).toBeLessThan(25);
  }
});

test('nothing is timed where the word that work is done is coarse, or the clock', async () => {
  expect(await stopwatchOf(gpuOf(undefined, 40))).toBeUndefined();
  // The GPU's own clock does not mind.
  expect(await stopwatchOf(gpuOf((n) => 1000 * n, 40))).toBeDefined();
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => 100 * Math.floor(now() / 100));
  expect(await stopwatchOf(gpuOf(undefined))).toBeUndefined();
});
