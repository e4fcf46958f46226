// Kernels that are made to compute wrongly are found when a model loads, and plainer ones take their place.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { randomTokens, type TinyModelName, tinyFiles, tinyModel } from '../support/tiny-models.ts';
import { forGpus, forSoftware } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** Changes a shader's text on its way to the GPU. */
type Spoil = (code: string, shader: string) => string;

const sound: Spoil = (code) => code;

/** Loads a model on a device whose shaders are spoilt. */
async function load(
  name: TinyModelName,
  spoil: Spoil,
  options: LoadOptions = {},
  tuning: Partial<Tuning> = forGpus,
) {
  const warnings: string[] = [];
  const { device } = gpu;
  const spoilt = new Proxy(device, {
    get(target, key) {
      if (key === 'createShaderModule')
        return ({ label = '', code }: GPUShaderModuleDescriptor) =>
          device.createShaderModule({ label, code: spoil(code, label) });
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const files = { ...tinyFiles(tinyModel(name, 7)), ...charTokenizerFiles(64) };
  const warn = (message: string): void => void warnings.push(message);
  const loading = loadModel(
    memorySource(files),
    { device: spoil === sound ? device : spoilt, contextLength: 64, warn, ...options },
    { tuning },
  );
  return { model: await loading, warnings };
}

/** A text for one that must be there. */
const instead =
  (from: string, to: string, where = (_: string): boolean => true): Spoil =>
  (code, shader) =>
    where(shader) ? code.replaceAll(from, to) : code;

describe('a sound GPU', () => {
  test.each<TinyModelName>(['llama-untied-bias', 'linear-rank'])(
    '%s passes, with the kernels of GPUs and the plain ones',
    async (name) => {
      for (const tuning of [forGpus, forSoftware]) {
        const { model, warnings } = await load(name, sound, {}, tuning);
        expect(model.info.selfTest).toMatchObject({ kernels: 'usual', wrong: [] });
        expect(warnings).toEqual([]);
        const { scratch } = model.info.bytes;
        await model.dispose();
        const { model: untested } = await load(name, sound, { selfTest: false }, tuning);
        expect(untested.info.selfTest).toEqual({ kernels: 'off', wrong: [], ms: 0 });
        // What the test takes, it gives back.
        expect(untested.info.bytes.scratch).toBe(scratch);
        await untested.dispose();
      }
    },
  );

  test.each<LoadOptions>([
    { dtype: 'q4', kv: 'f16' },
    { contextLength: 1 },
    { batch: 2 },
    { batch: 4, contextLength: 2 },
  ])('%o passes', async (options) => {
    for (const tuning of [forGpus, forSoftware]) {
      const { model } = await load('linear', sound, options, tuning);
      expect(model.info.selfTest).toMatchObject({ kernels: 'usual', wrong: [] });
      await model.dispose();
    }
  });
});

describe('a GPU that computes wrongly', () => {
  const cases: [string, Spoil, RegExp, TinyModelName?][] = [
    ['matvec', instead('sums[0] += dots(', 'sums[0] += 0.9 * dots('), /decode, block 0: qkv \(matvec\)/],
    [
      'matmul',
      instead('t2 += x_tile[xi + 2u] * wv', 't2 += x_tile[xi + 1u] * wv'),
      /prompt, block 0: gate and up \(matmul\)/,
    ],
    [
      'attention_decode',
      instead('exp(', 'exp(0.5 * ', (shader) => shader === 'attention_decode'),
      /decode, block 0: attention \(attention_decode\)/,
    ],
    [
      'argmax',
      instead('better(best, Best(z[j], 4u * i + j))', 'better(best, Best(-z[j], 4u * i + j))'),
      /decode: argmax \(argmax\)/,
    ],
    ['norm', instead('* gain * scale', '* gain * 1.05 * scale'), /prompt, block 0: qkv norm \(norm\)/],
    ['rope', instead('value *= scale', 'value *= 1.05 * scale'), /decode, block 0: rope \(rope\)/, 'qwen3'],
    [
      'attention_tiled',
      instead('a0 + w0.x * v[0]', 'a0 + 0.9 * w0.x * v[0]'),
      /prompt, block 0: attention \(attention_tiled\)/,
    ],
  ];
  test.each(cases)(
    '%s spoilt is found, and plain kernels that are sound give the right logits',
    async (shader, spoil, named, name = 'llama') => {
      let hit = 0;
      // Plain kernels have one lane, and are left alone.
      const once: Spoil = (code, label) => {
        if (/const LANES: u32 = 1u|const WG: u32 = (4|16)u/.test(code)) return code;
        const changed = spoil(code, label);
        if (changed !== code) hit++;
        return changed;
      };
      const { model, warnings } = await load(name, once);
      expect(hit, shader).toBeGreaterThan(0);
      const { selfTest } = model.info;
      expect(selfTest.kernels).toBe('plain');
      expect(selfTest.wrong.join()).toMatch(named);
      expect(warnings.join()).toContain(selfTest.wrong[0]);
      const tokens = randomTokens(model.info.spec, 9, 3);
      const found = await model.logits(tokens);
      await model.dispose();
      const { model: usual } = await load(name, sound);
      const expected = await usual.logits(tokens);
      await usual.dispose();
      const apart = found.map((value, i) => Math.abs(value - expected[i]!));
      expect(Math.max(...apart)).toBeLessThan(1e-3);
    },
  );

  test('in batches alone: that is found where the model decodes them', async () => {
    // Every row reads the first, in the usual kernels for few rows of x.
    const spoil: Spoil = (code) =>
      /const TOKENS: u32 = 4u/.test(code) && !/const LANES: u32 = 1u/.test(code)
        ? code.replace(/const X_STRIDE4: u32 = \d+u/, 'const X_STRIDE4: u32 = 0u')
        : code;
    const { model } = await load('llama', spoil, { batch: 2 });
    expect(model.info.selfTest.kernels).toBe('plain');
    expect(model.info.selfTest.wrong.join()).toMatch(/few rows, block 0: .*few rows: logits/);
    expect(model.info.selfTest.wrong.join()).not.toMatch(/prompt|decode/);
    await model.dispose();
    const { model: alone } = await load('llama', spoil);
    expect(alone.info.selfTest.kernels).toBe('usual');
    await alone.dispose();
  });

  test('in the plain kernels too: an error that names GPU and kernel, and nothing left', async () => {
    const spoil = instead('sums[0] += dots(', 'sums[0] += 0.9 * dots(');
    await expect(load('llama', spoil)).rejects.toMatchObject({
      code: 'self-test',
      details: { adapter: gpu.name, kernel: expect.stringMatching(/block 0/) },
      mend: expect.stringContaining('driver'),
    });
    // The embedding has no plainer kernel.
    const embedding = instead('= FACTOR * unit.a', '= 1.001 * unit.a', (shader) => shader === 'embed');
    await expect(load('llama', embedding)).rejects.toMatchObject({
      code: 'self-test',
      details: { kernel: 'prompt: embed (embed)' },
    });
    const { model } = await load('llama', spoil, { selfTest: false });
    expect(model.info.selfTest.kernels).toBe('off');
    await model.dispose();
  });
});
