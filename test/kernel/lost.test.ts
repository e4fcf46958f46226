// The GPU goes away: while a model loads, while it writes a reply, while it waits; and the model is reloaded.

import { expect, test } from 'vitest';
import type { SourceLike } from '../../src/formats/open-source.ts';
import { openGpu } from '../../src/gpu/device.ts';
import { type LoadOptions, loadModel, type Model } from '../../src/index.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const files = memorySource({ ...tinyFiles(tinyModel('shishu', 7)), ...charTokenizerFiles(131) });
const prompt = Uint32Array.of(3, 1, 4, 1, 5);
const sampling = { maxTokens: 20, ignoreEos: true, temperature: 1, seed: 3 };

/** A model on a device that a test may take away. */
async function fragile(options: LoadOptions = {}, source: SourceLike = files) {
  const { device } = await openGpu();
  return { device, model: await loadModel(source, { device, contextLength: 64, ...options }) };
}

async function reply(model: Model, before = (_: number): void => {}): Promise<number[]> {
  const tokenIds: number[] = [];
  for await (const { tokenId } of model.generate(prompt, sampling)) {
    tokenIds.push(tokenId);
    before(tokenIds.length);
  }
  return tokenIds;
}

test('a reply that loses its GPU rejects by code; reload goes on with the same model', async () => {
  const { device, model } = await fragile();
  await model.setModes({ 1: 'skip' });
  const whole = await reply(model);
  const { bytes, modes } = model.info;
  await expect(reply(model, (tokens) => tokens === 3 && device.destroy())).rejects.toMatchObject({
    name: 'ShishuError',
    code: 'device-lost',
    mend: expect.stringContaining('reload()'),
  });
  for (const call of [() => reply(model), () => model.score([1, 2]), () => model.logits([1, 2])])
    await expect(call()).rejects.toMatchObject({ code: 'device-lost' });

  const phases = new Set<string>();
  await model.reload({ onProgress: ({ phase }) => phases.add(phase) });
  expect([...phases]).toEqual(['read', 'compile', 'ready']);
  expect(await reply(model)).toEqual(whole);
  expect(model.info).toMatchObject({ bytes, modes });
  // The conversation's tokens are kept as before.
  const again = model.generate(Uint32Array.of(...prompt, ...whole, 7), { maxTokens: 1 });
  await again.next();
  const { value } = await again.next();
  expect(value).toMatchObject({ usage: { cachedTokens: prompt.length + whole.length - 1 } });
  await model.dispose();
  expect(() => model.info).toThrow('disposed');
});

test('a GPU that goes while the model loads fails the load', async () => {
  const { device } = await openGpu();
  const onProgress = (): void => device.destroy();
  await expect(loadModel(files, { device, onProgress })).rejects.toMatchObject({ code: 'device-lost' });
});

test('reload does nothing without a loss, loads once for two calls, and may fail and be called again', async () => {
  let reads = 0;
  let broken = false;
  const source: SourceLike = {
    read(file, start, end) {
      if (file === 'config.json') reads++;
      if (broken) throw new Error('no network');
      return files.read(file, start, end);
    },
    size: (file) => files.size(file),
  };
  const { device, model } = await fragile({}, source);
  await model.reload();
  expect(reads).toBe(1);
  const whole = await reply(model);
  device.destroy();
  await device.lost;
  broken = true;
  await expect(model.reload()).rejects.toMatchObject({ code: 'io' });
  await expect(reply(model)).rejects.toMatchObject({ code: 'device-lost' });
  broken = false;
  reads = 0;
  await Promise.all([model.reload(), model.reload()]);
  expect(reads).toBe(1);
  expect(await reply(model)).toEqual(whole);
  await model.dispose();
});

test('a reply that nobody reads on does not hold up the reloaded model, and ends by itself', async () => {
  const { device, model } = await fragile();
  const stuck = model.generate(prompt, sampling);
  await stuck.next();
  device.destroy();
  await device.lost;
  await model.reload();
  expect((await reply(model)).length).toBe(sampling.maxTokens);
  await expect(stuck.next()).rejects.toMatchObject({ code: 'device-lost' });
  await model.dispose();
});
