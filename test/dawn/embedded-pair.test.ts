// The pair that comes with the pages: what the model card says it can do, asked of both.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/engine/engine.ts';
import type { EngineModel } from '../../src/engine/model-interface.ts';
import type { Message } from '../../src/engine/types.ts';
import { openFolder } from '../../src/formats/node-folder.ts';

const STORY =
  'Tom was a bear. Tom lived in a cave. Tom had three red kites. One day Tom met Lily the owl. ' +
  'First they sang a song. Then they dug a hole. In the end Tom was happy.';

/** Chats of one or more questions, each with the answer that is right. */
const CHATS: readonly (readonly (readonly [question: string, answer: string])[])[] = [
  [
    [`${STORY} What colour were the kites?`, 'The kites were red.'],
    ['How many kites did Tom have?', 'Tom had three kites.'],
  ],
  [
    [`${STORY} Where did Tom live?`, 'Tom lived in a cave.'],
    ['How did Tom feel?', 'Tom was happy.'],
  ],
  [[`${STORY} What did they do first?`, 'First they sang a song.']],
  [['What is the opposite of hot?', 'The opposite of hot is cold.']],
  [['What day comes after Monday?', 'Tuesday comes after Monday.']],
  [['Say it back: red fox green boat.', 'You said: red fox green boat.']],
  [['Spell cat.', 'The word cat is c a t.']],
  [['Who are you?', 'I am a very small language model. I run in your browser.']],
];

describe.each(['parent', 'child'])('%s', (name) => {
  let model: EngineModel;
  beforeAll(async () => {
    model = await loadModel(await openFolder(join(import.meta.dirname, '../../demo/public/models', name)));
  });
  afterAll(() => model?.dispose());

  test('answers ten questions', async () => {
    const said: string[] = [];
    for (const chat of CHATS) {
      const messages: Message[] = [];
      for (const [question] of chat) {
        messages.push({ role: 'user', content: question });
        let content = '';
        for await (const { text } of model.generate(messages)) content += text;
        messages.push({ role: 'assistant', content });
        said.push(content);
      }
    }
    expect(said).toHaveLength(10);
    expect(said).toEqual(CHATS.flatMap((chat) => chat.map(([, answer]) => answer)));
  });
});
