import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import {
  chatPages,
  chooseFolder,
  endlessChatModel,
  fits,
  lastReply,
  loadingTexts,
  poll,
  ready,
  set,
  setFolder,
} from '../support/chat-page.ts';
import { writeFolder } from '../support/write-folder.ts';

const STORIES = join(import.meta.dirname, '../../../shared/models/stories260K');

let temporary: string;
let folder: string;
const files = endlessChatModel();
const openChat = chatPages();

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'chat-'));
  folder = writeFolder(join(temporary, 'tiny-chat'), files);
});
afterAll(() => rm(temporary, { recursive: true }));

describe('a conversation', () => {
  test('load a folder, send, see the reply grow, stop it, send again, reload', async () => {
    const { page, problems } = await openChat();
    await chooseFolder(page, folder, 'tiny-chat');
    expect(await page.textContent('#model-name')).toBe('tiny-chat');
    expect(await page.textContent('#status')).toMatch(/weights \(f32\).*dispatches a token/);
    await set(page, 'maxTokens', '4000');

    await page.fill('#prompt', '<b>Hello</b>');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('there');
    await page.keyboard.press('Enter');
    await poll(async () => (await lastReply(page)).length).toBeGreaterThan(10);
    const early = (await lastReply(page)).length;
    await poll(async () => (await lastReply(page)).length).toBeGreaterThan(early);
    expect(await page.getAttribute('#log', 'aria-busy')).toBe('true');
    await page.click('#stop');
    await poll(() => page.textContent('.after')).toContain('Stopped.');
    const stopped = await lastReply(page);
    expect(stopped.length).toBeGreaterThan(10);
    expect(await page.textContent('#status')).toMatch(/first token .*ms.* of 4096 tokens of context/);
    expect(await page.textContent('#attention-figures')).toMatch(/tokens\/s.*KV.*perplexity as full/);

    await set(page, 'maxTokens', '12');
    await page.fill('#prompt', 'Again');
    await page.click('#send');
    await poll(() => page.textContent('.after')).toContain('Ended at the limit');
    expect(await page.locator('.prompt').allInnerTexts()).toEqual(['<b>Hello</b>\nthere', 'Again']);
    // What people and models write is never HTML.
    expect(await page.locator('.exchange b').count()).toBe(0);

    await page.fill('#prompt', 'a draft');
    const log = await page.innerText('#log');
    await page.reload();
    await poll(() => page.inputValue('#prompt')).toBe('a draft');
    await poll(() => page.innerText('#log')).toBe(log);
    expect(await page.inputValue('#settings [name=maxTokens]')).toBe('12');
    expect(await page.isDisabled('#send')).toBe(true);
    expect(await page.textContent('.notice')).toContain('“tiny-chat”');
    await chooseFolder(page, folder, 'tiny-chat');
    const before = await lastReply(page);
    await page.click('.after >> text=Regenerate');
    await poll(async () => (await lastReply(page)) !== before && page.isVisible('.after')).toBe(true);
    await page.click('#new');
    expect(await page.locator('.exchange').count()).toBe(0);
    expect(await page.isVisible('#welcome')).toBe(true);
    expect(problems).toEqual([]);
  });

  test('a message is kept as it was written, in its own direction; an input method’s Enter sends nothing', async () => {
    const { page, problems } = await openChat();
    await chooseFolder(page, folder, 'tiny-chat');
    await set(page, 'maxTokens', '4');
    await page.click('#settings-panel summary');
    await page.fill('#settings [name=system]', '  indented\n');
    await page.keyboard.press('Escape');
    const code = '    if x:\n        y()\n';
    await page.fill('#prompt', code);
    // Safari ends a composition by an Enter that has the old code 229, and others by one that is composing.
    for (const mark of [{ keyCode: 229 }, { isComposing: true }])
      await page.$eval(
        '#prompt',
        (prompt, mark) =>
          prompt.dispatchEvent(
            new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...mark }),
          ),
        mark,
      );
    expect(await page.inputValue('#prompt')).toBe(code);
    expect(await page.locator('.exchange').count()).toBe(0);

    await page.click('#send');
    await poll(() => page.textContent('.after')).toContain('Ended at the limit');
    expect(await page.locator('.prompt').last().textContent()).toBe(code);

    const directionOf = (selector: string): Promise<string> =>
      page.$$eval(selector, (found) => getComputedStyle(found.at(-1)!).direction);
    expect(await directionOf('.chat .prompt')).toBe('ltr');
    await page.fill('#prompt', 'مرحبا بك');
    expect(await directionOf('#prompt')).toBe('rtl');
    await page.keyboard.press('Enter');
    await poll(() => page.locator('.exchange').count()).toBe(2);
    await poll(() => page.textContent('.exchange:last-child .after')).toContain('Ended at the limit');
    expect(await directionOf('.chat .prompt')).toBe('rtl');
    await page.$eval('.exchange:last-child .reply', (reply) =>
      (reply.firstElementChild ?? reply).replaceChildren('שלום'),
    );
    expect(await directionOf('.exchange:last-child .reply > :first-child')).toBe('rtl');
    expect(problems).toEqual([]);
  });

  test('loading says how many kernels are compiled, and the line below how weights and KV are kept', async () => {
    const { page } = await openChat();
    const texts = await loadingTexts(page);
    await chooseFolder(page, folder, 'tiny-chat');
    const counts = (await texts()).flatMap((text) => {
      const [, compiled, total] =
        / tiny-chat.*; (\d+) of (\d+) kernels for your GPU compiled$/.exec(text) ?? [];
      return compiled === undefined ? [] : [[Number(compiled), Number(total)] as const];
    });
    expect(counts.length).toBeGreaterThan(0);
    for (const [compiled, total] of counts) expect(compiled).toBeLessThan(total);
    expect(await page.textContent('#status')).toMatch(/weights \(f32\).*KV as f32/);
  });

  test('Escape stops the reply; the same seed gives the same text', async () => {
    const { page } = await openChat();
    await chooseFolder(page, folder, 'tiny-chat');
    await set(page, 'maxTokens', '4000');
    await page.fill('#prompt', 'Go');
    await page.keyboard.press('Enter');
    await poll(async () => (await lastReply(page)).length).toBeGreaterThan(3);
    await page.keyboard.press('Escape');
    await poll(() => page.textContent('.after')).toContain('Stopped.');
    await set(page, 'maxTokens', '20');
    await set(page, 'seed', '7');
    const texts: string[] = [];
    for (let i = 0; i < 2; i++) {
      await page.click('.after >> text=Regenerate');
      await poll(() => page.textContent('.after')).toContain('Ended at the limit');
      texts.push(await lastReply(page));
    }
    expect(texts[1]).toBe(texts[0]);
    expect(texts[0]!.length).toBeGreaterThan(5);
  });

  test('a setting out of range is shown, and nothing is sent', async () => {
    const { page } = await openChat();
    await chooseFolder(page, folder, 'tiny-chat');
    await set(page, 'topP', '3');
    await page.fill('#prompt', 'Go');
    await page.keyboard.press('Enter');
    expect(await page.isVisible('#settings')).toBe(true);
    expect(await page.getAttribute('#settings [name=topP]', 'aria-invalid')).toBe('true');
    expect(await page.locator('.exchange').count()).toBe(0);
    expect(await page.inputValue('#prompt')).toBe('Go');
  });

  test.runIf(existsSync(STORIES))('a model without a chat template goes on with a text', async () => {
    const { page, problems } = await openChat();
    await chooseFolder(page, STORIES, 'stories260K');
    expect(await page.getAttribute('#prompt', 'placeholder')).toBe('Begin a text');
    await set(page, 'temperature', '0');
    await set(page, 'maxTokens', '12');
    await page.fill('#prompt', 'Once upon a time');
    await page.keyboard.press('Enter');
    await poll(() => page.textContent('.after')).toContain('Ended at the limit');
    const first = 'Once upon a time, there was a little girl named Lily. She';
    expect(await page.innerText('.exchange .text')).toBe(first);
    await page.click('.after >> text=Continue');
    await poll(() => page.innerText('.exchange .text')).toMatch(/ She ?loved to play outside/);
    expect(problems).toEqual([]);
  });
});

