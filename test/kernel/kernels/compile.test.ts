// Every shader permutation that a model of any family asks for compiles without a word from the compiler.
import { afterAll, expect, test } from 'vitest';
import type { ShaderSpec } from '../../../src/gpu/kernel.ts';
import { readShader } from '../../../src/gpu/shader.ts';
import { defaultTuning, type Tuning } from '../../../src/kernels/tuning.ts';
import { DTYPES } from '../../../src/quant/index.ts';
import { shadersOf } from '../../support/asked-shaders.ts';
import { covers, openTestGpu, variantOf } from '../../support/gpu-features.ts';
import { TINY_MODEL_NAMES } from '../../support/tiny-models.ts';

const gpu = await openTestGpu();
const plainGpu = await variantOf(gpu, { without: ['f16', 'subgroups'] });
covers(gpu, 'f16', 'compiling shaders with shader-f16');
covers(gpu, 'subgroups', 'compiling shaders with subgroups');
afterAll(() => gpu.close());

const forGpus: Tuning = {
  ...defaultTuning(plainGpu),
  matvec: { workgroup: 256, lanes: 64 },
  wide: 'tiled',
  attention: 'cooperative',
  wideAttention: 'tiled',
};
const forSoftware: Tuning = {
  ...defaultTuning(plainGpu),
  matvec: { workgroup: 16, lanes: 1 },
  wide: 'matvec',
  attention: 'direct',
  wideAttention: 'direct',
};

/** What the compiler says of each distinct text: `file:line: message`. */
async function messagesOf(specs: readonly ShaderSpec[]): Promise<{ texts: number; said: string[] }> {
  const all = await Promise.all(specs.map(readShader));
  const texts = new Map(all.map((text, i) => [text.code, { ...text, name: specs[i]!.kernel.name }]));
  const said = await Promise.all(
    [...texts].map(async ([code, { origins, name }]) => {
      const { messages } = await gpu.device.createShaderModule({ code }).getCompilationInfo();
      return messages.map(
        ({ type, lineNum, message }) => `${origins[lineNum - 1] ?? name}: ${type}: ${message}`,
      );
    }),
  );
  return { texts: texts.size, said: said.flat() };
}

test.each(TINY_MODEL_NAMES)('%s', async (name) => {
  const { texts, said } = await messagesOf([
    ...shadersOf(plainGpu, forGpus, name, 'f32', 'f32'),
    ...shadersOf(plainGpu, forSoftware, name, 'f32', 'f16'),
  ]);
  expect(said).toEqual([]);
  expect(texts).toBeGreaterThan(25);
});

test.each(DTYPES.filter((dtype) => dtype !== 'f32'))('weights in %s', async (dtype) => {
  const specs = [gpu, plainGpu].flatMap((on) => [
    ...shadersOf(on, forGpus, 'qwen2', dtype, 'f16'),
    ...shadersOf(on, forSoftware, 'qwen3', dtype, 'f32'),
  ]);
  expect((await messagesOf(specs)).said).toEqual([]);
});

test('sums by subgroups where the lanes fit them', async () => {
  const specs = shadersOf(gpu, forGpus, 'qwen3', 'f32', 'f32');
  const reduces = new Set(specs.map(({ imports }) => imports?.REDUCE));
  expect(reduces.has('reduce_subgroup')).toBe(gpu.features.subgroups);
  expect((await messagesOf(specs)).said).toEqual([]);
});

test('a word of the compiler would be seen', async () => {
  const good = shadersOf(plainGpu, forSoftware, 'llama', 'f32', 'f32')[0]!;
  const { WG: _, ...constants } = good.constants;
  gpu.device.pushErrorScope('validation');
  const { said } = await messagesOf([{ ...good, constants }]);
  await gpu.device.popErrorScope();
  expect(said.join('\n')).toMatch(/embed\.wgsl:\d+: error: .*WG/);
});
