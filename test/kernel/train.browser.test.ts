// The training module in a page: the same code as in Node.
import { afterAll, expect, it } from 'vitest';
import { chatAt, toyCorpus } from '../../demo/corpus/chats.ts';
import { shapeSpec } from '../../src/bench/models.ts';
import { BatchStream } from '../../src/train/batches.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { chatData } from '../../src/train/chat-corpus.ts';
import { END } from '../../src/train/chat-format.ts';
import { initialWeights } from '../../src/train/initial.ts';
import { run, type TrainingModel } from '../../src/train/run.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { openTestGpu } from '../support/gpu-features.ts';

const sizes = { layers: 2, hidden: 32, ffn: 64, heads: 2, kvHeads: 1, vocab: 320 };
const parent = shapeSpec(sizes, [2, 0, 0, 0]);
const child = shapeSpec(sizes, [1, 2, 1, 0]);
const STEPS = 30;
const shape = { rows: 4, length: 64 };
let models: TrainingModel[];

afterAll(() => {
  for (const { trainer } of models) trainer.dispose();
});

it('trains parent and child side by side in a page: the loss of both falls', async () => {
  const texts = Array.from({ length: 200 }, (_, i) =>
    chatAt(1, i)
      .turns.map(({ content }) => content)
      .join(' '),
  );
  const bpe = Bpe.train(texts, sizes.vocab);
  const schedule = { steps: STEPS, learningRate: 0.01, warmUp: 5 };
  const gpu = await openTestGpu();
  models = [];
  for (const [i, spec] of [parent, child].entries()) {
    const start = { weights: initialWeights(spec, 1) };
    const trainer = await Trainer.create(gpu, spec, start, {
      schedule,
      rows: shape.rows,
      length: shape.length,
    });
    models.push({ name: `${i}`, trainer, curve: [] });
  }
  const stream = new BatchStream(chatData(toyCorpus, 1).training(bpe), { ...shape, pad: bpe.id(END) });
  const state = await run(models, { steps: STEPS, stream, every: 10 });
  expect(state.tokens).toBeGreaterThan(STEPS * 200);
  for (const { curve } of models) {
    expect(curve.map(({ step }) => step)).toEqual([10, 20, 30]);
    expect(curve[0]!.loss).toBeGreaterThan(4);
    expect(curve[2]!.loss).toBeLessThan(0.8 * curve[0]!.loss);
  }
});
