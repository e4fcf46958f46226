// `loadModel` as users call it: the same replies from the page's thread and from a worker, plain and as a chat.
import { expect, test } from 'vitest';
import type { RawSource } from '../../src/formats/raw-source.ts';
import { guardMemory } from '../../src/gpu/buffer.ts';
import { openGpu } from '../../src/gpu/device.ts';
import { loadModel, type Model, type ModeSetting } from '../../src/index.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
import { resultOf } from '../support/streams.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const source = memorySource({
  ...tinyFiles(tinyModel('shishu', 7)),
  ...charTokenizerFiles(131),
  'tokenizer_config.json': JSON.stringify({
    eos_token: '</s>',
    chat_template: '{% for m in messages %}{{ m.content }}{% endfor %}>',
  }),
});
const messages = [{ role: 'user', content: 'HELLO' }];

/** Greedy texts of a model by `generate` and by its chat, with all of its attention and with none, and what that takes. */
async function replies(model: Model) {
  const text = async (): Promise<string> => {
    return (await resultOf(model.generate(messages, { maxTokens: 8 }))).text;
  };
  const chat = async (modes?: ModeSetting): Promise<string | null> => {
    const request = { messages, max_tokens: 8, temperature: 0, ...(modes && { modes }) };
    return (await model.chat.completions.create(request)).choices[0]!.message.content;
  };
  try {
    const none = { level: 0 };
    const full = { text: await text(), chat: await chat(), bare: await chat(none), kv: model.info.bytes.kv };
    await model.setModes(none, { releaseKv: true });
    const bare = { text: await text(), kv: model.info.bytes.kv, modes: model.info.modes };
    const { nll } = await model.score([5, 6, 7], { modes: {} });
    return { full, bare, nll };
  } finally {
    await model.dispose();
  }
}

test('a worker gives the replies that the page gives', async () => {
  const here = await replies(await loadModel(source, { contextLength: 64 }));
  expect(here.full.text.length).toBeGreaterThan(0);
  expect(here.full.chat).toBe(here.full.text);
  expect(here.bare.text).not.toBe(here.full.text);
  expect(here.full.bare).toBe(here.bare.text);
  expect(here.full.kv).toBeGreaterThan(0);
  expect(here.bare.kv).toBe(0);
  const inWorker = loadModel(source, { worker: true, contextLength: 64 });
  if (typeof Worker === 'undefined')
    await expect(inWorker).rejects.toMatchObject({ code: 'io', details: { worker: true } });
  else expect(await replies(await inWorker)).toEqual(here);
});

test('what fails on the same device while a model loads is not that model’s failure', async () => {
  const gpu = await openGpu();
  const { device } = gpu;
  try {
    const failures: unknown[] = [];
    const beside: RawSource = {
      size: (file) => source.size(file),
      async read(...range) {
        // A buffer of this usage cannot be.
        const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE;
        const guard = guardMemory(gpu, 'another', () => void device.createBuffer({ size: 16, usage }));
        await guard.catch((error) => failures.push(error));
        return source.read(...range);
      },
    };
    const model = await loadModel(beside, { device, contextLength: 64 });
    expect(failures.length).toBeGreaterThan(3);
    for (const error of failures)
      expect(error).toMatchObject({ code: 'shader', message: expect.stringContaining('refused another') });
    await model.dispose();
  } finally {
    gpu.close();
  }
});

test('a tokenizer that is refused ends a load whose weights are still under way', async () => {
  const files = memorySource({ ...tinyFiles(tinyModel('shishu', 7)), 'tokenizer.json': '{}' });
  let waiting = 0;
  const refused = loadModel({
    size: (file) => files.size(file),
    read(file, start, end, signal) {
      // The header is read from two places; then come the weights.
      if (!file.endsWith('.safetensors') || ++waiting <= 2) return files.read(file, start, end, signal);
      return new Promise((_, reject) => {
        signal!.addEventListener('abort', () => reject(signal!.reason));
      });
    },
  });
  await expect(refused).rejects.toMatchObject({ code: 'bad-tokenizer' });
});
