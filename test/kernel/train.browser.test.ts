// The training module in a page: the same code as in Node, on jax-js's wasm backend.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chatAt, toyCorpus } from '../../demo/corpus/chats.ts';
import { specOf } from '../../src/families/index.ts';
import { BatchStream } from '../../src/train/batches.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { chatData } from '../../src/train/chat-corpus.ts';
import { END } from '../../src/train/chat-format.ts';
import { initialWeights } from '../../src/train/model.ts';
import { run, type TrainingModel } from '../../src/train/run.ts';
import { startJax, Trainer } from '../../src/train/trainer.ts';

const sizes = {
  hidden_size: 32,
  intermediate_size: 64,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 320,
  tie_word_embeddings: true,
};
const parent = specOf({ ...sizes, model_type: 'llama', num_hidden_layers: 2 });
const child = specOf({
  ...sizes,
  model_type: 'shishu-llama',
  num_decoder_front: 1,
  num_mlp: 2,
  num_mlp_shared: 1,
});
const STEPS = 30;
const shape = { rows: 4, length: 64 };
let models: TrainingModel[];

beforeAll(() => startJax());
afterAll(() => {
  for (const { trainer } of models) trainer.dispose();
});

it('trains parent and child side by side in a page: the loss of both falls', async () => {
  const texts = Array.from({ length: 200 }, (_, i) =>
    chatAt(1, i)
      .turns.map(({ content }) => content)
      .join(' '),
  );
  const bpe = Bpe.train(texts, sizes.vocab_size);
  const schedule = { steps: STEPS, learningRate: 0.01, warmUp: 5 };
  models = [parent, child].map((spec, i) => ({
    name: `${i}`,
    trainer: new Trainer(spec, initialWeights(spec, 1), { schedule, length: shape.length }),
    curve: [],
  }));
  const stream = new BatchStream(chatData(toyCorpus, 1).training(bpe), { ...shape, pad: bpe.id(END) });
  const state = await run(models, { steps: STEPS, stream, every: 10 });
  expect(state.tokens).toBeGreaterThan(STEPS * 200);
  for (const { curve } of models) {
    expect(curve.map(({ step }) => step)).toEqual([10, 20, 30]);
    expect(curve[0]!.loss).toBeGreaterThan(4);
    expect(curve[2]!.loss).toBeLessThan(0.8 * curve[0]!.loss);
  }
});
