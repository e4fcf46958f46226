// Tabs of one browser load the same model from a server, two at once and one later: what it sends, it sends once.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { chatPages, poll, ready, set } from '../support/chat-page.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const openChat = chatPages();
const files: Record<string, Uint8Array> = { ...tinyFiles(tinyModel('llama', 7)), ...charTokenizerFiles(131) };
/** Bytes that the server sent of each file. */
const sent: Record<string, number> = {};

let server: Server;
let address = '';
beforeAll(async () => {
  server = createServer(async ({ url = '', headers, method }, response) => {
    const name = url.split('/').at(-1)!;
    const cors = {
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Allow-Headers': 'Range',
      'Access-Control-Expose-Headers': 'Content-Range, ETag',
    };
    if (method === 'OPTIONS') return response.writeHead(204, cors).end();
    const bytes = files[name];
    if (!bytes) return response.writeHead(404, cors).end();
    const [, from, to] = /bytes=(\d+)-(\d*)/.exec(headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = to ? Math.min(Number(to) + 1, bytes.length) : bytes.length;
    sent[name] = (sent[name] ?? 0) + end - start;
    // Slow enough for both tabs to want it.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const range = { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` };
    const more = { ETag: '"1"', 'Content-Length': end - start, ...(from !== undefined && range) };
    response
      .writeHead(from === undefined ? 200 : 206, { ...cors, ...more })
      .end(Buffer.from(bytes).subarray(start, end));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tabs/`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

async function load(page: Page): Promise<void> {
  await page.click('#model-panel summary');
  await page.fill('#url', address);
  await page.click('#url-form button');
  await ready(page, 'tabs');
}

async function reply(page: Page): Promise<string> {
  await set(page, 'temperature', '0');
  await set(page, 'maxTokens', '8');
  await page.fill('#prompt', 'HELLO');
  await page.keyboard.press('Enter');
  await poll(() => page.textContent('.after')).toContain('Ended at the limit');
  return page.locator('.reply').last().innerText();
}

/** Another tab of the same browser. */
async function openBeside(page: Page): Promise<Page> {
  const other = await page.context().newPage();
  await other.route('**/models/models.json', (route) => route.fulfill({ json: [] }));
  await other.goto(`${inject('demoUrl')}index.html`);
  await other.waitForSelector('html[data-started]', { state: 'attached' });
  return other;
}

test('both load, each file is sent once, and both answer; a later visit reads what is kept', async () => {
  const { page: first, problems } = await openChat();
  const second = await openBeside(first);
  await Promise.all([load(first), load(second)]);
  // Each tab may ask for a byte, to learn the size.
  for (const [name, bytes] of Object.entries(sent))
    expect(bytes, name).toBeLessThanOrEqual(files[name]!.length + 2);
  expect(Object.keys(sent)).toEqual(expect.arrayContaining(['config.json', 'model.safetensors']));
  const answers = [await reply(first), await reply(second)];
  expect(answers[0]!.length).toBeGreaterThan(0);
  expect(answers[1]).toBe(answers[0]);

  await Promise.all([first.close(), second.close()]);
  const weights = sent['model.safetensors']!;
  const later = await openBeside(first);
  await load(later);
  // It may ask for a byte again, to learn whether the file is the same.
  expect(sent['model.safetensors']).toBeLessThanOrEqual(weights + 1);
  expect(await reply(later)).toBe(answers[0]);
  expect(problems.filter((text) => !/404/.test(text))).toEqual([]);
});
