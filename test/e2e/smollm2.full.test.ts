// A real model on the chat page, where scripts/get-smollm2.py has made it. SCREENSHOTS names a folder for a picture.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { browserName } from '../support/browser.ts';
import { chatPages, chooseFolder, lastReply, loadingTexts, poll, ready, set } from '../support/chat-page.ts';
import { SMOLLM2 } from '../support/smollm2.ts';

const openChat = chatPages();

describe.runIf(SMOLLM2.runs)(SMOLLM2.name, () => {
  test('loads as f16, says what it compiles, and answers', async () => {
    const { page, problems } = await openChat({ viewport: { width: 900, height: 700 } });
    const texts = await loadingTexts(page);
    await chooseFolder(page, SMOLLM2.folder, 'smollm2-135m-instruct');
    expect((await texts()).some((text) => /\d+ of \d+ kernels for your GPU compiled/.test(text))).toBe(true);
    expect(await page.textContent('#status')).toMatch(/269 MB weights \(f16\)/);
    await set(page, 'temperature', '0');
    await set(page, 'maxTokens', '12');
    await page.fill('#prompt', 'What is the capital of France?');
    await page.keyboard.press('Enter');
    await poll(() => lastReply(page), { timeout: 120_000 }).toBe('The capital of France is Paris.');
    expect(problems).toEqual([]);
  });

  test('its GGUF file loads in the blocks of the file, and goes on with a conversation', async () => {
    const { page, problems } = await openChat({ viewport: { width: 900, height: 700 } });
    await page.setInputFiles('#file-input', SMOLLM2.gguf());
    await ready(page, 'SmolLM2-135M-Instruct.Q4_1.gguf');
    expect(await page.textContent('#status')).toMatch(/96.6 MB weights \(q4_1, q8\)/);
    await set(page, 'temperature', '0');
    await set(page, 'maxTokens', '12');
    const ask = async (text: string, answer: RegExp): Promise<void> => {
      await page.fill('#prompt', text);
      await page.keyboard.press('Enter');
      await poll(() => lastReply(page), { timeout: 120_000 }).toMatch(answer);
      await poll(() => page.isVisible('.after')).toBe(true);
    };
    await ask('What is the capital of France?', /Paris/);
    await ask('And of Italy?', /Rome/);
    if (process.env.SCREENSHOTS)
      await page.screenshot({ path: join(process.env.SCREENSHOTS, `gguf-${browserName}.png`) });
    expect(problems).toEqual([]);
  });
});
