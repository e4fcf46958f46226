// The GPU goes away under a model in a worker.
import { expect, test } from 'vitest';
import { loadModel } from '../../src/index.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const files = memorySource({ ...tinyFiles(tinyModel('shishu', 7)), ...charTokenizerFiles(131) });

test('a reply in a worker rejects by code; reload goes on with the same model', async () => {
  const worker = new Worker(new URL('../support/losing-worker.ts', import.meta.url), { type: 'module' });
  try {
    const model = await loadModel(files, { worker, contextLength: 64 });
    const reply = async (before = (_: number): void => {}): Promise<string> => {
      let text = '';
      let tokens = 0;
      const options = { maxTokens: 40, ignoreEos: true };
      for await (const chunk of model.generate(Uint32Array.of(3, 1, 4), options)) {
        text += chunk.text;
        before(++tokens);
      }
      return text;
    };
    const whole = await reply();
    await expect(reply((tokens) => tokens === 2 && worker.postMessage('lose'))).rejects.toMatchObject({
      name: 'ShishuError',
      code: 'device-lost',
    });
    const { bytes } = model.info;
    await model.reload();
    expect(model.info.bytes).toEqual(bytes);
    expect(await reply()).toBe(whole);
    await model.dispose();
  } finally {
    worker.terminate();
  }
});
