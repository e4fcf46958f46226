// Conversations of the chat page: versions, branches, the list, what is kept, exported and taken back; tools and files.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { chatPages, chooseFolder, endlessChatModel, lastReply, poll, set } from '../support/chat-page.ts';
import { scriptedModel } from '../support/thinking-model.ts';
import { writeFolder } from '../support/write-folder.ts';

const openChat = chatPages();
let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'conversations-'));
});
afterAll(() => rm(temporary, { recursive: true }));

const choose = (page: Page, name: string, files: Record<string, string | Uint8Array>): Promise<void> =>
  chooseFolder(page, writeFolder(join(temporary, name), files), name);
const ended = (page: Page): Promise<void> =>
  poll(async () => (await page.isVisible('.after')) && (await page.isVisible('#send'))).toBe(true);
async function ask(page: Page, text: string): Promise<void> {
  await page.fill('#prompt', text);
  await page.keyboard.press('Enter');
  await ended(page);
}
const prompts = (page: Page): Promise<string[]> => page.locator('.prompt').allInnerTexts();
const titles = (page: Page): Promise<string[]> => page.locator('#chat-list .chat').allInnerTexts();
/** A button of the last question or reply. */
const press = (page: Page, of: 'question' | 'reply', name: string): Promise<void> =>
  page
    .locator(of === 'question' ? '.question .actions' : '.exchange > .actions')
    .last()
    .getByRole('button', { name, exact: true })
    .click();

test('versions, branches, deletion, the list, a reload, export and import', async () => {
  const { page, problems } = await openChat();
  await choose(page, 'endless', endlessChatModel());
  await set(page, 'temperature', '1');
  await set(page, 'maxTokens', '6');

  // Regenerated: both versions are kept.
  await ask(page, 'First question');
  const first = await lastReply(page);
  await press(page, 'reply', 'Regenerate');
  await poll(() => page.locator('.after').innerText()).toContain('2 / 2');
  await ended(page);
  const second = await lastReply(page);
  await press(page, 'reply', 'Version before');
  expect(await lastReply(page)).toBe(first);
  await ask(page, 'It follows the first');
  expect(await prompts(page)).toEqual(['First question', 'It follows the first']);
  const asked = page.locator('.exchange').first();
  await asked.getByRole('button', { name: 'Version after' }).click();
  expect(await lastReply(page)).toBe(second);
  expect(await prompts(page)).toEqual(['First question']);

  // An edited question begins a branch; Escape leaves all as it was.
  await press(page, 'question', 'Edit');
  await page.keyboard.press('Escape');
  expect(await page.isVisible('.prompt')).toBe(true);
  await press(page, 'question', 'Edit');
  await page.fill('.editor textarea', 'Another question');
  await page.click('.editor >> text=Send');
  await ended(page);
  expect(await prompts(page)).toEqual(['Another question']);
  await press(page, 'question', 'Version before');
  expect(await lastReply(page)).toBe(second);
  await page.locator('.exchange').first().getByRole('button', { name: 'Version before' }).last().click();
  expect(await prompts(page)).toEqual(['First question', 'It follows the first']);

  // Deleted and brought back.
  await press(page, 'question', 'Delete');
  expect(await prompts(page)).toEqual(['First question']);
  await page.click('.notice >> text=Undo');
  expect(await prompts(page)).toEqual(['First question', 'It follows the first']);

  // Another conversation, with a system prompt of its own.
  await page.click('#new');
  expect(await page.isVisible('#welcome')).toBe(true);
  await set(page, 'system', 'Be brief.');
  await ask(page, 'Second talk, about مرحبا');
  expect(await titles(page)).toEqual(['Second talk, about مرحبا', 'Another question']);
  await page.click('#chat-list .chat >> nth=1');
  expect(await page.inputValue('#settings [name=system]')).toBe('');
  expect(await prompts(page)).toEqual(['First question', 'It follows the first']);

  // Found by what was said in it, and named.
  await page.fill('#search', 'follows the');
  expect(await titles(page)).toEqual(['Another question']);
  await page.fill('#search', 'nowhere');
  expect(await page.innerText('#no-chats')).toBe('Nothing found.');
  await page.fill('#search', '');
  await page.click('#chat-list li:last-child .more summary');
  await page.click('#chat-list li:last-child .more >> text=Rename');
  await page.keyboard.type('Named <b>');
  await page.keyboard.press('Enter');
  expect(await titles(page)).toContain('Named <b>');

  // A draft, the branch and the list are there after a reload.
  await page.fill('#prompt', 'draft of this one');
  await page.reload();
  await poll(() => prompts(page)).toEqual(['First question', 'It follows the first']);
  expect(await page.inputValue('#prompt')).toBe('draft of this one');
  expect((await titles(page)).sort()).toEqual(['Named <b>', 'Second talk, about مرحبا']);
  expect(await page.locator('.exchange').first().innerText()).toContain('1 / 2');

  // A load that fails leaves the conversation as it was.
  await page.setInputFiles('#file-input', { name: 'broken.gguf', mimeType: '', buffer: Buffer.from('no') });
  await poll(() => page.isVisible('.notice.error')).toBe(true);
  expect(await prompts(page)).toEqual(['First question', 'It follows the first']);

  // Out as Markdown and as JSON, and in again.
  const row = page.locator('#chat-list li', { hasText: 'Named' });
  const saved = async (kind: string): Promise<{ name: string; text: string }> => {
    await row.locator('.more summary').click();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      row.locator(`text=Export as ${kind}`).click(),
    ]);
    const path = join(temporary, download.suggestedFilename());
    await download.saveAs(path);
    return { name: path, text: await readFile(path, 'utf8') };
  };
  const markdown = await saved('Markdown');
  expect(markdown.text).toContain('# Named <b>\n\n## You\n\nFirst question\n\n## endless\n\n');
  const json = await saved('JSON');
  await row.locator('.more summary').click();
  await row.locator('text=Delete').click();
  expect(await titles(page)).toEqual(['Second talk, about مرحبا']);
  await page.setInputFiles('#import-input', json.name);
  await poll(() => prompts(page)).toEqual(['First question', 'It follows the first']);
  expect(await titles(page)).toContain('Named <b>');
  await page.setInputFiles('#import-input', markdown.name);
  await poll(() => page.textContent('.notice.error')).toContain('no conversations of this page');
  expect(await prompts(page)).toEqual(['First question', 'It follows the first']);

  // Another tab of the browser has the same list, and what it changes is seen here.
  const other = await page.context().newPage();
  await other.goto(page.url());
  await poll(() => other.locator('#chat-list .chat').count()).toBe(2);
  await other.click('#chat-list li:last-child .more summary');
  await other.click('#chat-list li:last-child .more >> text=Delete');
  await poll(() => page.locator('#chat-list .chat').count()).toBe(1);
  expect(problems.filter((text) => !/404/.test(text))).toEqual([]);
});

