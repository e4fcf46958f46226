// Kernels that are made to compute wrongly are found when a model loads, and plainer ones take their place.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { CHOICE_OF, tunedOf } from '../../src/kernels/fallbacks.ts';
import type { Tuning } from '../../src/kernels/tuning.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
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

/** Few rows on a GPU. */
const lanesWrong = instead('by * sum);', '0.9 * by * sum);', (shader) => shader === 'matvec_lanes');

describe('a GPU that computes wrongly', () => {
  const cases: [string, Spoil, RegExp, TinyModelName?][] = [
    ['matvec_lanes', lanesWrong, /decode, block 0: qkv \(matvec_lanes\)/],
    [
      'matmul',
      instead('(*sums).a2 += p.z * a;', '(*sums).a2 += p.y * a;'),
      /prompt, block 0: gate and up \(matmul\)/,
    ],
    [
      'attention_decode',
      instead('exp(', 'exp(0.5 * ', (shader) => shader === 'attention_decode'),
      /decode, block 0: attention \(attention_decode\)/,
    ],
    [
      'slices',
      instead('best.index, sum)', 'best.index + 1u, sum)', (shader) => shader === 'slices'),
      /decode: slices \(slices\)/,
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
      const { tuning, leftOut } = model.info.kernels;
      expect(leftOut.map(({ kernel }) => kernel)).toEqual(expect.arrayContaining([...selfTest.wrong]));
      // What is sound stays.
      const { [CHOICE_OF[shader]!]: _, ...others } = { vocabulary: 0, ...tunedOf(forGpus as Tuning) };
      const { vocabulary: __, ...kept } = others as Record<string, unknown>;
      expect(tuning).toMatchObject(kept);
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
    const spoil: Spoil = (code, shader) =>
      shader === 'matvec_lanes' && /const TOKENS: u32 = [248]u/.test(code)
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

  test('the next best is taken, and no more is left out than must be', async () => {
    const { model, warnings } = await load('llama', lanesWrong);
    const { tuning, leftOut } = model.info.kernels;
    expect(tuning).toMatchObject({ ...tunedOf(forGpus as Tuning), matvec: { workgroup: 16, lanes: 1 } });
    expect(new Set(leftOut.map(({ variant }) => variant))).toEqual(
      new Set([...(gpu.features.subgroups ? ['subgroups'] : []), 'matvec {"workgroup":256,"lanes":64}']),
    );
    expect(warnings).toEqual([expect.stringContaining('computes wrongly in ')]);
    await model.dispose();
  });

  test('in the plain kernels too: an error that names GPU and kernel, and nothing left', async () => {
    const threadsWrong = instead('sums[0] += dots(', 'sums[0] += 0.9 * dots(');
    const spoil: Spoil = (code, shader) => threadsWrong(lanesWrong(code, shader), shader);
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

describe('a GPU whose compiler refuses', () => {
  /** Refuses texts of a kernel, but for those that are let through. */
  const refuse =
    (kernel: RegExp, through = (_: string): boolean => false): Spoil =>
    (code, shader) =>
      kernel.test(shader) && !through(code) ? `${code}\nfn broken() -> u32 { return 1.5; }` : code;

  test.each([
    ['attention_tiled', { ...forGpus, wideAttention: 'direct' }],
    ['matmul', { ...forGpus, wide: 'matvec' }],
    ['attention_decode', { ...forGpus, attention: 'direct' }],
  ] as const)(
    '%s: another takes its place, with a warning, and replies are right',
    async (kernel, expected) => {
      const { model, warnings } = await load('llama', refuse(new RegExp(`^${kernel}$`)));
      const { tuning, leftOut } = model.info.kernels;
      expect(tuning).toEqual(tunedOf(expected as Tuning));
      // Features of the device that it asks for go first.
      expect(new Set(leftOut.map(({ kernel, why }) => `${why} ${kernel}`))).toEqual(
        new Set([`does not compile ${kernel}`]),
      );
      expect(leftOut.at(-1)!.variant).toContain(CHOICE_OF[kernel]);
      expect(warnings).toEqual([expect.stringContaining(`does not compile ${kernel}`)]);
      expect(model.info.selfTest.kernels).toBe('usual');
      const tokens = randomTokens(model.info.spec, 9, 3);
      const found = await model.logits(tokens);
      await model.dispose();
      const { model: usual } = await load('llama', sound);
      const right = await usual.logits(tokens);
      await usual.dispose();
      expect(Math.max(...found.map((value, i) => Math.abs(value - right[i]!)))).toBeLessThan(1e-3);
    },
  );

  test('subgroups: the kernels without them run', async () => {
    const { model } = await load(
      'llama',
      refuse(/^matvec_lanes$/, (code) => !code.includes('enable subgroups')),
    );
    const { tuning, leftOut } = model.info.kernels;
    expect(tuning).toEqual(tunedOf(forGpus as Tuning));
    expect(leftOut.map(({ variant }) => variant)).toEqual(gpu.features.subgroups ? ['subgroups'] : []);
    await model.dispose();
  });

  test('what draws tokens on a GPU is tried while the model loads', async () => {
    const { model, warnings } = await load('llama', refuse(/^draw$/), { profile: 'gpu' });
    expect(model.info.kernels.leftOut).toEqual([
      { kernel: 'draw', variant: 'vocabulary 256', why: 'does not compile' },
    ]);
    expect(warnings).toEqual([expect.stringContaining('does not compile draw')]);
    expect(model.info.selfTest.kernels).toBe('usual');
    await model.dispose();
  });

  test('when a reply first needs it: the next best takes its place, and the reply is right', async () => {
    const options = { maxTokens: 8, temperature: 0.8, seed: 3, ignoreEos: true };
    const reply = async (spoil: Spoil, tuning = forGpus) => {
      const { model, warnings } = await load('llama', spoil, {}, tuning);
      const tokens = randomTokens(model.info.spec, 9, 3);
      const [{ tokenIds }, other] = await Promise.all([
        resultOf(model.generate(tokens, options)),
        resultOf(model.generate(tokens, { ...options, topK: 5, repetitionPenalty: 1.1 })),
      ]);
      const { leftOut } = model.info.kernels;
      await model.dispose();
      return { tokenIds, others: other.tokenIds, leftOut, warnings };
    };
    const { leftOut, warnings, ...found } = await reply(refuse(/^draw$/));
    expect(leftOut).toEqual([{ kernel: 'draw', variant: 'vocabulary 256', why: 'does not compile' }]);
    expect(warnings).toEqual([expect.stringContaining('does not compile draw')]);
    // The choice is by the threads that draw.
    expect(await reply(sound, { ...forGpus, vocabulary: 16 })).toMatchObject(found);
  });

  test('every variant: an error that names kernel and GPU, and nothing left', async () => {
    await expect(load('llama', refuse(/^matvec/))).rejects.toMatchObject({
      code: 'shader',
      message: expect.stringContaining(gpu.name),
      details: { adapter: gpu.name, shader: 'matvec' },
      mend: expect.stringContaining('driver'),
    });
  });
});
