// Text that a model samples, to be calibrated on or healed with: several at once.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sampleTexts } from '../../src/convert/sample-text.ts';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import { loadTokenizer, type Tokenizer } from '../../src/formats/tokenizer.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { openTestGpu } from '../support/gpu-features.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

/** Its control token ends texts, and opens and closes the turns of chats. */
const CHATS =
  "{% for m in messages %}{{ '</s>' + m.role[0] + m.content + '</s>' }}{% endfor %}{% if add_generation_prompt %}{{ '</s>a' }}{% endif %}";
const tiny = tinyModel('llama', 7);
const source = memorySource({
  ...tinyFiles(tiny),
  ...charTokenizerFiles(tiny.spec.vocabSize),
  'tokenizer_config.json': JSON.stringify({ eos_token: '</s>', chat_template: CHATS }),
});
let gpu: Gpu;
let model: EngineModel;
let tokenizer: Tokenizer;
beforeAll(async () => {
  gpu = await openTestGpu();
  const options = { contextLength: 32, batch: 4, selfTest: false, tune: false } as const;
  model = await loadModel(source, options, { device: gpu.device });
  tokenizer = await loadTokenizer(source, tiny.spec.vocabSize);
});
afterAll(async () => {
  await model.dispose();
  gpu.close();
});

async function first(count: number, options: Parameters<typeof sampleTexts>[1]) {
  const texts: { index: number; ids: number[] }[] = [];
  for await (const text of sampleTexts(model, options)) if (texts.push(text) === count) break;
  return texts;
}

test('is no longer than asked, ends where the model ends it, and is the same for a seed, from any text on', async () => {
  const texts = await first(12, { length: 20, seed: 5 });
  const { bosTokenId, eosTokenIds } = model.info.spec;
  const begin = bosTokenId ?? eosTokenIds[0]!;
  for (const { ids } of texts) {
    expect(ids[0]).toBe(begin);
    expect(ids.length).toBeGreaterThan(1);
    expect(ids.length).toBeLessThanOrEqual(20);
    expect(ids.slice(1, -1).some((id) => id === begin || eosTokenIds.includes(id))).toBe(false);
  }
  expect(new Set(texts.flatMap(({ ids }) => ids)).size).toBeGreaterThan(10);
  const from = texts[5]!.index;
  expect(await first(7, { length: 20, seed: 5, first: from })).toEqual(texts.slice(5));
  expect(await first(12, { length: 20, seed: 6 })).not.toEqual(texts);
});

test('every other text is a chat through the template: its own question, then its answer', async () => {
  const texts = await first(12, { length: 30, seed: 3, tokenizer });
  const chats = texts.filter(({ index }) => index % 2 === 1);
  expect(chats.length).toBeGreaterThan(1);
  for (const { ids } of chats) {
    const [before, question, between, answer] = tokenizer
      .decode(ids, { skipSpecialTokens: false })
      .split('</s>');
    expect([before, between]).toEqual(['', '']);
    expect(question).toMatch(/^u./);
    expect(answer).toMatch(/^a./);
  }
});

test('a model that only ends its texts is refused, not asked for ever', async () => {
  const { spec } = model.info;
  const eosTokenIds = Array.from({ length: spec.vocabSize }, (_, id) => id);
  const info = { ...model.info, spec: { ...spec, eosTokenIds } };
  const ending = { info, generate: model.generate.bind(model) } as unknown as EngineModel;
  const asked = async (): Promise<void> => {
    for await (const _ of sampleTexts(ending, { length: 8, seed: 1 }));
  };
  await expect(asked()).rejects.toMatchObject({ code: 'unsupported', details: { replies: 64 } });
});

test('stops when it is told to', async () => {
  const stop = new AbortController();
  const asked = async (): Promise<void> => {
    for await (const _ of sampleTexts(model, { length: 30, seed: 1, signal: stop.signal })) stop.abort();
  };
  await expect(asked()).rejects.toMatchObject({ code: 'aborted' });
});
