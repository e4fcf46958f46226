// `loadModel` as users call it: the same replies from the page's thread and from a worker, plain and as a chat.
import { expect, test } from 'vitest';
import { type LocalModel, loadModel, type RemoteModel } from '../../src/index.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { memorySource } from '../support/memory-source.ts';
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

/** Greedy text of a model by `generate` and by its chat. */
async function replies(model: LocalModel | RemoteModel): Promise<{ text: string; chat: string | null }> {
  try {
    const stream = model.generate(messages, { maxTokens: 8 });
    let next = await stream.next();
    while (!next.done) next = await stream.next();
    const { choices } = await model.chat.completions.create({ messages, max_tokens: 8, temperature: 0 });
    return { text: next.value.text, chat: choices[0]!.message.content };
  } finally {
    await model.dispose();
  }
}

test('a worker gives the replies that the page gives', async () => {
  const here = await replies(await loadModel(source, { contextLength: 64 }));
  expect(here.text.length).toBeGreaterThan(0);
  expect(here.chat).toBe(here.text);
  const inWorker = loadModel(source, { worker: true, contextLength: 64 });
  if (typeof Worker === 'undefined')
    await expect(inWorker).rejects.toMatchObject({ code: 'io', details: { worker: true } });
  else expect(await replies(await inWorker)).toEqual(here);
});
