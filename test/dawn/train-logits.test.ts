// The trainer's forward and the engine's on the same stored weights, for a parent and a child.
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { toyCorpus } from '../../demo/corpus/chats.ts';
import { loadModel } from '../../src/engine/engine.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { readModelFolder } from '../../src/train/checkpoints.ts';
import { evaluate } from '../../src/train/evaluate.ts';
import { train } from '../../src/train/session.ts';
import { Trainer } from '../../src/train/trainer.ts';
import { openTestGpu } from '../support/gpu-features.ts';

const sizes = {
  hidden_size: 48,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 512,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 3,
};
const CONFIGS = {
  parent: { ...sizes, model_type: 'llama', num_hidden_layers: 2 },
  child: {
    ...sizes,
    model_type: 'shishu-llama',
    num_decoder_front: 1,
    num_mlp: 3,
    num_mlp_shared: 1,
    use_qk_norm: true,
  },
};

const gpu = await openTestGpu({ profile: 'software' });

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'train-'));
  for (const [name, spec] of Object.entries(CONFIGS))
    await writeFile(join(folder, `${name}.json`), JSON.stringify(spec));
  await train(gpu, {
    configs: Object.keys(CONFIGS).map((name) => join(folder, `${name}.json`)),
    out: folder,
    schedule: { steps: 40, learningRate: 4e-3, warmUp: 5 },
    seed: 1,
    rows: 4,
    length: 96,
    checkpointMinutes: 10,
    mix: 0,
    corpus: toyCorpus,
    log: () => {},
    signal: new AbortController().signal,
  });
});

describe.each(Object.keys(CONFIGS))('a trained %s', (name) => {
  test('has the same nats for every token in the trainer and in the engine', async () => {
    const path = join(folder, name);
    const { spec, weights } = await readModelFolder(path);
    const bpe = Bpe.fromJson(JSON.parse(await readFile(join(path, 'tokenizer.json'), 'utf8')));
    const ids = bpe.encode('<|begin|><|user|> Tell me a story about a fox called Mia.<|end|><|assistant|>');
    const model = await loadModel(await openFolder(path));
    const { logprobs } = await model.score(ids);
    await model.dispose();
    const [rows, length] = [4, 96];
    const schedule = { steps: 1, learningRate: 1e-3, warmUp: 0 };
    const trainer = await Trainer.create(gpu, spec, { weights }, { schedule, rows, length });
    const padded = (of: readonly number[]): Int32Array<ArrayBuffer> => {
      const all = new Int32Array(rows * length);
      all.set(of, length);
      return all;
    };
    const batch = { rows, length, tokens: padded(ids), targets: padded(ids.slice(1)), count: ids.length };
    for (const at of [0, 3, ids.length - 2]) {
      const weights = new Float32Array(rows * length);
      weights[length + at] = 1;
      const loss = await trainer.loss({ ...batch, weights });
      expect(Math.abs(loss + logprobs[at + 1]!)).toBeLessThan(1e-4 * (1 + loss));
    }
    trainer.dispose();
  });
});

test('the engine is what the evaluation runs on, and greedy text is what it counts', async () => {
  const path = join(folder, 'child');
  const bpe = Bpe.fromJson(JSON.parse(await readFile(join(path, 'tokenizer.json'), 'utf8')));
  const model = await loadModel(await openFolder(path));
  const { overall } = await evaluate(model, bpe, toyCorpus, { chats: 1 });
  const messages = [{ role: 'user', content: 'Say: red fox.' }];
  const tokenIds: number[] = [];
  for await (const chunk of model.generate(messages, { maxTokens: 6 })) tokenIds.push(chunk.tokenId);
  const promptTokenIds = await model.encode(
    await model.applyChatTemplate(messages, { addGenerationPrompt: true }),
  );
  const { top1 } = await model.score([...promptTokenIds, ...tokenIds]);
  await model.dispose();
  // 40 steps make it better than an even guess among 512 tokens.
  expect(overall.all).toBeLessThan(300);
  expect(promptTokenIds).toEqual(bpe.encode('<|begin|><|user|> Say: red fox.<|end|><|assistant|>'));
  expect([...top1.subarray(promptTokenIds.length - 1, -1)]).toEqual(tokenIds);
});
