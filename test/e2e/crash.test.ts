// A tab that ends while a model loads: the next visit is told, and offered less.
import type { Page } from 'playwright';
import { expect, inject, test } from 'vitest';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { chatPages, poll, ready } from '../support/chat-page.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const openChat = chatPages();
const files: Record<string, Uint8Array> = { ...tinyFiles(tinyModel('llama', 7)), ...charTokenizerFiles(131) };

/** Serves the model below the page; `stuck`: its tokenizer never comes. */
async function serve(page: Page, stuck: boolean): Promise<void> {
  await page.route('**/served/**', async (route) => {
    const name = new URL(route.request().url()).pathname.split('/').at(-1)!;
    if (stuck && name === 'tokenizer.json') return;
    const found = files[name];
    if (!found) return route.fulfill({ status: 404 });
    const bytes = Buffer.from(found);
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(route.request().headers().range ?? '') ?? [];
    if (from === undefined) return route.fulfill({ body: bytes });
    const [start, end] = [Number(from), to ? Math.min(Number(to) + 1, bytes.length) : bytes.length];
    const headers = { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` };
    return route.fulfill({ status: 206, headers, body: bytes.subarray(start, end) });
  });
}

async function load(page: Page): Promise<void> {
  await page.click('#model-panel summary');
  await page.fill('#url', `${inject('demoUrl')}served/`);
  await page.click('#url-form button');
}

const kept = (page: Page): Promise<string | null> =>
  page.evaluate(() => localStorage.getItem('shishulm-loading'));

test('a crash is told of on the next visit, with less to load; a tab that was closed is not', async () => {
  const { page: crashing } = await openChat({}, (page) => serve(page, true));
  /** Another tab of the same browser. */
  const visit = async (stuck: boolean): Promise<Page> => {
    const page = await crashing.context().newPage();
    await page.route('**/models/models.json', (route) => route.fulfill({ json: [] }));
    await serve(page, stuck);
    await page.goto(`${inject('demoUrl')}index.html`);
    await load(page);
    return page;
  };
  await load(crashing);
  await poll(() => kept(crashing)).toContain('/served/');
  const crash = crashing.waitForEvent('crash');
  void crashing.goto('chrome://crash').catch(() => {});
  await crash;

  const next = await visit(false);
  await poll(() => next.textContent('.notice')).toMatch(/served was loaded, the tab ended/);
  const smaller = next.locator('.notice button', { hasText: 'Load it smaller' });
  const [, dtype] = /\((\w+), \d+ tokens\)/.exec(await smaller.innerText())!;
  await smaller.click();
  await ready(next, 'served');
  expect(await next.inputValue('#dtype')).toBe(dtype);
  expect(await kept(next)).toBeNull();

  const closed = await visit(true);
  await poll(() => kept(closed)).toContain('/served/');
  await closed.close();
  const last = await visit(false);
  await ready(last, 'served');
  expect(await last.locator('.notice').count()).toBe(0);
});
