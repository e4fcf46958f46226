// Every pipeline that there can be, on Dawn's device that does not compute: it has all features, and checks as others do that
// a pipeline stays within the device's limits, which are WebGPU's defaults.
import { afterAll, expect, test } from 'vitest';
import { create } from 'webgpu';
import { openGpu } from '../../src/gpu/device.ts';
import { KERNELS } from '../../src/kernels/all.ts';
import { createAll } from '../support/create-pipelines.ts';
import { declaredShaders } from '../support/declared-shaders.ts';
import { defaultLimitsDevice } from '../support/gpu-features.ts';

// Dawn ends the process where this is collected before its devices.
const dawn = create(['backend=null']);
const device = await defaultLimitsDevice(undefined, dawn);
afterAll(() => {
  device.destroy();
  expect(dawn).toBeDefined();
});

test('every pipeline is created at default limits', async () => {
  const gpu = await openGpu({ device });
  expect(gpu.features).toMatchObject({ f16: true, subgroups: true });
  console.info(`${declaredShaders.length} pipelines of ${KERNELS.length} kernels at default limits.`);
  expect(declaredShaders.length).toBeGreaterThan(1700);
  await createAll(gpu, declaredShaders);
}, 600_000);

test('this device refuses what is over them', async () => {
  const pipelineOf = (declarations: string): Promise<GPUComputePipeline> =>
    device.createComputePipelineAsync({
      layout: 'auto',
      compute: { module: device.createShaderModule({ code: declarations }) },
    });
  const sized = (vectors: number, threads: number): string =>
    `var<workgroup> a: array<vec4f, ${vectors}>;
    @compute @workgroup_size(${threads}) fn main(@builtin(local_invocation_index) i: u32) { a[i] = vec4f(); }`;
  await pipelineOf(sized(1024, 256));
  await expect(pipelineOf(sized(1025, 256))).rejects.toThrow(/16400|16384/);
  await expect(pipelineOf(sized(1024, 257))).rejects.toThrow(/256/);
});
