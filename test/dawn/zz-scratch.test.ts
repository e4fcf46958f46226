import { expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import { openModelPath } from '../../src/formats/node-folder.ts';
import expected from '../fixtures/smollm2-score.json' with { type: 'json' };

test('figures', async () => {
  for (const name of (process.env.FILES ?? '').split(','))
    for (const dtype of ['auto', 'f32'] as const) {
      const at = performance.now();
      const model = await loadModel(await openModelPath(name), {
        dtype,
        kv: 'f32',
        contextLength: 256,
        selfTest: false,
        warn: (m) => console.info(m),
      });
      const loaded = performance.now() - at;
      const { nll } = await model.score(expected.tokenIds);
      const { info } = model;
      console.info(
        name.split('/').at(-1),
        dtype,
        nll,
        expected.gguf.nll,
        JSON.stringify(info.formats),
        info.bytes.weights,
        info.dispatchesPerToken,
        JSON.stringify(info.selfTest),
        Math.round(loaded),
      );
      await model.dispose();
    }
  expect(1).toBe(1);
}, 600_000);
