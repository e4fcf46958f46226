// The GPU is opened while a model's headers are read: whose error is told, and that nothing stays open.
import { afterEach, expect, test, vi } from 'vitest';
import { ShishuError } from '../../src/errors.ts';
import { openGpu, openGpuBeside } from '../../src/gpu/device.ts';
import { loadModel } from '../../src/index.ts';
import { memorySource } from '../support/memory-source.ts';

afterEach(() => void vi.unstubAllGlobals());

/** Puts an adapter into the environment that opens after `ms`; none with `undefined`. */
function adapter(ms: number | undefined) {
  const seen = { asked: 0, opened: 0, destroyed: 0 };
  const requestDevice = async () => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    seen.opened++;
    return {
      features: new Set(),
      limits: {},
      lost: new Promise(() => {}),
      destroy: () => void seen.destroyed++,
    };
  };
  const requestAdapter = async () => {
    seen.asked++;
    return ms === undefined ? null : { features: new Set(), limits: {}, requestDevice };
  };
  vi.stubGlobal('navigator', { gpu: { requestAdapter } });
  return seen;
}

const later = <T>(ms: number, then: () => T): Promise<T> =>
  new Promise((resolve) => setTimeout(resolve, ms)).then(then);
const broken = (): never => {
  throw new ShishuError('bad-config', 'No.');
};

test('the GPU opens while the other is awaited', async () => {
  const seen = adapter(0);
  const [ready, gpu] = await openGpuBeside(
    later(30, () => {
      expect(seen.opened).toBe(1);
      return 'ready';
    }),
  );
  expect(ready).toBe('ready');
  gpu.close();
  expect(seen).toEqual({ asked: 1, opened: 1, destroyed: 1 });
});

test.each([
  [0, 20],
  [20, 0],
])(
  'what was read is wrong, the GPU opens after %i ms, the error comes after %i: the GPU is closed',
  async (opens, fails) => {
    const seen = adapter(opens);
    await expect(openGpuBeside(later(fails, broken))).rejects.toMatchObject({ code: 'bad-config' });
    expect(seen).toEqual({ asked: 1, opened: 1, destroyed: 1 });
  },
);

test('without a GPU what is wrong with the model is told first', async () => {
  adapter(undefined);
  await expect(openGpuBeside(later(20, broken))).rejects.toMatchObject({ code: 'bad-config' });
  await expect(openGpuBeside(later(20, () => 'ready'))).rejects.toMatchObject({ code: 'no-webgpu' });
});

test('a load that is refused by its config leaves no GPU open', async () => {
  const seen = adapter(10);
  const refused = loadModel(memorySource({ 'config.json': '{}' }));
  await expect(refused).rejects.toMatchObject({ code: 'bad-config' });
  expect(seen).toEqual({ asked: 1, opened: 1, destroyed: 1 });
});

test('of the limits, only the sizes of buffers and bindings are raised', async () => {
  const descriptors: GPUDeviceDescriptor[] = [];
  const limits = {
    maxBufferSize: 2 ** 32,
    maxStorageBufferBindingSize: 2 ** 31,
    maxComputeWorkgroupStorageSize: 65_536,
  };
  const requestDevice = async (descriptor: GPUDeviceDescriptor) => {
    descriptors.push(descriptor);
    return { features: new Set(), limits: {}, lost: new Promise(() => {}), destroy() {} };
  };
  vi.stubGlobal('navigator', {
    gpu: { requestAdapter: async () => ({ features: new Set(), limits, requestDevice }) },
  });
  (await openGpu()).close();
  expect(descriptors.map(({ requiredLimits }) => requiredLimits)).toEqual([
    { maxBufferSize: 2 ** 32, maxStorageBufferBindingSize: 2 ** 31 },
  ]);
});
