// What a model will take, foretold from headers, against what it takes.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import type { SourceLike } from '../../src/formats/open-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { countingDevice } from '../support/counting-device.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const files = { ...tinyFiles(tinyModel('shishu', 7)), ...charTokenizerFiles() };

/** The model, counting the bytes that are read of its weights. */
function counted(): { source: SourceLike; read: () => number } {
  const memory = memorySource(files);
  let bytes = 0;
  const source: SourceLike = {
    async read(file, start, end, signal) {
      const found = await memory.read(file, start, end, signal);
      if (file.endsWith('.safetensors')) bytes += found.length;
      return found;
    },
    size: (file) => memory.size(file),
  };
  return { source, read: () => bytes };
}

describe('estimate', () => {
  test.each<LoadOptions>([
    {},
    { dtype: 'f16', kv: 'f16', contextLength: 33, batch: 3 },
    { dtype: 'q8', contextLength: 64 },
    { dtype: 'q8', batch: 2, profile: 'gpu' },
    { dtype: 'q8', batch: 2, profile: 'software' },
    { dtype: 'q4', kv: 'f16', contextLength: 1 },
  ])('%o takes what was foretold', async (options) => {
    const { source, read } = counted();
    const foretold = await estimate(source, { device: gpu.device, ...options });
    expect(read()).toBeLessThan(foretold.storedBytes / 4);
    const model = await loadModel(memorySource(files), { device: gpu.device, ...options });
    const { info } = model;
    await model.dispose();
    expect(foretold).toMatchObject({
      bytes: info.bytes,
      dtype: info.dtype,
      kv: info.kv,
      contextLength: info.contextLength,
      parameters: info.parameters,
      adapter: { name: info.adapter, bufferBytes: gpu.limits.binding },
      profile: info.profile,
      fits: true,
    });
    expect(foretold.choices.map(({ dtype }) => dtype)).toEqual(['f32', 'f16', 'q8', 'q4']);
  });

  test('a model that needs more than memoryLimit is refused before its weights are read', async () => {
    const whole = await estimate(memorySource(files), { device: gpu.device });
    const memoryLimit = whole.bytes.total - 1;
    const less = await estimate(memorySource(files), { device: gpu.device, memoryLimit });
    expect(less.fits).toBe(false);
    expect(less.reason).toContain(String(memoryLimit));
    const { source, read } = counted();
    await expect(loadModel(source, { device: gpu.device, memoryLimit })).rejects.toMatchObject({
      code: 'does-not-fit',
      details: { total: whole.bytes.total, limit: memoryLimit },
    });
    expect(read()).toBeLessThan(whole.storedBytes / 4);

    const choice = less.choices.find(({ dtype }) => dtype === 'q8')!;
    const model = await loadModel(memorySource(files), { device: gpu.device, memoryLimit, ...choice });
    expect(model.info.bytes).toEqual(choice.bytes);
    await model.dispose();
    await expect(loadModel(source, { device: gpu.device, memoryLimit: 0 })).rejects.toMatchObject({
      code: 'bad-argument',
    });
  });

  test.each<LoadOptions>([{}, { dtype: 'q4', kv: 'f16', batch: 2 }])(
    '%o never takes more than the peak',
    async (options) => {
      const taken = { gpu: 0, gpuMost: 0, page: 0, pageMost: 0 };
      const { device } = gpu;
      const counting = countingDevice(device, (size) => {
        taken.gpu += size;
        taken.gpuMost = Math.max(taken.gpuMost, taken.gpu);
      });
      const memory = memorySource(files);
      const source: SourceLike = {
        async read(file, start = 0, end = 0, signal) {
          taken.page += end - start;
          taken.pageMost = Math.max(taken.pageMost, taken.page);
          const bytes = await memory.read(file, start, end || undefined, signal);
          taken.page -= end - start;
          return bytes;
        },
        size: (file) => memory.size(file),
      };
      const { peak, bytes } = await estimate(memorySource(files), { device, ...options });
      const model = await loadModel(source, { device: counting, ...options });
      expect(taken.gpu).toBe(bytes.total);
      expect(taken.gpuMost).toBeGreaterThanOrEqual(bytes.total);
      expect(taken.gpuMost).toBeLessThanOrEqual(peak.gpu);
      expect(taken.pageMost).toBeGreaterThan(0);
      expect(taken.pageMost).toBeLessThanOrEqual(peak.page);
      await model.dispose();
      expect(taken.gpu).toBe(0);
    },
  );

  test('a buffer that the GPU cannot bind is named', async () => {
    const limits = { binding: 8192 };
    const { fits, reason, largestBuffer, choices } = await estimate(
      memorySource(files),
      { device: gpu.device, contextLength: 96 },
      { limits },
    );
    expect(fits).toBe(false);
    expect(largestBuffer.bytes).toBeGreaterThan(8192);
    expect(reason).toContain(largestBuffer.label);
    expect(choices).toEqual([]);
    await expect(loadModel(memorySource(files), { device: gpu.device }, { limits })).rejects.toMatchObject({
      code: 'does-not-fit',
      details: { limit: 8192 },
    });
  });
});
