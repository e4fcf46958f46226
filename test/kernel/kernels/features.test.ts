// What the run was told to cover is there: declared, never guessed.
import { afterAll, expect, test } from 'vitest';
import { type Gpu, openGpu } from '../../../src/gpu/device.ts';
import { declaredFeatures, missingFeatures } from '../../support/gpu-features.ts';

const gpu: Gpu = await openGpu();
afterAll(() => gpu.close());

test('the adapter has every declared feature', () => {
  expect(missingFeatures(gpu, declaredFeatures()), `missing on ${gpu.name}`).toEqual([]);
});

test('a feature that no adapter has is missing', () => {
  expect(missingFeatures(gpu, ['shader-f16-and-a-half'])).toEqual(['shader-f16-and-a-half']);
});

test('features are used where the device has them, and can be done without', async () => {
  expect(gpu.features.f16).toBe(gpu.device.features.has('shader-f16'));
  expect(gpu.features.subgroups).toBe(gpu.device.features.has('subgroups'));
  const without = await openGpu({ device: gpu.device, without: ['f16', 'subgroups', 'timestamps'] });
  expect(without.features).toEqual({ f16: false, subgroups: false, timestamps: false });
  without.close();
  expect(gpu.lost).toBeUndefined();
});
