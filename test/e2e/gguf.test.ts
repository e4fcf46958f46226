// A GGUF file from the disk on the chat page.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { chatPages, lastReply, poll, ready, set } from '../support/chat-page.ts';

const openChat = chatPages();

test('a chosen GGUF file loads in the formats of the file and answers', async () => {
  const { page, problems } = await openChat({ viewport: { width: 900, height: 700 } });
  await page.setInputFiles('#file-input', join(import.meta.dirname, '../fixtures/tiny-llama.gguf'));
  await ready(page, 'tiny-llama.gguf');
  expect(await page.textContent('#status')).toMatch(/weights \(f32, q8, bf16, q4_1, q5\)/);
  await set(page, 'temperature', '0');
  await set(page, 'maxTokens', '4');
  await page.fill('#prompt', 'hi');
  await page.keyboard.press('Enter');
  await poll(async () => (await lastReply(page)).length, { timeout: 60_000 }).toBeGreaterThan(0);
  expect(problems).toEqual([]);
});
