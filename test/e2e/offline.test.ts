// The pages without a network, and a new version of them: what the service worker of the build does.
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { poll } from '../support/chat-page.ts';
import { tabs } from '../support/tabs.ts';

const BUILT = join(import.meta.dirname, '../../dist-demo');
const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.png': 'image/png',
};

const openTab = tabs();
let server: Server;
let address = '';
/** Whether there is another version of the pages. */
let isNew = false;
beforeAll(async () => {
  server = createServer(async ({ url = '/' }, response) => {
    const name = new URL(url, 'http://localhost').pathname.replace(/\/$/, '/index.html');
    const file = await readFile(join(BUILT, name)).catch(() => undefined);
    if (!file) return response.writeHead(404).end();
    const type = { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream' };
    const worker = isNew && name === '/service-worker.js';
    const body = worker ? String(file).replace(/VERSION = '\w+'/, "VERSION = 'newer'") : file;
    // A file without a length is not kept.
    response.writeHead(200, { ...type, 'Content-Length': Buffer.byteLength(body) }).end(body);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const started = (page: Page): Promise<unknown> =>
  page.waitForSelector('html[data-started]', { state: 'attached' });
/** What the page says last, and what is wrong. */
const told = async (page: Page): Promise<string> =>
  [await page.textContent('#announce'), ...(await page.locator('.notice').allInnerTexts())].join('\n');
const versions = (page: Page): Promise<string[]> => page.evaluate(() => caches.keys());

test('offline the pages open, a model that was used loads, and a new version takes over when asked', async () => {
  const { page, problems } = await openTab({ serviceWorkers: 'allow' });
  await page.goto(address);
  await started(page);
  await page.click('#included-list button >> text=Child');
  await poll(() => told(page)).toMatch(/^Child .* is ready/);
  await poll(() => page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);
  const [version] = await versions(page);
  expect(version).toMatch(/^shishulm-pages-\w{12}$/);
  const manifest = await page.evaluate(async () => {
    const link = document.querySelector<HTMLLinkElement>('link[rel=manifest]')!;
    return (await fetch(link.href)).json();
  });
  expect(manifest).toMatchObject({ display: 'standalone', start_url: './index.html' });

  await page.context().setOffline(true);
  await page.goto(`${address}index.html?profile=auto`);
  await started(page);
  // The model of the last visit, from what the browser keeps.
  await poll(() => told(page)).toMatch(/^Child .* is ready/);
  await page.goto(`${address}convert.html`);
  await poll(() => page.isVisible('nav a[aria-current]')).toBe(true);
  await page.goto(address);
  await poll(() => told(page)).toMatch(/^Child .* is ready/);
  // What is not here says what to do, and the conversation stays.
  await page.click('#model-panel summary');
  await page.fill('#url', 'some/model');
  await page.click('#url-form button');
  await poll(() => page.textContent('.notice.error')).toMatch(/offline/i);
  await page.context().setOffline(false);

  isNew = true;
  await page.reload();
  await page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.update());
  await poll(() => page.textContent('#notices')).toContain('A new version');
  await page.evaluate(() => Object.assign(window, { old: true }));
  await page.click('.notice >> text=Use it');
  await poll(() => page.evaluate(() => 'old' in window)).toBe(false);
  await started(page);
  expect(await versions(page)).toEqual(['shishulm-pages-newer']);
  expect(problems).toEqual([]);
});
