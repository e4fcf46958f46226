// Models of a hub by name in the fields of the pages, against a server that answers as a hub does, from another origin.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { browserName } from '../support/browser.ts';
import { chatPages, endlessChatModel, lastReply, poll, ready, set } from '../support/chat-page.ts';
import { type HubServer, startHub, TOKENS } from '../support/hub-server.ts';
import { tabs } from '../support/tabs.ts';

const openChat = chatPages();
const openTab = tabs();
let hub: HubServer;
beforeAll(async () => {
  const files = endlessChatModel();
  const gguf = readFileSync(join(import.meta.dirname, '../fixtures/tiny-llama.gguf'));
  hub = await startHub({
    'some/tiny': { files },
    'some/gated': { files, gated: true },
    'some/mamba': { files: { ...files, 'config.json': '{"model_type": "mamba"}' } },
    'some/empty': { files: { 'README.md': 'Nothing to run.' } },
    'some/gguf': { files: { 'a-Q4.gguf': gguf, 'a-Q8.gguf': gguf } },
  });
});
afterAll(() => hub.close());

const search = (): string => `?${new URLSearchParams({ hub: hub.endpoint })}`;
async function choose(page: Page, name: string): Promise<void> {
  await page.locator('#model-panel').evaluate((panel) => {
    (panel as HTMLDetailsElement).open = true;
  });
  await page.fill('#url', name);
  await page.click('#url-form button');
}

test('the chat page loads a model by its name, and finds it again without the hub', async () => {
  const { page, problems } = await openChat({}, undefined, search());
  await choose(page, 'some/tiny');
  await ready(page, 'tiny');
  await set(page, 'temperature', '0');
  await set(page, 'maxTokens', '3');
  await page.fill('#prompt', 'hi');
  await page.keyboard.press('Enter');
  await poll(async () => (await lastReply(page)).length, { timeout: 60_000 }).toBeGreaterThan(0);
  expect(new Set(hub.asked.map(({ host }) => host))).toEqual(new Set(['hub', 'cdn']));
  expect(problems.filter((problem) => !/40[14]/.test(problem))).toEqual([]);
  hub.asked.length = 0;
  await page.reload();
  await ready(page, 'tiny');
  expect(hub.asked).toEqual([]);
});

test('the chat page says what a hub refuses, keeps the conversation, and takes what was copied in a browser', async () => {
  const { page } = await openChat({}, undefined, search());
  const messages = [{ id: 'q', role: 'user', text: 'It stays.' }];
  const chats = { format: 'shishulm-chats', conversations: [{ id: 'c', title: 'kept', messages }] };
  const file = { name: 'c.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(chats)) };
  await page.setInputFiles('#import-input', file);
  await poll(() => page.locator('.prompt').count()).toBe(1);
  for (const [name, said] of [
    ['some/mamba', 'mamba'],
    ['some/empty', 'some/empty'],
    ['some/gated', `Accept it at ${hub.endpoint}/some/gated`],
    ['some/none', `no model ${hub.endpoint}/some/none`],
    ['some/gguf', 'some/gguf/a-Q4.gguf (0.1 MB), some/gguf/a-Q8.gguf (0.1 MB)'],
    ['https://huggingface.co/datasets/some/data', 'is no model of a hub'],
    ['some/tiny@v9', 'has no revision "v9"'],
  ] as const) {
    await choose(page, name);
    await poll(() => page.textContent('.notice.error')).toContain(said);
    expect(await page.innerText('.prompt')).toBe('It stays.');
  }
  await choose(page, 'https://huggingface.co/some/gguf/blob/main/a-Q4.gguf');
  await ready(page, 'a-Q4.gguf');
});

test('a model that the browser has no room for is loaded, and the reader is told', async () => {
  const full = 'StorageManager.prototype.estimate = async () => ({ quota: 10, usage: 5 });';
  const { page } = await openChat(
    {},
    (page) =>
      page.route('**/worker*.js', async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: full + (await response.text()) });
      }),
    search(),
  );
  await choose(page, 'some/tiny');
  await ready(page, 'tiny');
  await poll(() => page.textContent('.notice')).toContain('not kept for the next visit');
});

test.each([
  ['bench.html', ['parent', 'child']],
  ['convert.html', ['parent']],
])('%s asks the hub for what its fields name', async (file, fields) => {
  const { page } = await openTab();
  await page.goto(new URL(`${file}${search()}`, inject('demoUrl')).href);
  await page.waitForSelector('#settings:not([hidden]) #openers button, #openers button');
  for (const field of fields) await page.fill(`[name=${field}]`, 'hf:some/gated');
  await page.click('#run');
  await poll(() => page.textContent('#notices')).toContain(`Accept it at ${hub.endpoint}/some/gated`);
  expect(await page.getAttribute('nav a', 'href')).toContain('hub=');
});

test('a browser takes a token along to the hub, and not to its CDN', async () => {
  const { page } = await openTab();
  await page.goto(inject('demoUrl'));
  hub.asked.length = 0;
  const status = await page.evaluate(
    async ([url, token]) => {
      const headers = { Authorization: `Bearer ${token}`, Range: 'bytes=0-9' };
      return fetch(url!, { headers }).then(
        (answer) => answer.status,
        () => 'failed',
      );
    },
    [`${hub.endpoint}/some/gated/resolve/main/model.safetensors`, TOKENS.member],
  );
  // Firefox asks the CDN whether it may come with headers, which this one does not answer.
  const firefox = browserName === 'firefox';
  expect(status).toBe(firefox ? 'failed' : 206);
  expect(hub.asked.map(({ host, token }) => `${host} ${token}`)).toEqual([
    `hub Bearer ${TOKENS.member}`,
    ...(firefox ? [] : ['cdn undefined']),
  ]);
});
