// For every reader: axe-core finds nothing on any page, a reply is announced once, the keyboard is enough, narrow and dark
// screens, another language. SCREENSHOTS names a folder for pictures.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { browserName } from '../support/browser.ts';
import { chatPages, chooseFolder, fits, includeModels, poll, set } from '../support/chat-page.ts';
import { tabs } from '../support/tabs.ts';
import { scriptedModel } from '../support/thinking-model.ts';
import { writeFolder } from '../support/write-folder.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const openChat = chatPages();
const openTab = tabs();
let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'accessible-'));
});
afterAll(() => rm(temporary, { recursive: true }));

/** What axe-core finds, with the first place of each. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: {
        run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
    };
    const { violations } = await axe.run();
    return violations.map(
      ({ id, nodes: [node] }) => `${id}: ${node!.html.slice(0, 200)} ${node!.failureSummary}`,
    );
  });
}

async function picture(page: Page, name: string): Promise<void> {
  const { SCREENSHOTS } = process.env;
  if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, `${name}-${browserName}.png`) });
}

const PIECES = [
  '# Rivers\n\nThe **longest** rivers, with `length` in kilometres:\n\n',
  '| River | Continent | Length |\n| :--- | :--- | ---: |\n',
  '| Nile | Africa | 6,650 |\n| Amazon | South America | 6,400 |\n',
  '\nIn code:\n\n```ts\n// The longest first.\nconst rivers = [',
  '{ name: "Nile", km: 6650 }];\nfunction longest(list: River[]): River {\n',
  '  return list.toSorted((a, b) => b.km - a.km)[0]!;\n}\n```\n\n',
  '1. Read [more](https://example.com/).\n2. > A quote.\n\nالنيل أطول نهر في أفريقيا.',
];

test.each(['bench.html', 'train.html', 'convert.html'])('axe-core finds nothing on %s', async (file) => {
  const { page } = await openTab();
  await page.goto(new URL(file, inject('demoUrl')).href);
  await page.waitForSelector('nav a[aria-current]');
  await page.waitForSelector('#settings:not([hidden]), #openers button');
  expect(await violations(page)).toEqual([]);
});

test('axe-core finds nothing on the chat page: first visit, list of models, settings, a conversation', async () => {
  const { page } = await openChat({ viewport: { width: 1200, height: 900 } }, includeModels);
  await page.waitForSelector('.fit');
  await poll(() => page.locator('#known-list .fit').count()).toBe(7);
  expect(await violations(page)).toEqual([]);
  await picture(page, 'first-visit');
  await chooseFolder(page, writeFolder(join(temporary, 'rivers'), scriptedModel(PIECES)), 'rivers');
  await set(page, 'temperature', '0');
  await page.evaluate(() => {
    const said: string[] = [];
    Object.assign(window, { said });
    const isLive = (node: Node | null): boolean =>
      node instanceof Element &&
      (/^(status|alert|log)$/.test(node.getAttribute('role') ?? '') || node.hasAttribute('aria-live')) &&
      node.getAttribute('aria-live') !== 'off';
    new MutationObserver((records) => {
      for (const { target, addedNodes } of records)
        for (let node: Node | null = target; node; node = node.parentNode)
          if (isLive(node)) said.push([...addedNodes].map(({ textContent }) => textContent).join(''));
    }).observe(document.body, { childList: true, characterData: true, subtree: true });
  });
  // With the keyboard alone.
  await page.focus('#prompt');
  await page.keyboard.type('Which rivers are the longest?');
  await page.keyboard.press('Enter');
  await poll(() => page.isVisible('.after')).toBe(true);
  await poll(() => page.locator('.hljs-keyword').count()).toBeGreaterThan(0);
  const said = await page.evaluate(() => (window as unknown as { said: string[] }).said);
  expect(said.filter((text) => text.includes('longest rivers'))).toHaveLength(1);
  expect(await page.locator('.reply table td').allInnerTexts()).toContain('6,650');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('prompt');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Shift+Tab');
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Delete');
  expect(await violations(page)).toEqual([]);
  await picture(page, 'table-and-code');
  for (const panel of ['#model-panel', '#settings-panel', '#figures-panel']) {
    await page.click(`${panel} > summary`);
    expect(await violations(page)).toEqual([]);
    if (panel !== '#figures-panel') await page.keyboard.press('Escape');
  }
});

test('dark, and 320 pixels wide: nothing sticks out, the list lies over the page and can be shut', async () => {
  const { page, problems } = await openChat(
    { viewport: { width: 320, height: 640 }, colorScheme: 'dark', locale: 'en-GB' },
    includeModels,
  );
  expect(await fits(page)).toBe(true);
  await picture(page, 'phone-first');
  await chooseFolder(page, writeFolder(join(temporary, 'narrow'), scriptedModel(PIECES)), 'narrow');
  await set(page, 'temperature', '0');
  await page.fill('#prompt', 'ما هو أطول نهر في العالم؟');
  await page.keyboard.press('Enter');
  await poll(() => page.isVisible('.after')).toBe(true);
  expect(await fits(page)).toBe(true);
  expect(await page.locator('.prompt').evaluate((element) => getComputedStyle(element).direction)).toBe(
    'rtl',
  );
  expect(
    await page
      .locator('.reply > p')
      .last()
      .evaluate((element) => getComputedStyle(element).direction),
  ).toBe('rtl');
  await poll(() => page.locator('.hljs-keyword').count()).toBeGreaterThan(0);
  expect(await violations(page)).toEqual([]);
  await picture(page, 'phone-dark-arabic');
  await page.click('#chats-toggle');
  expect(await page.isVisible('#chats')).toBe(true);
  expect(await fits(page)).toBe(true);
  expect(await violations(page)).toEqual([]);
  await picture(page, 'phone-list');
  await page.keyboard.press('Escape');
  expect(await page.isVisible('#chats')).toBe(false);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('chats-toggle');
  expect(problems).toEqual([]);
});

test('the language of the browser, and a switch that keeps the conversation', async () => {
  const { page, problems } = await openChat({ locale: 'de-AT' }, includeModels);
  // Firefox is not told the language over this protocol.
  const first = await page.getAttribute('html', 'lang');
  if (browserName !== 'firefox') expect(first).toBe('de');
  await page.fill('#prompt', 'Entwurf');
  const choose = async (language: string): Promise<void> => {
    await page.click('#settings-panel summary');
    await page.selectOption('#language', language);
    await page.keyboard.press('Escape');
  };
  await choose('de');
  expect(await page.textContent('#welcome-title')).toBe('Wählen Sie ein Modell');
  expect(await page.textContent('#send')).toBe('Senden');
  expect(await page.inputValue('#prompt')).toBe('Entwurf');
  expect(await violations(page)).toEqual([]);
  await picture(page, 'german');
  await choose('en');
  expect(await page.textContent('#welcome-title')).toBe('Choose a model');
  await page.reload();
  await poll(() => page.textContent('#send')).toBe('Send');
  expect(problems).toEqual([]);
});
