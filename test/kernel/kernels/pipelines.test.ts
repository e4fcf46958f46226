// Every pipeline that there can be is created on devices with exactly WebGPU's default limits, with and without optional features.
import { expect, test } from 'vitest';
import { type Gpu, openGpu } from '../../../src/gpu/device.ts';
import { type ShaderSpec, shaderText } from '../../../src/gpu/shader.ts';
import { KERNELS } from '../../../src/kernels/all.ts';
import { ARGMAX } from '../../../src/kernels/sample.ts';
import { declaredShaders } from '../../support/declared-shaders.ts';
import { defaultLimitsDevice } from '../../support/gpu-features.ts';

const needs = (spec: ShaderSpec): string[] =>
  [...shaderText(spec).code.matchAll(/^enable (\w+);/gm)].map(([, name]) => name!);

async function createAll(gpu: Gpu, specs: readonly ShaderSpec[]): Promise<void> {
  const refused: string[] = [];
  for (let at = 0; at < specs.length; at += 16)
    await Promise.all(
      specs.slice(at, at + 16).map((spec) =>
        gpu.pipelines.get(spec).catch((error: Error) => {
          refused.push(`${JSON.stringify({ ...spec.imports, ...spec.constants })}: ${error.message}`);
        }),
      ),
    );
  expect(refused).toEqual([]);
}

test('with the features that the adapter has', async () => {
  const device = await defaultLimitsDevice();
  const gpu = await openGpu({ device });
  const { f16, subgroups } = gpu.features;
  const here = declaredShaders.filter((spec) =>
    needs(spec).every((name) => (name === 'f16' ? f16 : name === 'subgroups' && subgroups)),
  );
  console.info(
    `${here.length} of ${declaredShaders.length} pipelines of ${KERNELS.length} kernels, on ${gpu.name}.`,
  );
  expect(here.length).toBeGreaterThan(1000);
  await createAll(gpu, here);
  device.destroy();
}, 600_000);

test('without optional features', async () => {
  const device = await defaultLimitsDevice([]);
  const gpu = await openGpu({ device });
  expect(gpu.features).toEqual({ f16: false, subgroups: false, timestamps: false });
  const plain = declaredShaders.filter((spec) => needs(spec).length === 0);
  // What reads weights is as above but for the dtype: one of them shows the rest.
  const some = plain.filter(({ imports }) => (imports?.WEIGHT ?? 'weight_q4') === 'weight_q4');
  console.info(`${some.length} pipelines on a device without features.`);
  await createAll(gpu, some);
  device.destroy();
}, 600_000);

test('what is not in the list cannot be made', async () => {
  const gpu = await openGpu();
  const constants = { WG: 256, VOCAB: 260, STRIDE4: 80 };
  await gpu.pipelines.get({ kernel: ARGMAX, constants });
  const odds: Record<string, number>[] = [{ WG: 512 }, { VOCAB: 0 }, { LANES: 2 }];
  for (const odd of odds)
    await expect(
      gpu.pipelines.get({ kernel: ARGMAX, constants: { ...constants, ...odd } }),
    ).rejects.toMatchObject({ code: 'shader', message: expect.stringContaining(Object.keys(odd)[0]!) });
  gpu.close();
});