describe('choosing a model', () => {
  /** Serves the tiny model under the page's models/ folder. */
  const serve = async (page: Page, delay = 0): Promise<void> => {
    await page.route('**/models/tiny/*', async (route) => {
      const body = files[new URL(route.request().url()).pathname.split('/').at(-1)!];
      await new Promise((resolve) => setTimeout(resolve, delay));
      await (body ? route.fulfill({ body: Buffer.from(body) }) : route.fulfill({ status: 404 })).catch(
        () => {},
      );
    });
  };
  const list = [
    { id: 'tiny', name: 'Tiny', url: 'tiny/', description: 'Speaks nonsense.', openers: ['Say a word.'] },
  ];

  test('an included model loads by one click, offers openers, and is back after a reload', async () => {
    const { page } = await openChat({}, async (page) => {
      await serve(page);
      await page.route('**/models/models.json', (route) => route.fulfill({ json: list }));
    });
    // In the page itself, as long as there is no model.
    await page.click('#welcome #included-list button');
    await ready(page, 'Tiny');
    await set(page, 'maxTokens', '5');
    await page.click('text=Say a word.');
    await poll(() => page.textContent('.after')).toContain('Ended at the limit');
    await page.reload();
    await ready(page, 'Tiny');
    expect(await page.locator('.prompt').allInnerTexts()).toEqual(['Say a word.']);
    await page.click('#model-panel summary');
    expect(await page.getAttribute('#included-list button', 'aria-pressed')).toBe('true');
  });

  test('an address loads; a load can be cancelled', async () => {
    const { page } = await openChat({}, (page) => serve(page, 100));
    const url = new URL('models/tiny/', inject('demoUrl')).href;
    await page.fill('#url', url);
    await page.keyboard.press('Enter');
    await page.click('#cancel-load');
    await poll(() => page.isVisible('#loading')).toBe(false);
    expect(await page.textContent('#model-name')).toBe('none');
    expect(await page.locator('.notice').count()).toBe(0);
    await page.click('#model-panel summary');
    await page.click('#url-form button');
    await ready(page, 'tiny');
  });

  test('an address with a percent sign that is no escape is an error that says so', async () => {
    const { page, problems } = await openChat();
    await page.click('#model-panel summary');
    await page.fill('#url', 'https://models.example/100%/');
    await page.click('#url-form button');
    await poll(() => page.textContent('.notice')).toContain('has a "%" that begins no escape');
    expect(await page.textContent('.notice')).toContain('Write %25');
    expect(problems).toEqual([]);
  });

  test('files can be dropped on the page', async () => {
    const { page } = await openChat();
    const contents = Object.entries(files).map(([name, bytes]) => [name, [...Buffer.from(bytes)]] as const);
    await page.evaluate((contents) => {
      const dataTransfer = new DataTransfer();
      for (const [name, bytes] of contents) dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
      for (const type of ['dragover', 'drop'])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    }, contents);
    await ready(page, 'dropped files');
  });

  test('a choice of weights loads the model again', async () => {
    const { page } = await openChat();
    await chooseFolder(page, folder, 'tiny-chat');
    await page.click('#model-panel summary');
    // The second choice comes while the first is loading.
    await page.selectOption('#dtype', 'q4');
    await page.selectOption('#dtype', 'q8');
    await poll(() => page.textContent('#status')).toContain('(q8)');
  });

  test('what is wrong with a folder is said, with the mend, and another choice works', async () => {
    const broken = writeFolder(join(temporary, 'broken'), { 'config.json': '{"model_type": "mamba"}' });
    const { page } = await openChat();
    await setFolder(page, broken);
    await poll(() => page.textContent('.notice')).toMatch(/mamba/);
    expect(await page.getAttribute('.notice', 'role')).toBe('alert');
    await page.click('.notice summary');
    expect(await page.innerText('.notice pre')).toContain('code: unsupported');
    await chooseFolder(page, folder, 'tiny-chat');
    expect(await page.locator('.notice').count()).toBe(0);
  });
});