test('what is selected in a reply stays selected while it grows', async () => {
  const { page } = await openChat();
  await choose(page, 'words', scriptedModel(['Alpha ', '*beta* ', 'gamma ', 'Alpha ']));
  await set(page, 'temperature', '0');
  await set(page, 'maxTokens', '900');
  await page.fill('#prompt', 'Go');
  await page.keyboard.press('Enter');
  await poll(async () => (await lastReply(page)).length).toBeGreaterThan(20);
  await page.evaluate(() => {
    const text = document.querySelector('.reply p')!.firstChild!;
    getSelection()!.setBaseAndExtent(text, 0, text, 5);
  });
  const early = (await lastReply(page)).length;
  await poll(async () => (await lastReply(page)).length).toBeGreaterThan(early + 50);
  expect(await page.evaluate(() => String(getSelection()))).toBe('Alpha');
  await page.keyboard.press('Escape');
  await ended(page);
  expect(await page.evaluate(() => String(getSelection()))).toBe('Alpha');
});

test('tools run in the page and are shown; files go along; the context is counted; settings say what changed', async () => {
  const { page, problems } = await openChat();
  const call = [
    '<tool_call>\n{"name": "calculator", ',
    '"arguments": {"expression": "6 * 7"}}\n',
    '</tool_call>',
  ];
  const sampling = JSON.stringify({ do_sample: true, temperature: 0.6, min_p: 0.1, repetition_penalty: 1.1 });
  const files = { ...scriptedModel(call, ['It is ', '**42**.']), 'generation_config.json': sampling };
  await choose(page, 'tools', files);
  const mark = (name: string) => page.locator(`.field:has([name=${name}]) .mark`);
  await page.click('#settings-panel summary');
  expect([await page.inputValue('[name=minP]'), await page.inputValue('[name=repetitionPenalty]')]).toEqual([
    '0.1',
    '1.1',
  ]);
  expect(await mark('minP').innerText()).toBe('the model’s own');
  await page.fill('[name=temperature]', '0');
  expect(await mark('temperature').innerText()).toBe('changed; the model’s own is 0.6');
  await page.fill('[name=topK]', '3');
  expect(await mark('topK').innerText()).toBe('changed; the default is 40');
  await page.fill('[name=repetitionPenalty]', '1');
  await page.check('[name=tools]');
  await page.keyboard.press('Escape');

  const notes = { name: 'no<b>tes.txt', mimeType: 'text/plain', buffer: Buffer.from('line') };
  await page.setInputFiles('#attach-input', [
    notes,
    { name: 'x.bin', mimeType: '', buffer: Buffer.from([255, 0]) },
  ]);
  await poll(() => page.textContent('.notice')).toBe('x.bin is no text file.Dismiss');
  expect(await page.locator('#attachments li').allInnerTexts()).toEqual([
    expect.stringContaining('no<b>tes.txt'),
  ]);
  await ask(page, 'What is six times seven?');
  expect(await lastReply(page)).toBe('It is 42.');
  expect(await page.locator('.reply strong').innerText()).toBe('42');
  await page.click('.call summary');
  expect(await page.locator('.call').innerText()).toMatch(/Called calculator[\s\S]*6 \* 7[\s\S]*42/);
  expect(await page.locator('.files li').allInnerTexts()).toEqual(['no<b>tes.txt']);
  expect(await page.isVisible('#attachments')).toBe(false);

  await poll(() => page.textContent('#context-text')).toMatch(/^\d+ of 1024 tokens of context$/);
  await page.fill('#prompt', 'word '.repeat(220));
  await poll(() => page.textContent('#context-text')).toContain('The context is nearly full');
  expect(problems).toEqual([]);
});
