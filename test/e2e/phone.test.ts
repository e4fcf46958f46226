// What phones need of the chat page: no load that would end the tab, a pause while it is hidden, a screen that stays awake.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { KNOWN, sourceOf } from '../../demo/chat/known.ts';
import { chatPages, chooseFolder, endlessChatModel, lastReply, poll, set } from '../support/chat-page.ts';
import { writeFolder } from '../support/write-folder.ts';

const openChat = chatPages();
const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1';
let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'phone-'));
});
afterAll(() => rm(temporary, { recursive: true }));

/** Lets a test hide the page, and counts the locks that keep the screen awake. */
const prepare = (page: Page): Promise<unknown> =>
  page.addInitScript((userAgent) => {
    Object.defineProperty(navigator, 'userAgent', { get: () => userAgent });
    // Safari does not tell.
    Object.defineProperty(navigator, 'deviceMemory', { get: () => undefined });
    const locks: string[] = [];
    const wakeLock = {
      async request(type: string) {
        locks.push(type);
        return { released: false, release: async () => void locks.push('released') };
      },
    };
    Object.defineProperty(navigator, 'wakeLock', { get: () => wakeLock });
    Object.assign(window, {
      locks,
      hide(hidden: boolean) {
        Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      },
    });
  }, IPHONE);

const hide = (page: Page, hidden: boolean): Promise<void> =>
  page.evaluate((hidden) => (window as unknown as { hide(hidden: boolean): void }).hide(hidden), hidden);
const replyLength = async (page: Page): Promise<number> => (await lastReply(page)).length;

test('the screen stays awake while a model loads; a hidden page pauses its reply, and goes on', async () => {
  const { page, problems } = await openChat({}, prepare);
  await chooseFolder(page, writeFolder(join(temporary, 'endless'), endlessChatModel()), 'endless');
  await poll(() => page.evaluate(() => (window as unknown as { locks: string[] }).locks)).toEqual([
    'screen',
    'released',
  ]);
  await set(page, 'maxTokens', '4000');
  await set(page, 'temperature', '1');
  await page.fill('#prompt', 'Go');
  await page.keyboard.press('Enter');
  await poll(() => replyLength(page)).toBeGreaterThan(5);
  await hide(page, true);
  // What was under way comes in still.
  await page.waitForTimeout(500);
  const paused = await replyLength(page);
  await page.waitForTimeout(700);
  expect(await replyLength(page)).toBe(paused);
  expect(await page.getAttribute('#log', 'aria-busy')).toBe('true');
  await hide(page, false);
  await poll(() => replyLength(page)).toBeGreaterThan(paused);
  // A paused reply can be stopped.
  await hide(page, true);
  await page.evaluate(() => document.getElementById('stop')!.click());
  await poll(() => page.textContent('.after')).toContain('Stopped.');
  expect(problems).toEqual([]);
});

test('a model that is too large for a phone is not begun: less of it is offered, and the conversation stays', async () => {
  const large = await sourceOf(KNOWN.find(({ id }) => id.includes('Llama'))!);
  const weights: string[] = [];
  const { page } = await openChat({}, async (page) => {
    await prepare(page);
    await page.route('**/served/**', async (route) => {
      const name = new URL(route.request().url()).pathname.split('/').at(-1)!;
      const size = await large.size!(name);
      if (size === null || size === undefined) return route.fulfill({ status: 404 });
      const [, from, to] = /bytes=(\d+)-(\d*)/.exec(route.request().headers().range ?? '') ?? [];
      const start = Number(from ?? 0);
      const end = Math.min(to ? Number(to) + 1 : size, size, start + (1 << 20));
      // Beside the header the cache asks for the chunks that follow.
      if (start > 32 << 20) weights.push(`${name} ${start}`);
      const body = Buffer.from((await large.read(name, start, end))!);
      const range = { 'Content-Range': `bytes ${start}-${end - 1}/${size}` };
      return route.fulfill({
        status: from === undefined ? 200 : 206,
        body,
        headers: from === undefined ? {} : range,
      });
    });
  });
  const conversation = {
    id: 'kept',
    title: 'kept',
    messages: [{ id: 'q', role: 'user', text: 'stays' }],
  };
  const file = JSON.stringify({ format: 'shishulm-chats', version: 1, conversations: [conversation] });
  await page.setInputFiles('#import-input', {
    name: 'c.json',
    mimeType: 'application/json',
    buffer: Buffer.from(file),
  });
  await poll(() => page.locator('.exchange').count()).toBe(1);
  await page.click('#model-panel summary');
  await page.fill('#url', `${inject('demoUrl')}served/`);
  await page.click('#url-form button');
  await poll(() => page.textContent('#notices')).toMatch(
    /served takes 2\.\d+ GB, .* past 1\.20 GB\. It was not loaded/,
  );
  expect(await page.locator('.notice button').allInnerTexts()).toEqual([
    expect.stringMatching(/^Load it smaller \(q\w+, \d+ tokens\)$/),
    'Load it anyway',
    'Dismiss',
  ]);
  expect(weights).toEqual([]);
  expect(await page.innerText('.prompt')).toBe('stays');
});
