// The trainer's forward (jax) and the engine's (WGSL) on the same stored weights, for a parent and a child.
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as jax from '@jax-js/jax';
import { beforeAll, describe, expect, test } from 'vitest';
import { toyCorpus } from '../../demo/corpus/chats.ts';
import { loadModel } from '../../src/engine/engine.ts';
import { openFolder } from '../../src/formats/node-folder.ts';
import { Bpe } from '../../src/train/bpe.ts';
import { readModelFolder } from '../../src/train/checkpoints.ts';
import { evaluate } from '../../src/train/evaluate.ts';
import { constantsOf, forward, toDevice } from '../../src/train/jax-model.ts';
import { train } from '../../src/train/session.ts';

const sizes = {
  hidden_size: 48,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 600,
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

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'train-'));
  for (const [name, spec] of Object.entries(CONFIGS))
    await writeFile(join(folder, `${name}.json`), JSON.stringify(spec));
  await train({
    configs: Object.keys(CONFIGS).map((name) => join(folder, `${name}.json`)),
    out: folder,
    schedule: { steps: 60, learningRate: 3e-3, warmUp: 5 },
    seed: 1,
    rows: 2,
    length: 64,
    checkpointMinutes: 10,
    mix: 0,
    corpus: toyCorpus,
    log: () => {},
    signal: new AbortController().signal,
  });
});

describe.each(Object.keys(CONFIGS))('a trained %s', (name) => {
  test('gives the same logits in jax and in the engine', async () => {
    const path = join(folder, name);
    const { spec, weights } = await readModelFolder(path);
    const bpe = Bpe.fromJson(JSON.parse(await readFile(join(path, 'tokenizer.json'), 'utf8')));
    const ids = bpe.encode('<|begin|><|user|> Tell me a story about a fox called Mia.<|end|><|assistant|>');
    const expected = (await forward(
      toDevice(weights, spec),
      jax.numpy.array(new Int32Array(ids)).reshape([1, ids.length]),
      constantsOf(spec, ids.length),
      spec,
    ).data()) as Float32Array;
    const model = await loadModel(await openFolder(path));
    const found = await model.logits(ids);
    await model.dispose();
    expect(found.length).toBe(expected.length);
    const spread = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(spread).toBeGreaterThan(1);
    found.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!) / spread).toBeLessThan(1e-4);
    });
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
  // 60 steps make it better than an even guess among 600 tokens.
  expect(overall.all).toBeLessThan(300);
  expect(promptTokenIds).toEqual(bpe.encode('<|begin|><|user|> Say: red fox.<|end|><|assistant|>'));
  expect([...top1.subarray(promptTokenIds.length - 1, -1)]).toEqual(tokenIds);
});
