// What `auto` keeps: weights as f16 where f16 holds them, the KV cache by the profile; foretold, and as it then is.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { GenerateChunk, LoadOptions, LoadProgress } from '../../src/engine/types.ts';
import type { ShishuError } from '../../src/errors.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { referenceLogits } from '../reference/forward.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import {
  randomTokens,
  roundedTo,
  type TinyDtype,
  type TinyModel,
  type TinyModelName,
  tinyFiles,
  tinyModel,
} from '../support/tiny-models.ts';
import { forSoftware } from '../support/tunings.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const sourceOf = (model: TinyModel, stored: TinyDtype) =>
  memorySource({ ...tinyFiles(model, stored), ...charTokenizerFiles(64) });

/** A tiny model whose tensor has been changed. */
function changed(
  name: TinyModelName,
  tensor: string,
  change: (value: number, at: number) => number,
): TinyModel {
  const model = tinyModel(name, 7);
  const { shape, data } = model.tensors.get(tensor)!;
  model.tensors.set(tensor, { shape, data: data.map(change) });
  return model;
}

describe('what loading takes is what was foretold', () => {
  test.each<[TinyDtype, LoadOptions, string, string]>([
    ['BF16', {}, 'f16', 'f32'],
    ['F16', {}, 'f16', 'f32'],
    ['F32', {}, 'f32', 'f32'],
    ['BF16', { profile: 'gpu' }, 'f16', 'f16'],
    ['BF16', { profile: 'gpu', kv: 'f32', dtype: 'f32', batch: 2 }, 'f32', 'f32'],
    ['BF16', { kv: 'f16', dtype: 'auto' }, 'f16', 'f16'],
    ['BF16', { kv: 'auto', dtype: 'q8' }, 'q8', 'f32'],
    ['BF16', { profile: 'software', kv: 'auto', dtype: 'q4' }, 'q4', 'f32'],
  ])('stored as %s, %o: weights %s, KV %s', async (stored, options, dtype, kv) => {
    const own: LoadOptions = { profile: 'software', ...options, device: gpu.device, contextLength: 48 };
    const source = sourceOf(tinyModel('shishu', 7), stored);
    const foretold = await estimate(source, own);
    const model = await loadModel(source, { ...own, selfTest: false, tune: false });
    const { info } = model;
    await model.dispose();
    expect(info).toMatchObject({ dtype, kv, f32Tensors: [] });
    expect(foretold).toMatchObject({ dtype, kv, bytes: info.bytes });
    // K and V of three attention blocks, two KV heads of twelve values.
    expect(info.bytes.kv).toBe((own.batch ?? 1) * 48 * 2 * 3 * 2 * 12 * (kv === 'f16' ? 2 : 4));
  });

  test('of a checkpoint that stores some tensors as F32, those stay so', async () => {
    const bf16 = tinyFiles(tinyModel('shishu', 7), 'BF16', 64);
    const f32 = tinyFiles(tinyModel('shishu', 7), 'F32', 64);
    // Each tensor has a shard of its own.
    const map = JSON.parse(new TextDecoder().decode(bf16['model.safetensors.index.json'])).weight_map;
    const tensor = 'model.layers.1.self_attn.o_proj.weight';
    const source = memorySource({ ...bf16, [map[tensor]]: f32[map[tensor]]!, ...charTokenizerFiles(64) });
    const own: LoadOptions = { device: gpu.device, contextLength: 48, profile: 'software' };
    const foretold = await estimate(source, own);
    const model = await loadModel(source, own);
    expect(model.info).toMatchObject({ dtype: 'f16', f32Tensors: [tensor], bytes: foretold.bytes });
    await model.dispose();
  });
});

const OUT = 'model.layers.1.self_attn.o_proj.weight';
const QKV = ['q', 'k', 'v'].map((part) => `model.layers.0.self_attn.${part}_proj.weight`);