/** Lets a test take the GPU from the page's worker. */
async function keepDevices(page: Page): Promise<void> {
  const keep = `
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...args) {
      const device = await requestDevice.apply(this, args);
      new BroadcastChannel('lose the GPU').onmessage = () => device.destroy();
      return device;
    };
  `;
  await page.route('**/worker*.js', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: keep + (await response.text()) });
  });
}

test('a GPU that is lost in a reply: the button loads the model again and the conversation goes on', async () => {
  const { page } = await openChat({}, keepDevices);
  await chooseFolder(page, folder, 'tiny-chat');
  await set(page, 'maxTokens', '4000');
  await page.fill('#prompt', 'Hello');
  await page.keyboard.press('Enter');
  await poll(async () => (await lastReply(page)).length).toBeGreaterThan(10);
  await page.evaluate(() => new BroadcastChannel('lose the GPU').postMessage(null));
  await poll(() => page.textContent('.notice')).toMatch(/The GPU was lost/);
  const before = await lastReply(page);
  await page.click('.notice >> text=Reload the model');
  await ready(page, 'tiny-chat');
  expect(await page.locator('.notice').count()).toBe(0);
  expect(await lastReply(page)).toBe(before);
  await set(page, 'maxTokens', '5');
  await page.fill('#prompt', 'Go on');
  await page.keyboard.press('Enter');
  await poll(() => page.textContent('.after')).toContain('Ended at the limit');
  expect(await page.locator('.exchange').count()).toBe(2);
});

describe('every browser and screen', () => {
  test('nothing is wider than a screen of 360 pixels', async () => {
    const { page } = await openChat({ viewport: { width: 360, height: 640 } });
    expect(await fits(page)).toBe(true);
    await chooseFolder(page, folder, 'tiny-chat');
    for (const panel of ['#model-panel', '#settings-panel']) {
      await page.click(`${panel} summary`);
      const box = (await page.locator(`${panel} .sheet`).boundingBox())!;
      expect(box.x).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(360);
      expect(await fits(page)).toBe(true);
      await page.keyboard.press('Escape');
    }
    await set(page, 'maxTokens', '100');
    await page.fill('#prompt', 'W'.repeat(200));
    await page.keyboard.press('Enter');
    await poll(() => page.textContent('.after')).toContain('Ended at the limit');
    expect(await fits(page)).toBe(true);
  });

  test('without WebGPU the page says what helps in this very browser, and how it goes without one', async () => {
    const { page, problems } = await openChat({}, (page) =>
      page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined })),
    );
    await poll(() => page.textContent('#no-webgpu')).toMatch(/chrome:\/\/flags.*enable-vulkan|about:config/);
    expect(await page.textContent('#no-webgpu code')).toMatch(/^npx shishulm generate /);
    expect(await page.isVisible('#composer')).toBe(false);
    expect(problems).toEqual([]);
  });
});
