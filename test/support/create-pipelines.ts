import { expect } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { allShaders, shaderText } from '../../src/gpu/shader.ts';

await allShaders();

/** What a device must have for it, as WGSL names it. */
export const needs = (spec: ShaderSpec): string[] =>
  [...shaderText(spec).code.matchAll(/^enable (\w+);/gm)].map(([, name]) => name!);

/** Creates pipelines on a device; every one has to be. */
export async function createAll(gpu: Gpu, specs: readonly ShaderSpec[]): Promise<void> {
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