describe('a BF16 tensor that f16 does not hold stays f32, and its like with it', () => {
  test.each<[string, string, (value: number, at: number) => number, string[]]>([
    ['one value past f16', OUT, (value, at) => (at === 5 ? 70000 : value), [OUT]],
    ['values below what f16 tells apart', OUT, (value) => value * 1e-6, [OUT]],
    ['one value in a matrix of three', QKV[2]!, (value, at) => (at === 3 ? -1e5 : value), QKV],
    [
      'one value in a tied table',
      'model.embed_tokens.weight',
      (value, at) => (at === 7 ? 1e5 : value),
      ['model.embed_tokens.weight'],
    ],
  ])('%s', async (_, tensor, change, f32Tensors) => {
    const tiny = roundedTo(changed('llama', tensor, change), 'BF16');
    const warnings: string[] = [];
    const model = await loadModel(sourceOf(tiny, 'BF16'), {
      device: gpu.device,
      contextLength: 32,
      warn: (message) => void warnings.push(message),
    });
    try {
      expect(model.info).toMatchObject({ dtype: 'f16', f32Tensors });
      expect(warnings).toEqual([expect.stringContaining(tensor)]);
      const tokens = randomTokens(tiny.spec, 9, 4);
      const found = await model.logits(tokens);
      const expected = referenceLogits(tiny.spec, tiny.tensors, tokens);
      const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (const [i, value] of found.entries())
        expect(Math.abs(value - expected[i]!)).toBeLessThan(2e-4 * largest);
    } finally {
      await model.dispose();
    }
  });

  test('asked for as f16, it is an error that offers auto', async () => {
    const tiny = changed('llama', OUT, (value, at) => (at === 5 ? 70000 : value));
    const options: LoadOptions = { device: gpu.device, contextLength: 32, dtype: 'f16' };
    await expect(loadModel(sourceOf(tiny, 'BF16'), options)).rejects.toMatchObject({
      code: 'bad-checkpoint',
      details: { tensor: OUT },
      mend: expect.stringContaining("'auto'"),
    });
  });

  test('what that takes must fit too', async () => {
    const tiny = changed('llama', OUT, (value, at) => (at === 5 ? 70000 : value));
    const source = sourceOf(tiny, 'BF16');
    const own: LoadOptions = { device: gpu.device, contextLength: 32 };
    const { bytes } = await estimate(source, own);
    await expect(loadModel(source, { ...own, memoryLimit: bytes.total, warn() {} })).rejects.toMatchObject({
      code: 'does-not-fit',
    });
  });
});

