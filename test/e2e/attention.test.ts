// The slider of the chat page, with the embedded parent: attention goes and comes back in mid-conversation.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Page } from 'playwright';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { byteTokenizerFiles } from '../support/byte-tokenizer.ts';
import {
  chatPages,
  chooseFolder,
  endlessChatModel,
  fits,
  includeModels,
  lastReply,
  poll,
  set,
} from '../support/chat-page.ts';
import { randomModel, tinyFiles } from '../support/tiny-models.ts';
import { writeFolder } from '../support/write-folder.ts';

const PARENT = join(import.meta.dirname, '../../demo/public/models/parent');

/** Without attention in any block. */
const BARE = {
  model_type: 'shishu-llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_decoder_front: 0,
  num_mlp: 3,
  num_mlp_shared: 0,
  num_decoder_end: 0,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 260,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: true,
};

const openChats = chatPages();
/** With the slider in sight. */
const openChat: typeof openChats = async (...asked) => {
  const tab = await openChats(...asked);
  await tab.page.click('#figures-panel summary');
  return tab;
};
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attention-'));
});
afterEach(() => rm(folder, { recursive: true }));

const openParent = (viewport?: { width: number; height: number }) =>
  openChat(viewport ? { viewport } : {}, (page) => includeModels(page, 'parent'), '#model=parent');

const figures = (page: Page): Promise<string> => page.innerText('#attention-figures');
const hint = (page: Page): Promise<string> => page.innerText('#attention-hint');
const kvOf = async (page: Page): Promise<string> => /\S+ \S+(?= KV)/.exec(await figures(page))?.[0] ?? '';
const press = (page: Page, key: string): Promise<void> => page.press('#attention-level', key);

async function regenerated(page: Page): Promise<string> {
  await page.click('.after >> text=Regenerate');
  await poll(() => page.isVisible('.after')).toBe(true);
  return lastReply(page);
}

describe('the attention slider', () => {
  test('down: less KV, a perplexity, another reply; up again: the very reply of before', async () => {
    const { page, problems } = await openParent();
    await poll(() => page.textContent('#announce')).toMatch(/is ready/);
    await set(page, 'temperature', '0');
    await set(page, 'maxTokens', '16');
    expect(await figures(page)).toMatch(/kB KV\s+perplexity as full/);
    expect(await page.getAttribute('#attention-level', 'aria-valuetext')).toBe('8 of 8 blocks attend');
    await page.fill('#prompt', 'Tell me a story about a fox called Mia.');
    await page.keyboard.press('Enter');
    await poll(() => page.isVisible('.after')).toBe(true);
    const full = await lastReply(page);
    const kv = await kvOf(page);
    expect(full.length).toBeGreaterThan(10);

    await press(page, 'ArrowLeft');
    await poll(() => hint(page)).toMatch(
      /^Block 1 without attention, taken in the order of the model’s analysis.json/,
    );
    await press(page, 'Home');
    expect(await page.innerText('#attention-kept')).toBe('0 of 8 blocks');
    await poll(() => kvOf(page)).toBe('0 B');
    await poll(() => figures(page)).toMatch(/perplexity [\d.]+, [\d.]+ × full/);
    expect(await hint(page)).toMatch(/Perplexity on \d+ tokens of this conversation/);
    const [, ratio] = / ([\d.]+) ×/.exec(await figures(page))!;
    expect(Number(ratio)).toBeGreaterThan(1.1);
    // Measuring the full model took KV, and gave it back.
    expect(await kvOf(page)).toBe('0 B');
    const bare = await regenerated(page);
    expect(bare.length).toBeGreaterThan(0);
    expect(bare).not.toBe(full);
    expect(await figures(page)).toMatch(/tokens\/s/);

    await press(page, 'End');
    await poll(() => figures(page)).toContain('perplexity as full');
    expect(await regenerated(page)).toBe(full);
    expect(await kvOf(page)).toBe(kv);
    expect(problems).toEqual([]);
  });

  test('before a conversation, and on a narrow screen, a built-in text is measured', async () => {
    const { page, problems } = await openParent({ width: 380, height: 700 });
    await poll(() => page.textContent('#announce')).toMatch(/is ready/);
    await press(page, 'Home');
    await poll(() => hint(page)).toMatch(/Perplexity on \d+ tokens of a built-in text/);
    expect(await figures(page)).toMatch(/[\d.]+ × full/);
    expect(await fits(page)).toBe(true);
    await press(page, 'End');
    await poll(() => figures(page)).toContain('perplexity as full');
    expect(await fits(page)).toBe(true);
    expect(problems).toEqual([]);
  });

  test('a reply under way goes on without attention; its KV is freed behind it', async () => {
    const { page, problems } = await openChat();
    writeFolder(folder, endlessChatModel());
    await chooseFolder(page, folder, basename(folder));
    await set(page, 'maxTokens', '4000');
    // Without attention the likeliest tokens soon go round in a circle, which may be one of line ends, that show nothing.
    await set(page, 'temperature', '1');
    await page.fill('#prompt', 'Go');
    await page.keyboard.press('Enter');
    await poll(async () => (await lastReply(page)).length).toBeGreaterThan(3);
    await press(page, 'Home');
    await poll(() => hint(page)).toMatch(/^Blocks 0 1 without attention/);
    const early = (await lastReply(page)).length;
    await poll(async () => (await lastReply(page)).length).toBeGreaterThan(early + 20);
    expect(await kvOf(page)).not.toBe('0 B');
    await page.click('#stop');
    await poll(() => kvOf(page)).toBe('0 B');
    await poll(() => hint(page)).toMatch(/tokens of this conversation/);
    expect(problems).toEqual([]);
  });

  test('a folder brings its order; one that does not fit is told, and the top goes first', async () => {
    const { page } = await openChat();
    await cp(PARENT, folder, { recursive: true });
    const name = basename(folder);
    const order = { skip: [2, 5], linear: [5] };
    await writeFile(join(folder, 'analysis.json'), JSON.stringify({ order }));
    await chooseFolder(page, folder, name);
    for (const key of ['End', 'ArrowLeft', 'ArrowLeft', 'ArrowLeft']) await press(page, key);
    await poll(() => hint(page)).toMatch(/^Blocks 2 5 7 without .* order of the model’s analysis.json/);

    await writeFile(join(folder, 'analysis.json'), JSON.stringify({ order: { skip: [9] } }));
    await chooseFolder(page, folder, name);
    await poll(() => page.innerText('.notice')).toContain('9');
    await press(page, 'ArrowLeft');
    await poll(() => hint(page)).toMatch(/^Block 7 without attention, taken from the top/);
  });

  test('a model with no attention says that there is none to spare', async () => {
    const { page } = await openChat();
    writeFolder(folder, { ...tinyFiles(randomModel(BARE, 3)), ...byteTokenizerFiles(260) });
    await chooseFolder(page, folder, basename(folder));
    expect(await page.isDisabled('#attention-level')).toBe(true);
    expect(await hint(page)).toMatch(/no attention to spare/);
  });
});
