// The chat page, as tests drive it.
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { BrowserContextOptions, Page } from 'playwright';
import { expect, inject } from 'vitest';
import { browserName } from './browser.ts';
import { byteTokenizerFiles } from './byte-tokenizer.ts';
import { type Tab, tabs } from './tabs.ts';
import { randomModel, tinyFiles } from './tiny-models.ts';

/**
 * Opens a page in a tab of its own, with a query; `problems` collects whatever the console calls an error, and that a GPU
 * computes wrongly.
 */
export type Open = (
  options?: BrowserContextOptions,
  prepare?: (page: Page) => Promise<unknown>,
  search?: string,
) => Promise<Tab>;

/** A browser for the tests of a file, its tabs closed behind each. */
export function chatPages(): Open {
  const open = tabs();
  return async (options = {}, prepare = async () => {}, search = '') => {
    const { page, problems } = await open(options);
    page.on('console', (message) => {
      // A self-test that fails is a warning, for slower kernels do.
      if (message.type() === 'error' || /computes wrongly/.test(message.text()))
        problems.push(message.text());
    });
    // Without the models that may be embedded, unless a test brings its own.
    await page.route('**/models/models.json', (route) => route.fulfill({ json: [] }));
    await prepare(page);
    await page.goto(`${inject('demoUrl')}index.html${search}`);
    // The page listens once it knows which models are included.
    await page.waitForSelector('html[data-started], body.unsupported', { state: 'attached' });
    return { page, problems };
  };
}

/** Lets the page list the models that it includes: all of them, or one. */
export async function includeModels(page: Page, only?: string): Promise<void> {
  const answer = await fetch(`${inject('demoUrl')}models/models.json`);
  const rows = (await answer.json()) as { id: string }[];
  const json = rows.filter(({ id }) => only === undefined || id === only);
  await page.route('**/models/models.json', (route) => route.fulfill({ json }));
}

/** Retries until it holds: software rendering on a busy machine is slow. */
export const poll: typeof expect.poll = (read, options) => expect.poll(read, { timeout: 45_000, ...options });

export const ready = (page: Page, name: string): Promise<void> =>
  poll(() => page.textContent('#announce')).toBe(`${name} is ready.`);

export async function chooseFolder(page: Page, path: string, name: string): Promise<void> {
  await setFolder(page, path);
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

/** Chooses a folder of this machine at the page's button, whatever the page says then. */
export async function setFolder(page: Page, path: string): Promise<void> {
  if (browserName !== 'firefox') return page.setInputFiles('#folder-input', path);
  // WebDriver BiDi gives Firefox single files alone; the page is told of their folder as the picker would tell it.
  await page.locator('#folder-input').evaluate((element, folder) => {
    const input = element as HTMLInputElement;
    input.webkitdirectory = false;
    const name = (): void => {
      for (const file of input.files!)
        Object.defineProperty(file, 'webkitRelativePath', { value: `${folder}/${file.name}` });
    };
    addEventListener('change', name, { capture: true, once: true });
  }, basename(path));
  const names = await readdir(path);
  await page.setInputFiles(
    '#folder-input',
    names.map((name) => join(path, name)),
  );
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

/** Files of a random chat model whose replies have no end of their own: neither its tokenizer nor its template names one. */
export function endlessChatModel(): Record<string, string | Uint8Array> {
  const { 'generation_config.json': _, ...tokenizer } = byteTokenizerFiles(260);
  const { eos_token: __, ...config } = JSON.parse(tokenizer['tokenizer_config.json']!);
  config.chat_template = '{% for message in messages %}{{ message.content }}{% endfor %}';
  return {
    ...tinyFiles(randomModel(ENDLESS, 5)),
    ...tokenizer,
    'tokenizer_config.json': JSON.stringify(config),
  };
}
