// A page that loads and frees models all day: nothing stays on the GPU, and the heap does not grow.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { ReadBack } from '../../src/gpu/read-back.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { countingDevice } from '../support/counting-device.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const CYCLES = 100;
/** Caches are warm by then. */
const WARM = 30;
/** Bytes of heap; one leaked model of this size would be 70 times as much over the cycles that count. */
const GROWTH = 3_000_000;

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

/** Bytes that JavaScript holds, of which nothing else can be freed. */
async function heap(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test(`${CYCLES} times a model is loaded, used and freed, every tenth load aborted`, async () => {
  let bytes = 0;
  let buffers = 0;
  const { device } = gpu;
  const counting = countingDevice(device, (size, one) => {
    bytes += size;
    buffers += one;
  });
  const source = memorySource({ ...tinyFiles(tinyModel('llama', 7)), ...charTokenizerFiles(64) });
  const heaps: number[] = [];
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    if (cycle === WARM) heaps.push(await heap());
    const abort = new AbortController();
    const loading = loadModel(source, {
      device: counting,
      contextLength: 64,
      signal: abort.signal,
      onProgress: ({ loadedBytes }) => cycle % 10 === 9 && loadedBytes > 10_000 && abort.abort(),
    });
    if (cycle % 10 === 9) {
      await expect(loading).rejects.toMatchObject({ code: 'aborted' });
    } else {
      const model = await loading;
      expect(bytes).toBeGreaterThanOrEqual(model.info.bytes.total);
      if (cycle % 10 === 0) for await (const _ of model.generate(Uint32Array.of(3, 1), { maxTokens: 2 }));
      await model.dispose();
    }
    expect([buffers, bytes]).toEqual([0, 0]);
  }
  heaps.push(await heap());
  const [warm, end] = heaps as [number, number];
  console.log(`JS heap after ${WARM} loads ${warm}, after ${CYCLES} loads ${end}: ${end - warm} bytes more`);
  expect(end - warm).toBeLessThan(GROWTH);
});

test('a load whose kernels do not compile stops reading, and leaves nothing', async () => {
  let bytes = 0;
  const broken = new Proxy(
    countingDevice(gpu.device, (size) => {
      bytes += size;
    }),
    {
      get(target, key) {
        if (key === 'createShaderModule')
          return (module: GPUShaderModuleDescriptor) =>
            target.createShaderModule(
              // Nothing takes the place of this kernel.
              module.label === 'embed' ? { ...module, code: 'fn' } : module,
            );
        return Reflect.get(target, key, target) as unknown;
      },
    },
  );
  const files = memorySource({ ...tinyFiles(tinyModel('llama', 7)), ...charTokenizerFiles(64) });
  const stopped: unknown[] = [];
  const loading = loadModel(
    {
      size: (file) => files.size(file),
      read: (file, start, end, signal) =>
        file.endsWith('.safetensors') && start! > 8
          ? // Weights that never come: only being told to stop ends the wait.
            new Promise((_, reject) => {
              signal!.addEventListener('abort', () => {
                stopped.push(file);
                reject(signal!.reason);
              });
            })
          : files.read(file, start, end, signal),
    },
    { device: broken, contextLength: 64 },
  );
  await expect(loading).rejects.toMatchObject({ code: 'shader' });
  expect(stopped.length).toBeGreaterThan(0);
  // The device's own, which is read back a few times as it opens.
  await ReadBack.of(broken).measure();
  expect(bytes).toBe(0);
});
