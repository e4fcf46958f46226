// Shaders are put together from files, which are fetched by folders; kept choices of kernels are thrown away when a file changes.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { ShaderSpec } from '../../src/gpu/kernel.ts';
import { allShaders, digestOf, gpuDigest, readShader } from '../../src/gpu/shader.ts';
import { ARGMAX } from '../../src/kernels/sample.ts';
import { defaultTuning } from '../../src/kernels/tuning.ts';
import { TRAIN_SHADERS } from '../../src/train/kernels/texts.ts';
import { shadersOf } from '../support/asked-shaders.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';
import { TINY_MODEL_NAMES } from '../support/tiny-models.ts';

const folder = join(import.meta.dirname, '../../shaders');
const all = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.wgsl'))
  .map((file) => file.replaceAll('\\', '/').slice(0, -'.wgsl'.length))
  .sort();
const names = all.filter((name) => !name.startsWith('train/'));
const texts = await allShaders();

test("every file of shaders/ is there, those of training apart from the engine's", () => {
  expect([...texts.keys()].sort()).toEqual(names);
  const keys = all
    .filter((name) => name.startsWith('train/'))
    .map((name) => name.replace(/^train\/shared/, 'shared'));
  expect([...TRAIN_SHADERS.keys()].sort()).toEqual(keys.sort());
  // Training's own, whose loops have a constant number of turns, take the place of these two of the engine's, and of no others.
  expect(keys.filter((key) => texts.has(key))).toEqual(['shared/reduce_shared', 'shared/reduce_subgroup']);
});

// WGSL has it, but naga, the compiler of Firefox, refuses it to four halves and splats one f32 where it is to two.
test.each([...texts, ...TRAIN_SHADERS])('%s casts no bits to f16', (_, text) => {
  expect(text).not.toMatch(/bitcast\s*<\s*(vec\d\s*<\s*f16|vec\dh|f16)/);
});

test.each(names)('a change of %s changes the digest', (name) => {
  const changed = new Map(texts).set(name, `${texts.get(name)} `);
  expect(digestOf(changed)).not.toBe(digestOf(texts));
  const without = new Map(texts);
  without.delete(name);
  expect(digestOf(without)).not.toBe(digestOf(texts));
});

/** The module as a page has it that has fetched nothing. */
async function fresh(): Promise<typeof import('../../src/gpu/shader.ts')> {
  vi.resetModules();
  return import('../../src/gpu/shader.ts');
}

/** Whether it is of a feature: adapters, log-probabilities, penalties, norms of q and k. */
const featuresOf = ({ kernel, imports = {} }: ShaderSpec): boolean =>
  kernel.folder === 'features' || Object.values(imports).some((name) => name.startsWith('features/'));

describe('what is fetched by need', () => {
  test('is fetched once it is asked for', async () => {
    const { readShader: read, shaderText } = await fresh();
    const spec = { kernel: ARGMAX, constants: { WG: 16, VOCAB: 260, STRIDE4: 80 } };
    expect(() => shaderText(spec)).toThrow('plain/');
    expect(await read(spec)).toEqual(await readShader(spec));
    expect(shaderText(spec)).toEqual(await readShader(spec));
    await expect(read({ ...spec, kernel: { ...ARGMAX, name: 'argmin' } })).rejects.toMatchObject({
      code: 'shader',
      message: 'There is no shader plain/argmin.wgsl.',
    });
  });

  test('does not change the digest by which choices are kept', async () => {
    const { gpuDigest: digest, allShaders: all } = await fresh();
    const before = await digest();
    await all();
    expect(await digest()).toBe(before);
    expect(await gpuDigest()).toBe(before);
  });

  test.each([
    ['software', 'plain'],
    ['gpu', 'gpu'],
  ] as const)('for models of f32 and f16 with the profile %s: %s/ alone', async (profile, only) => {
    const { fetchShaders, shaderText } = await fresh();
    await fetchShaders(only);
    const gpus = [
      paperGpu(adapterOf(profile, false)),
      paperGpu(adapterOf(profile, true, { min: 8, max: 64 })),
      paperGpu(adapterOf(profile, true, { min: 32, max: 32 })),
    ];
    for (const gpu of gpus)
      for (const name of TINY_MODEL_NAMES)
        for (const dtype of ['f32', 'f16'] as const)
          for (const spec of shadersOf(gpu, defaultTuning(gpu), name, dtype, dtype))
            if (!featuresOf(spec)) expect(shaderText(spec).code).toContain('@compute');
  });
});
