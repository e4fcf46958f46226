// A real model, where scripts/get-smollm2.py has made it: what `auto` keeps of it, what it thinks of a text, and a chat.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { estimate } from '../../src/engine/estimate.ts';
import type { LoadOptions } from '../../src/engine/types.ts';
import { openFolder, openModelPath } from '../../src/formats/node-folder.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { type Gpu, openGpu } from '../../src/gpu/device.ts';
import expected from '../fixtures/smollm2-score.json' with { type: 'json' };
import { SMOLLM2 } from '../support/smollm2.ts';

describe.runIf(SMOLLM2.runs)(SMOLLM2.name, () => {
  let gpu: Gpu;
  beforeAll(async () => {
    gpu = await openGpu();
  });
  afterAll(() => gpu.close());

  const load = async (options: LoadOptions) =>
    loadModel(await openFolder(SMOLLM2.folder), { device: gpu.device, contextLength: 256, ...options });

  test('a text becomes the tokens that transformers makes of it', async () => {
    const tokenizer = await loadTokenizer(await openFolder(SMOLLM2.folder), 49152);
    expect(tokenizer.encode(expected.text)).toEqual(expected.tokenIds);
  });

  test.each([
    ['as it is', 'auto', ['q4_1', 'q8']],
    ['in f32', 'f32', ['f32']],
    // Its blocks have been in four bits before: these are found.
    ['in q4', 'q4', ['q4', 'q8']],
  ] as const)(
    'its GGUF file: the same ids, and %s the perplexity of transformers',
    async (_, dtype, formats) => {
      const model = await loadModel(await openModelPath(SMOLLM2.gguf()), {
        device: gpu.device,
        contextLength: 256,
        dtype,
        kv: 'f32',
        selfTest: false,
      });
      try {
        expect(model.info.formats.map(({ dtype }) => dtype)).toEqual(formats);
        expect(await model.encode(expected.text)).toEqual(expected.tokenIds);
        const { nll } = await model.score(expected.tokenIds);
        expect(Math.abs(nll - expected.gguf.nll)).toBeLessThan(2e-5);
        const pairs = [
          ['How do I bake bread at home?', 'A recipe for a simple homemade loaf.'],
          ['My cat sleeps on the sofa all afternoon.', 'The kitten was napping on the couch.'],
          ['Stock markets fell sharply after rates rose.', 'Higher rates pushed share prices down.'],
        ].flat();
        const { embeddings } = await model.embed(pairs, { pooling: 'mean' });
        const nearest = embeddings.map((one, i) => {
          const alike = embeddings.map((other, j) =>
            i === j ? -1 : one.reduce((sum, value, k) => sum + value * other[k]!, 0),
          );
          return alike.indexOf(Math.max(...alike));
        });
        expect(nearest).toEqual([1, 0, 3, 2, 5, 4]);
        expect(await model.applyChatTemplate([{ role: 'user', content: 'Hi' }])).toMatch(
          /^<\|im_start\|>system\n.*SmolLM.*<\|im_start\|>user\nHi<\|im_end\|>\n<\|im_start\|>assistant\n$/s,
        );
      } finally {
        await model.dispose();
      }
    },
    300_000,
  );

  test('perplexity in f32 is that of transformers; as f16, with f16 keys and values, it is within 0.1 %', async () => {
    const wide = await load({ dtype: 'f32', kv: 'f32', selfTest: false });
    const { nll } = await wide.score(expected.tokenIds);
    await wide.dispose();
    expect(Math.abs(nll - expected.nll)).toBeLessThan(2e-5);

    // What a GPU gets unasked.
    const options: LoadOptions = { dtype: 'auto', kv: 'f16' };
    const foretold = await estimate(await openFolder(SMOLLM2.folder), {
      device: gpu.device,
      contextLength: 256,
      ...options,
    });
    const model = await load(options);
    try {
      const { info } = model;
      expect(info).toMatchObject({ dtype: 'f16', f32Tensors: [], kv: 'f16', bytes: foretold.bytes });
      // Two bytes a parameter, and the gains of norms in f32.
      expect(info.bytes.weights).toBeLessThan(2.002 * info.parameters);
      const narrow = await model.score(expected.tokenIds);
      expect(Math.abs(Math.exp(narrow.nll - nll) - 1)).toBeLessThan(0.001);

      const question = [{ role: 'user', content: 'What is the capital of France?' }];
      let answer = '';
      for await (const { text } of model.generate(question, { maxTokens: 12 })) answer += text;
      expect(answer).toBe('The capital of France is Paris.');
    } finally {
      await model.dispose();
    }
  }, 300_000);
});
