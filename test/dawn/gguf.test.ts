// A model in a GGUF file on the GPU: the logits of transformers, and those of the same weights in safetensors.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import { specsOf } from '../../src/families/index.ts';
import { checkpointOf, readEntries } from '../../src/formats/checkpoint.ts';
import { openModelPath } from '../../src/formats/node-folder.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import { tensorsOf } from '../../src/model/spec.ts';
import expected from '../fixtures/tiny-llama.json' with { type: 'json' };
import { unpacked } from '../support/fixture-bytes.ts';
import { memorySource } from '../support/memory-source.ts';

const PATH = join(import.meta.dirname, '../fixtures/tiny-llama.gguf');
const JSONS = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json'];
const options: LoadOptions = { kv: 'f32', selfTest: false, contextLength: 128 };
const logits = unpacked(expected.logits);
const relative = (found: Float32Array, right: Float32Array): number => {
  const size = Math.hypot(...right);
  return Math.hypot(...found.map((value, i) => value - right[i]!)) / size;
};

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

async function lastLogits(source: Parameters<typeof loadModel>[0], more: LoadOptions) {
  const model = await loadModel(source, { ...options, ...more, device: gpu.device });
  try {
    return { logits: (await model.logits(expected.tokenIds)).slice(-320), info: model.info };
  } finally {
    await model.dispose();
  }
}

/** The same model as a folder of safetensors. */
async function converted() {
  const source = await openModelPath(PATH);
  const files: Record<string, Uint8Array> = {};
  for (const name of JSONS) files[name] = await source.read(name);
  const [spec] = specsOf(JSON.parse(new TextDecoder().decode(files['config.json'])));
  const checkpoint = checkpointOf(source, await readEntries(source), tensorsOf(spec));
  const tensors = [...checkpoint.tensors].map(async ([name, { dtype, shape }]) => ({
    name,
    dtype,
    shape,
    data: await checkpoint.read(name),
  }));
  files['model.safetensors'] = encodeSafetensors(await Promise.all(tensors));
  return memorySource(files);
}

test('in f32 the logits are those of transformers, and to the bit those of safetensors', async () => {
  const found = await lastLogits(await openModelPath(PATH), { dtype: 'f32' });
  expect(relative(found.logits, logits)).toBeLessThan(1e-5);
  const same = await lastLogits(await converted(), { dtype: 'f32' });
  expect(found.logits).toEqual(same.logits);
});

test('unasked each matrix stays as the file has it, with the values of f32; the rest is said', async () => {
  const told: string[] = [];
  const foretold = await estimate(await openModelPath(PATH), { ...options, device: gpu.device });
  const { info, ...found } = await lastLogits(await openModelPath(PATH), { warn: (text) => told.push(text) });
  expect(info.formats.map(({ dtype }) => dtype)).toEqual(['f32', 'q8', 'bf16', 'q4_1', 'q5']);
  expect(foretold).toMatchObject({ dtype: info.dtype, formats: info.formats, bytes: info.bytes });
  expect(foretold.choices[0]).toMatchObject({ dtype: 'auto', bytes: { weights: info.bytes.weights } });
  expect(foretold.storedBytes).toBeLessThan(readFileSync(PATH).length);
  expect(foretold.storedBytes).toBeGreaterThan(0.7 * readFileSync(PATH).length);
  expect(told.join()).toMatch(/kept in another format: .*Q5_1 as f32/);
  expect(relative(found.logits, logits)).toBeLessThan(0.02);
});

test('progress counts the bytes of the file', async () => {
  const totals = new Set<number>();
  let last = 0;
  await lastLogits(await openModelPath(PATH), {
    dtype: 'f32',
    onProgress({ loadedBytes, totalBytes }) {
      totals.add(totalBytes);
      expect(loadedBytes).toBeGreaterThanOrEqual(last);
      last = loadedBytes;
    },
  });
  expect([...totals]).toEqual([last]);
});
