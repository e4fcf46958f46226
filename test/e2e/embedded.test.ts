// The models that the chat page includes, as f16, on the adapter's own profile and on that of a GPU.
import type { Page } from 'playwright';
import { expect, inject, test } from 'vitest';
import { chatPages, includeModels, lastReply, poll, set } from '../support/chat-page.ts';

const LONG = 240_000;
/** What the models say, roughly. */
const ENGLISH = /^[A-Z][A-Za-z ,.'!?-]{9,}/;

const openChat = chatPages();
const announced = (page: Page) => poll(() => page.textContent('#announce'), { timeout: LONG / 2 });

async function answer(page: Page, send: () => Promise<void>): Promise<string> {
  await send();
  await poll(() => page.isVisible('.exchange:last-child .after')).toBe(true);
  return lastReply(page);
}

// A software adapter takes a minute over the kernels of GPUs.
test.each(inject('full') ? ['', '?profile=gpu'] : [''])(
  'index.html%s: the child, then the parent, answer with the likeliest tokens and with drawn ones',
  async (query) => {
    const { page, problems } = await openChat({}, includeModels, query);
    await page.click('#included-list button >> text=Child');
    await announced(page).toMatch(/^Child .* is ready\.$/);
    await page.click('#model-panel summary');
    // Unasked it may be f16 already: what is waited for is the second load.
    await page.locator('#announce').evaluate((line) => line.replaceChildren());
    await page.selectOption('#dtype', 'f16');
    await announced(page).toMatch(/^Child .* is ready\.$/);
    expect(await page.textContent('#status')).toContain('weights (f16)');
    if (query) expect(await page.textContent('#status')).toContain('profile gpu');

    await set(page, 'maxTokens', '16');
    await set(page, 'temperature', '0');
    const ask = (): Promise<string> =>
      answer(page, async () => {
        await page.fill('#prompt', 'Tell me a story about a fox called Mia.');
        await page.keyboard.press('Enter');
      });
    const regenerate = (): Promise<string> => answer(page, () => page.click('.after >> text=Regenerate'));
    const likeliest = await ask();
    expect(likeliest).toMatch(ENGLISH);
    expect(await regenerate()).toBe(likeliest);
    await set(page, 'temperature', '1.2');
    await set(page, 'seed', '7');
    const drawn = await regenerate();
    expect(drawn).toMatch(ENGLISH);
    expect(drawn).not.toBe(likeliest);
    expect(await regenerate()).toBe(drawn);

    await page.click('#model-panel summary');
    await page.click('#included-list button >> text=Parent');
    await announced(page).toMatch(/^Parent .* is ready\.$/);
    expect(await ask()).toMatch(ENGLISH);
    expect(problems).toEqual([]);
  },
  LONG,
);
