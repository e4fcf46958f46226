// The chat page with a model that reasons before it answers.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chatPages, chooseFolder, endlessChatModel, lastReply, poll, set } from '../support/chat-page.ts';
import { thinkingModel } from '../support/thinking-model.ts';
import { writeFolder } from '../support/write-folder.ts';

let temporary: string;
const openChat = chatPages();

const choose = (page: Page, name: string, files: Record<string, string | Uint8Array>): Promise<void> =>
  chooseFolder(page, writeFolder(join(temporary, name), files), name);

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'thinking-'));
});
afterAll(() => rm(temporary, { recursive: true }));

test('thoughts stand apart from the reply, and can be switched off', async () => {
  const { page, problems } = await openChat();
  await choose(page, 'thinker', thinkingModel());
  await set(page, 'temperature', '0');
  expect(await page.isVisible('#think')).toBe(true);
  const ask = async (text: string): Promise<void> => {
    await page.fill('#prompt', text);
    await page.click('#send');
    await poll(() => page.textContent('#announce')).toMatch(/^The reply is complete\./);
    await poll(() => page.isVisible('.after')).toBe(true);
  };
  await ask('Why?');
  expect(await lastReply(page)).toBe('Yes!');
  const thoughts = page.locator('.reasoning');
  expect(await thoughts.locator('summary').innerText()).toMatch(/^Thought for \d+\.\d s$/);
  expect(await thoughts.locator('.text').isVisible()).toBe(false);
  await thoughts.locator('summary').click();
  expect(await thoughts.locator('.text').innerText()).toBe('Quick brown.');
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, 'thinking.png') });

  // Nothing of it is lost by a reload.
  await page.uncheck('#think input');
  await page.reload();
  await poll(() => page.locator('.reasoning').count()).toBe(1);
  await chooseFolder(page, join(temporary, 'thinker'), 'thinker');
  expect(await page.isChecked('#think input')).toBe(false);
  await ask('And now?');
  expect(await lastReply(page)).toBe('Yes!');
  expect(await page.locator('.reasoning').count()).toBe(1);

  // A reply that is cut in its thoughts.
  await page.check('#think input');
  await set(page, 'maxTokens', '5');
  await ask('Again?');
  expect(await page.locator('.reasoning .text').last().textContent()).toBe('Quic');
  expect(await page.locator('.reply').last().textContent()).toBe('');

  // Thoughts are seen as they come, also where the prompt opens them and there is nothing to choose.
  const endless = endlessChatModel();
  const config = JSON.parse(String(endless['tokenizer_config.json']));
  config.chat_template += '<think>';
  const files = { ...endless, 'tokenizer_config.json': JSON.stringify(config) };
  await choose(page, 'endless', files);
  expect(await page.isVisible('#think')).toBe(false);
  await set(page, 'maxTokens', '4000');
  await page.fill('#prompt', 'Go on');
  await page.click('#send');
  const growing = page.locator('.reasoning[open]').last();
  await poll(async () => (await growing.locator('.text').textContent())!.length).toBeGreaterThan(10);
  const early = (await growing.locator('.text').textContent())!.length;
  await poll(async () => (await growing.locator('.text').textContent())!.length).toBeGreaterThan(early);
  expect(await growing.locator('summary').innerText()).toBe('Thinking…');
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, 'growing.png') });
  await page.click('#stop');
  await poll(() => page.textContent('.after')).toContain('Stopped.');
  expect(await page.locator('.reasoning summary').last().innerText()).toMatch(/^Thought for/);
  expect((await page.locator('.reasoning .text').last().textContent())!.length).toBeGreaterThan(early);

  // A model whose template knows no thinking has no switch.
  await choose(page, 'plain', endlessChatModel());
  expect(await page.isVisible('#think')).toBe(false);
  expect(problems).toEqual([]);
});

test("a model's files say how to sample, unless the reader does", async () => {
  const { page } = await openChat();
  const value = (name: string): Promise<string> => page.inputValue(`#settings [name=${name}]`);
  const sampling = { do_sample: true, temperature: 0.6, top_k: 20 };
  const files = { ...thinkingModel(), 'generation_config.json': JSON.stringify(sampling) };
  await choose(page, 'sampler', files);
  expect([await value('temperature'), await value('topK'), await value('topP')]).toEqual([
    '0.6',
    '20',
    '0.9',
  ]);
  await set(page, 'topK', '7');
  await choose(page, 'no-sampling', thinkingModel());
  expect([await value('temperature'), await value('topK')]).toEqual(['0.5', '7']);
});
