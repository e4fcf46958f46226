// The chat page, as tests drive it.
import type { Browser, BrowserContextOptions, Page } from 'playwright';
import { afterAll, afterEach, beforeAll, expect, inject } from 'vitest';
import { launchBrowser } from './browser.ts';
import { byteTokenizerFiles } from './byte-tokenizer.ts';
import { randomModel, tinyFiles } from './tiny-models.ts';

/** Opens a page in a tab of its own; `problems` collects whatever the console calls an error. */
export type Open = (
  options?: BrowserContextOptions,
  prepare?: (page: Page) => Promise<unknown>,
  search?: string,
) => Promise<{ page: Page; problems: string[] }>;

/** A browser for the tests of a file, its tabs closed behind each. */
export function chatPages(): Open {
  let browser: Browser;
  const pages: Page[] = [];
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.context().close();
  });
  return async (options = {}, prepare = async () => {}, search = '') => {
    const page = await (await browser.newContext(options)).newPage();
    pages.push(page);
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    // Without the models that may be embedded, unless a test brings its own.
    await page.route('**/models/models.json', (route) => route.fulfill({ json: [] }));
    await prepare(page);
    await page.goto(`${inject('demoUrl')}index.html${search}`);
    // The page listens once it knows which models are included.
    await page.waitForSelector('#openers > *, #loading:not([hidden])', { state: 'attached' });
    return { page, problems };
  };
}

/** Retries until it holds: software rendering on a busy machine is slow. */
export const poll: typeof expect.poll = (read, options) => expect.poll(read, { timeout: 45_000, ...options });

export const ready = (page: Page, name: string): Promise<void> =>
  poll(() => page.textContent('#announce')).toBe(`${name} is ready.`);

export async function chooseFolder(page: Page, path: string, name: string): Promise<void> {
  await page.setInputFiles('#folder-input', path);
  await ready(page, name);
}

/** Keeps what the line beside the bar says while models load, from here on; the function tells it. */
export async function loadingTexts(page: Page): Promise<() => Promise<string[]>> {
  await page.evaluate(() => {
    const line = document.getElementById('load-text')!;
    const texts: string[] = [];
    Object.assign(window, { loadingTexts: texts });
    const note = (): void => void texts.push(line.textContent ?? '');
    new MutationObserver(note).observe(line, { childList: true, characterData: true, subtree: true });
  });
  return () => page.evaluate(() => (window as unknown as { loadingTexts: string[] }).loadingTexts);
}

/** Sets a field of the settings panel. */
export async function set(page: Page, name: string, value: string): Promise<void> {
  await page.click('#settings-panel summary');
  await page.fill(`#settings [name=${name}]`, value);
  await page.keyboard.press('Escape');
}

export const lastReply = (page: Page): Promise<string> => page.locator('.reply').last().innerText();
export const fits = (page: Page): Promise<boolean> =>
  page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

const ENDLESS = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 260,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: false,
};

/** Files of a random chat model whose replies have no end of their own. */
export function endlessChatModel(): Record<string, string | Uint8Array> {
  const { 'generation_config.json': _, ...tokenizer } = byteTokenizerFiles(260);
  return { ...tinyFiles(randomModel(ENDLESS, 5)), ...tokenizer };
}
