import { expect } from 'vitest';
import { type Gpu, type GpuOptions, openGpu } from '../../src/gpu/device.ts';

/**
 * Features that a run in Node is told to cover (EXPECT_GPU_FEATURES, WebGPU's names with commas between). Chromium's software
 * adapter is what it is, so nothing is declared there.
 */
export function declaredFeatures(): string[] {
  const node = typeof process !== 'undefined' && process.versions?.node !== undefined;
  const names = (node ? process.env.EXPECT_GPU_FEATURES : undefined) ?? '';
  return names
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** The declared features that an adapter lacks. */
export const missingFeatures = (gpu: Gpu, declared: readonly string[]): string[] =>
  declared.filter((name) => !gpu.device.features.has(name as GPUFeatureName));

let device: Promise<GPUDevice> | undefined;

/** A device for all files of a run in one process or page: what one file compiled, the next need not. Nobody destroys it. */
export function sharedDevice(): Promise<GPUDevice> {
  device ??= openGpu().then((gpu) => gpu.device);
  return device;
}

/** Opens the adapter under test. @throws when it lacks a declared feature: a run that was told to cover it must not skip it. */
export async function openTestGpu(options: GpuOptions = {}): Promise<Gpu> {
  const gpu = await openGpu({ device: await sharedDevice(), ...options });
  const missing = missingFeatures(gpu, declaredFeatures());
  if (missing.length)
    throw new Error(`EXPECT_GPU_FEATURES declares ${missing.join(', ')}, which ${gpu.name} lacks.`);
  return gpu;
}

const OPTIONAL: readonly GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];

/** A device of the adapter with no limit raised above WebGPU's defaults, and some features (default: all that the engine uses). */
export async function defaultLimitsDevice(features = OPTIONAL, on = navigator.gpu): Promise<GPUDevice> {
  const adapter = await on.requestAdapter();
  const device = await adapter!.requestDevice({
    requiredFeatures: features.filter((feature) => adapter!.features.has(feature)),
  });
  const limits = device.limits;
  expect({
    workgroup: limits.maxComputeWorkgroupStorageSize,
    invocations: limits.maxComputeInvocationsPerWorkgroup,
    buffers: limits.maxStorageBuffersPerShaderStage,
    binding: limits.maxStorageBufferBindingSize,
    buffer: limits.maxBufferSize,
  }).toEqual({
    workgroup: 16_384,
    invocations: 256,
    buffers: 8,
    binding: 2 ** 27,
    buffer: 2 ** 28,
  });
  return device;
}

/** The same device as seen by a run with other limits or without some features. */
export const variantOf = (gpu: Gpu, options: Omit<GpuOptions, 'device'>): Promise<Gpu> =>
  openGpu({ device: gpu.device, ...options });

/** Whether a variant runs on this adapter; says so when it does not. */
export function covers(gpu: Gpu, feature: 'f16' | 'subgroups', what: string): boolean {
  if (!gpu.features[feature]) console.info(`Skipped ${what}: ${gpu.name} has no ${feature}.`);
  return gpu.features[feature];
}
