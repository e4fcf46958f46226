// What models write, and what files are called, is never markup: no element but the few of Markdown, and no request.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { chatPages, chooseFolder, poll, set } from '../support/chat-page.ts';
import { HOSTILE, HOSTILE_NAMES } from '../support/hostile-replies.ts';
import { scriptedModel } from '../support/thinking-model.ts';
import { writeFolder } from '../support/write-folder.ts';

const openChat = chatPages();
let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'hostile-'));
});
afterAll(() => rm(temporary, { recursive: true }));

/** What may be in a reply, and the attributes that it may have. */
const ELEMENTS =
  'a blockquote br button code div em h3 hr li ol p pre s span strong table tbody td th thead tr ul'.split(
    ' ',
  );
const ATTRIBUTES = 'aria-label class dir href rel role start tabindex target title type'.split(' ');

interface Found {
  elements: string[];
  attributes: string[];
  links: { href: string; rel: string; target: string }[];
}

/** What is in the replies of a page. */
const inReplies = (page: Page): Promise<Found> =>
  page.evaluate(() => {
    const all = [...document.querySelectorAll('.reply *')];
    return {
      elements: [...new Set(all.map((element) => element.localName))],
      attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))],
      links: [...document.querySelectorAll<HTMLAnchorElement>('.reply a')].map(({ href, rel, target }) => ({
        href,
        rel,
        target,
      })),
    };
  });

async function judge(page: Page, asked: string[]): Promise<void> {
  const { elements, attributes, links } = await inReplies(page);
  expect(elements.filter((name) => !ELEMENTS.includes(name))).toEqual([]);
  expect(attributes.filter((name) => !ATTRIBUTES.includes(name))).toEqual([]);
  expect(links.length).toBeGreaterThan(0);
  for (const { href, rel, target } of links) {
    expect(href).toMatch(/^(https?:\/\/|mailto:)/);
    expect(rel).toContain('noopener');
    expect(target).toBe('_blank');
  }
  expect(await page.evaluate(() => (window as { harmed?: number }).harmed)).toBeUndefined();
  // Nothing beside the server of the page was asked for anything.
  expect(asked.filter((url) => !url.startsWith(inject('demoUrl')) && !/^(blob|data):/.test(url))).toEqual([]);
}

/** A conversation whose replies are these. */
function conversationOf(id: string, title: string, replies: readonly string[]): object {
  let parent: string | undefined;
  const messages = replies.flatMap((text, i) => {
    const name = HOSTILE_NAMES[i % HOSTILE_NAMES.length]!;
    const question = {
      id: `${id}-q${i}`,
      role: 'user',
      text: name,
      at: i,
      files: [{ name, text }],
      ...(parent !== undefined && { parent }),
    };
    parent = `${id}-a${i}`;
    const call = {
      said: text.slice(0, 2000),
      name,
      arguments: text.slice(0, 2000),
      result: text.slice(0, 2000),
    };
    return [
      question,
      {
        id: parent,
        parent: question.id,
        role: 'assistant',
        text,
        reasoning: text.slice(0, 2000),
        reasoningSeconds: 1,
        calls: [call],
        model: name,
        ended: 'stop',
        at: i,
      },
    ];
  });
  return { id, title, messages };
}

test('a corpus of hostile replies, thoughts, calls and names leaves no element and no request', async () => {
  expect(HOSTILE.length).toBeGreaterThanOrEqual(60);
  const asked: string[] = [];
  const { page, problems } = await openChat({}, async (page) =>
    page.on('request', (request) => asked.push(request.url())),
  );
  const conversations = [
    conversationOf('all', '<b>all</b>', HOSTILE),
    ...HOSTILE_NAMES.map((name, i) => conversationOf(`n${i}`, name, ['fine'])),
  ];
  const file = JSON.stringify({ format: 'shishulm-chats', version: 1, conversations });
  await page.setInputFiles('#import-input', {
    name: 'chats.json',
    mimeType: 'application/json',
    buffer: Buffer.from(file),
  });
  await poll(() => page.locator('.exchange').count()).toBe(HOSTILE.length);
  await poll(() => page.locator('#chat-list > li').count()).toBe(1 + HOSTILE_NAMES.length);
  await judge(page, asked);
  // As it was written, HTML and all.
  expect(await page.locator('.reply').first().innerText()).toBe(HOSTILE[0]);
  expect(await page.locator('#chat-list :is(b, img, script)').count()).toBe(0);
  expect(
    await page.locator('#log :is(img, script, svg, iframe, style, form, input, video, audio)').count(),
  ).toBe(0);
  expect(await page.locator('#chat-list').innerText()).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
  expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
  // Each block of text has its own direction.
  expect(await page.locator('.reply > p:not([dir=auto])').count()).toBe(0);
  expect(problems).toEqual([]);
});

test('so it is while a reply is streamed, wherever the pieces fall', async () => {
  const pieces = [
    'Look: <im',
    'g src=x onerr',
    'or=window.harmed=1>\n\n',
    '[a](java',
    'script:window.harmed=1) and [b](https://exam',
    'ple.com/) ',
    '![c](https://evil.example/',
    'pixel.png)\n\n```ht',
    'ml\n<script>window.harmed = 1</scr',
    'ipt>\n``',
    '`\n\n<svg onload=',
    'window.harmed=1>',
  ];
  const asked: string[] = [];
  const { page, problems } = await openChat({}, async (page) =>
    page.on('request', (request) => asked.push(request.url())),
  );
  await chooseFolder(page, writeFolder(join(temporary, 'script'), scriptedModel(pieces)), 'script');
  await set(page, 'temperature', '0');
  await page.fill('#prompt', 'Go');
  await page.keyboard.press('Enter');
  await poll(() => page.isVisible('.after')).toBe(true);
  await judge(page, asked);
  const text = await page.locator('.reply').innerText();
  expect(text).toContain('Look: <img src=x onerror=window.harmed=1>');
  expect(text).toContain('<svg onload=window.harmed=1>');
  expect(await page.locator('.reply .code .hljs-tag').count()).toBeGreaterThan(0);
  expect(problems).toEqual([]);
});