describe('keys and values past f16', () => {
  const huge = (part: 'k' | 'v', layer: number) =>
    changed('llama', `model.layers.${layer}.self_attn.${part}_proj.weight`, (value) => value * 1e6);

  test.each([
    ['k', 'key'],
    ['v', 'value'],
  ] as const)('%s: asked for as f16, they are named when the model loads', async (part, what) => {
    const options: LoadOptions = { device: gpu.device, contextLength: 32, kv: 'f16' };
    await expect(loadModel(sourceOf(huge(part, 0), 'F32'), options)).rejects.toMatchObject({
      code: 'unsupported',
      details: { what, kv: 'f16' },
      message: expect.stringMatching(new RegExp(`A ${what} is \\d{5,}.*kv: 'f32'`)),
    });
  });

  test('of a model that normalises them, too', async () => {
    const tiny = changed('qwen3', 'model.layers.0.self_attn.k_norm.weight', (value) => value * 1e6);
    const options: LoadOptions = { device: gpu.device, contextLength: 32, kv: 'f16' };
    await expect(loadModel(sourceOf(tiny, 'F32'), options)).rejects.toMatchObject({
      code: 'unsupported',
      details: { what: 'key' },
    });
  });

  test.each(['k', 'v'] as const)(
    '%s: of a block that no test looks at, when a text has them',
    async (part) => {
      const tiny = huge(part, 2);
      const model = await loadModel(sourceOf(tiny, 'F32'), {
        device: gpu.device,
        contextLength: 32,
        kv: 'f16',
      });
      try {
        const tokens = Uint32Array.from(randomTokens(tiny.spec, 5, 4));
        for (let again = 0; again < 2; again++) {
          await expect(model.generate(tokens, { maxTokens: 3 }).next()).rejects.toMatchObject({
            code: 'unsupported',
          });
          await expect(model.score([...tokens])).rejects.toMatchObject({ code: 'unsupported' });
        }
      } finally {
        await model.dispose();
      }
    },
  );

  test('of two calls at once, it is an error of the one that has them', async () => {
    // So large that the values of some tokens are past f16, and those of others are not.
    const tensor = 'model.layers.2.self_attn.v_proj.weight';
    const tiny = changed('llama', tensor, (value) => value * 34_000);
    const options: LoadOptions = { device: gpu.device, contextLength: 32, kv: 'f16', batch: 2 };
    const model = await loadModel(sourceOf(tiny, 'F32'), options);
    const outcome = async (token: number): Promise<string> => {
      const stream = model.generate(Uint32Array.of(token), { maxTokens: 1, ignoreEos: true });
      try {
        const { value } = await stream.next();
        return String((value as GenerateChunk).tokenId);
      } catch (error) {
        return (error as ShishuError).code;
      } finally {
        await stream.return(undefined as never);
      }
    };
    try {
      const tokens = randomTokens(tiny.spec, 16, 8);
      const alone: string[] = [];
      for (const token of tokens) alone.push(await outcome(token));
      const failing = alone.filter((code) => code === 'unsupported').length;
      expect(failing).toBeGreaterThan(2);
      expect(failing).toBeLessThan(14);
      for (const [i, token] of tokens.entries()) {
        const other = (i + 1) % tokens.length;
        const found = await Promise.all([outcome(token), outcome(tokens[other]!)]);
        expect(found, `tokens ${i} and ${other}`).toEqual([alone[i], alone[other]]);
      }
    } finally {
      await model.dispose();
    }
  });

  test('left to auto on a GPU, the cache becomes f32, with a warning', async () => {
    const tiny = huge('k', 0);
    const warnings: string[] = [];
    const own: LoadOptions = { device: gpu.device, contextLength: 32, tune: false, profile: 'gpu' };
    const light = { tuning: forSoftware };
    const warn = (message: string): void => void warnings.push(message);
    const model = await loadModel(sourceOf(tiny, 'F32'), { ...own, warn }, light);
    try {
      expect(model.info.kv).toBe('f32');
      expect(model.info.bytes).toEqual(
        (await estimate(sourceOf(tiny, 'F32'), { ...own, kv: 'f32' }, light)).bytes,
      );
      expect(warnings).toEqual([expect.stringMatching(/A key is \d+.*It is f32 instead\./)]);
      const { nll } = await model.score(randomTokens(tiny.spec, 9, 4));
      expect(nll).toBeGreaterThan(0);
      expect(Number.isFinite(nll)).toBe(true);
    } finally {
      await model.dispose();
    }
  });
});

test('progress tells how many kernels are compiled, of how many', async () => {
  const own = await openGpu();
  try {
    const told: LoadProgress[] = [];
    const model = await loadModel(sourceOf(tinyModel('llama', 7), 'F32'), {
      device: own.device,
      contextLength: 32,
      onProgress: (progress) => void told.push(progress),
    });
    await model.dispose();
    const counts = told.map(({ kernels }) => kernels);
    for (const [i, { compiled, total }] of counts.entries()) {
      expect(compiled).toBeLessThanOrEqual(total);
      expect(compiled).toBeGreaterThanOrEqual(counts[i - 1]?.compiled ?? 0);
    }
    const last = told.at(-1)!;
    expect(last.phase).toBe('ready');
    expect(last.kernels.compiled).toBe(last.kernels.total);
    expect(last.kernels.total).toBeGreaterThan(5);
    expect(told.some(({ phase, kernels }) => phase === 'compile' && kernels.compiled > 0)).toBe(true);
  } finally {
    own.close();
  }
});
