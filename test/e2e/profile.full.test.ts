// The pages with the profile of a GPU, forced by their address on a CPU that plays one.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { BenchResult } from '../../src/bench/result.ts';
import { launchBrowser } from '../support/browser.ts';
import { chatPages, chooseFolder, endlessChatModel, lastReply, poll, set } from '../support/chat-page.ts';
import { writeFolder } from '../support/write-folder.ts';

const LONG = 180_000;
const openChat = chatPages();
let temporary: string;
let browser: Browser;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'profile-'));
  writeFolder(join(temporary, 'tiny-chat'), endlessChatModel());
  browser = await launchBrowser();
});
afterAll(async () => {
  await browser.close();
  await rm(temporary, { recursive: true });
});

async function open(address: string): Promise<{ page: Page; problems: string[] }> {
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(new URL(address, inject('demoUrl')).href);
  return { page, problems };
}

test(
  'a conversation in a worker: drawn and greedy replies, and the profile is kept from page to page',
  async () => {
    const { page, problems } = await openChat({}, undefined, '?profile=gpu');
    await chooseFolder(page, join(temporary, 'tiny-chat'), 'tiny-chat');
    expect(await page.textContent('#status')).toContain('profile gpu');
    await set(page, 'maxTokens', '12');
    await set(page, 'seed', '7');
    const send = async (text: string): Promise<string> => {
      await page.fill('#prompt', text);
      await page.keyboard.press('Enter');
      await poll(() => page.locator('.after').last().textContent()).toContain('Ended at the limit');
      return lastReply(page);
    };
    const drawn = await send('Hello');
    expect(drawn.length).toBeGreaterThan(5);
    await page.click('.after >> text=Regenerate');
    await poll(() => page.locator('.after').last().textContent()).toContain('Ended at the limit');
    expect(await lastReply(page)).toBe(drawn);
    await page.click('#new');
    await set(page, 'temperature', '0');
    const greedy = await send('Hello');
    await page.click('#new');
    expect(await send('Hello')).toBe(greedy);
    expect(await page.getAttribute('#pages a >> nth=1', 'href')).toBe('./bench.html?profile=gpu');
    expect(await page.locator('.notice').count()).toBe(0);
    expect(problems).toEqual([]);
  },
  LONG,
);

test(
  'a benchmark: every measurement, and the report says that the profile was forced',
  async () => {
    const settings = new URLSearchParams({
      parent: 'Tiny-1M',
      child: 'Tiny-1M:4,4,2,0',
      prompts: '40',
      positions: '4,300',
      batches: '2',
      steps: '2',
      repetitions: '1',
    });
    const { page, problems } = await open(`bench.html?profile=gpu#${settings}`);
    await page.waitForSelector('#openers button');
    await page.click('#run');
    await page.waitForSelector('#loading', { state: 'hidden', timeout: LONG });
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save-json')]);
    const result: BenchResult = JSON.parse(await readFile(await download.path(), 'utf8'));
    expect(result).toMatchObject({ ended: 'complete', error: null });
    expect(result.adapter).toMatchObject({ software: true, profile: 'gpu' });
    expect([result.prompts, result.decode, result.batches].map((points) => points.length)).toEqual([2, 4, 2]);
    expect(await page.textContent('.cautions')).toContain('The profile "gpu" was forced');
    expect(new URL(page.url()).search).toBe('?profile=gpu');
    expect(problems).toEqual([]);
    await page.close();
  },
  LONG,
);

test.each(['index.html', 'bench.html', 'train.html', 'convert.html'])(
  '%s refuses a profile that is none by its name',
  async (file) => {
    const { page, problems } = await open(`${file}?profile=fast`);
    await poll(() => page.textContent('#notices')).toContain(
      'Option "profile" is fast, expected auto, software or gpu.',
    );
    expect(await page.isVisible('#settings')).toBe(false);
    expect(problems).toEqual([]);
    await page.close();
  },
);
