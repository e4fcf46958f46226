import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { expect, inject, test } from 'vitest';
import type { ConvertReport } from '../../src/convert/report.ts';
import { charTokenizerFiles } from '../support/char-tokenizer.ts';
import { tabs } from '../support/tabs.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

const LONG = 120_000;
const withParent = existsSync(join(import.meta.dirname, '../../demo/public/models/parent/config.json'));

const openTab = tabs();
let page: Page;
let problems: string[];

async function open(width = 1200): Promise<void> {
  ({ page, problems } = await openTab({ viewport: { width, height: 800 } }));
  await page.goto(new URL('convert.html', inject('demoUrl')).href);
  // The form is wired once the included parent is in it, or there is none.
  await page.waitForSelector(withParent ? '#openers button' : '#settings');
}

const notices = (): Promise<string | null> => page.textContent('#notices');
const analysed = () =>
  page.waitForFunction(() => document.querySelectorAll('#report canvas').length >= 4, null, {
    timeout: LONG,
  });
const wide = (): Promise<number> =>
  page.evaluate(() =>
    Math.max(document.documentElement.scrollWidth, document.querySelector('main')!.scrollWidth),
  );

/** Chooses the files of a tiny model, whose text is single characters. */
async function chooseTiny(name: 'llama' | 'shishu' | 'mobilellm'): Promise<void> {
  const files = { ...tinyFiles(tinyModel(name, 7)), ...charTokenizerFiles() };
  await page.evaluate(
    (parts) => {
      const data = new DataTransfer();
      for (const [file, bytes] of parts) data.items.add(new File([new Uint8Array(bytes)], file));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
    },
    Object.entries(files).map(([file, bytes]) => [file, [...bytes]] as const),
  );
  await expect.poll(() => page.inputValue('[name=parent]')).toContain('dropped files');
}

async function dropText(text: string): Promise<void> {
  await page.evaluate((content) => {
    const data = new DataTransfer();
    data.items.add(new File([content], 'text.txt'));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true }));
  }, text);
  await expect.poll(() => page.inputValue('[name=text]')).toBe(text);
}

const letters = (count: number): string =>
  Array.from({ length: count }, (_, i) => String.fromCharCode(33 + ((i * i + 7 * i) % 59))).join('');

test.runIf(withParent)(
  'the embedded parent is analysed, converted and chatted with, by keyboard, on 360 pixels',
  async () => {
    await open(360);
    await page.fill('[name=tokens]', '320');
    await page.fill('[name=window]', '64');
    await page.press('[name=window]', 'Enter');
    await analysed();
    const layers = await page.locator('#report tbody tr').count();
    // The software adapter of the tests has timestamp-query.
    expect(await page.locator('#report figcaption').allTextContents()).toContainEqual(
      expect.stringContaining('GPU time of one token'),
    );
    expect(await page.textContent('#report thead')).toMatch(/attention µs.*map µs.*MLP µs.*MLP bytes/);
    expect(await page.inputValue('[name=keep]')).toBe(String(Math.ceil(layers / 2)));
    expect(await wide()).toBeLessThanOrEqual(360);

    await page.selectOption('[name=target]', 'layers');
    await page.fill('[name=layers]', '2-3');
    await page.fill('[name=pairs]', '1');
    await page.fill('[name=rank]', '16');
    await page.fill('[name=name]', 'tried');
    await page.press('[name=name]', 'Enter');
    await page.waitForSelector('#chat-with-it', { timeout: LONG });
    expect(await wide()).toBeLessThanOrEqual(360);
    const steps = await page.locator('#result table').first().locator('tbody th').allTextContents();
    expect(steps).toEqual(['parent', 'attention dropped', 'linear maps', 'written, 1 pair shared (average)']);

    const downloads: string[] = [];
    let report: ConvertReport | undefined;
    page.on('download', async (file) => {
      downloads.push(file.suggestedFilename());
      if (file.suggestedFilename() === 'report.json')
        report = JSON.parse(await readFile(await file.path(), 'utf8'));
    });
    await page.click('#save-files');
    await expect
      .poll(() => report, { timeout: 20_000 })
      .toMatchObject({ layers: [2, 3], sharedPairs: 1, r2: [{ rank: 16 }, { rank: 16 }] });
    await expect.poll(() => downloads).toContain('model.safetensors');
    expect(report!.parameters.child).toBeLessThan(report!.parameters.parent);

    await page.focus('#chat-with-it');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.textContent('#announce'), { timeout: 45_000 }).toBe('tried is ready.');
    expect(await page.textContent('#attention-hint')).toContain('in the order of the model’s analysis.json');
    await page.click('#settings-panel summary');
    await page.fill('#settings [name=maxTokens]', '8');
    await page.keyboard.press('Escape');
    await page.fill('#prompt', 'What day comes after Monday?');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.locator('.reply').last().innerText(), { timeout: 45_000 }).toMatch(/\w/);

    await page.goto(new URL('convert.html', inject('demoUrl')).href);
    await page.click('[aria-label="Remove tried"]');
    await expect.poll(() => page.isVisible('#made')).toBe(false);
    expect(problems).toEqual([]);
  },
  LONG,
);

test(
  'what cannot be is said, cancelling leaves nothing, and dropped files do',
  async () => {
    await open();
    await chooseTiny('shishu');
    await page.fill('[name=window]', '48');
    await page.click('#run');
    await expect.poll(notices, { timeout: 45_000 }).toContain('a ShishuLM already');

    await chooseTiny('llama');
    await dropText('ABC');
    await page.click('#run');
    await expect.poll(notices, { timeout: 45_000 }).toMatch(/has 3 tokens, .* needs 115/);
    await page.fill('[name=tokens]', 'many');
    await page.click('#run');
    await expect.poll(() => page.getAttribute('[name=tokens]', 'aria-invalid')).toBe('true');

    await page.fill('[name=tokens]', '8000');
    await dropText(letters(8000));
    await page.click('#run');
    await page.waitForFunction(
      () => /Measuring/.test(document.querySelector('#progress-text')?.textContent ?? ''),
      null,
      { timeout: LONG },
    );
    await page.click('#cancel');
    await expect.poll(() => page.isEnabled('#run'), { timeout: 45_000 }).toBe(true);
    expect(await page.isVisible('#report')).toBe(false);

    await dropText(letters(480));
    await page.click('#run');
    await analysed();
    await page.selectOption('[name=target]', 'memory');
    await page.fill('[name=memory]', '-99%');
    await page.click('#convert');
    await expect.poll(notices).toContain('cannot be reached');
    await page.selectOption('[name=target]', 'layers');
    await page.fill('[name=layers]', '0,3');
    await page.click('#convert');
    await expect.poll(notices).toContain('Layer 3 is not an attention block');
    await page.fill('[name=layers]', '2-1');
    await page.click('#convert');
    await expect.poll(() => page.getAttribute('[name=layers]', 'aria-invalid')).toBe('true');
    await page.fill('[name=layers]', '1');
    await page.fill('[name=rank]', '5000');
    await page.click('#convert');
    await expect.poll(notices).toContain('The rank of maps is 5000');
    expect(await page.getAttribute('[name=rank]', 'aria-invalid')).toBe('true');
    await page.fill('[name=rank]', '0');
    await page.fill('[name=heal]', '100');
    await page.click('#convert');
    await expect.poll(notices).toContain('The trainer has no scaled rotary embeddings');
    expect(await page.getAttribute('[name=heal]', 'aria-invalid')).toBe('true');
    expect(await page.isVisible('#made')).toBe(false);
    expect(problems).toEqual([]);
  },
  LONG,
);

test(
  'a child is healed in the page, which fetches the trainer only then; cancelled, it leaves nothing',
  async () => {
    await open(380);
    const scripts: string[] = [];
    page.on('request', (request) => scripts.push(request.url()));
    const trainers = (): number => scripts.filter((url) => /trainer-[\w-]+\.js$/.test(url)).length;
    await chooseTiny('mobilellm');
    await dropText(letters(600));
    await page.fill('[name=window]', '24');
    await page.click('#run');
    await analysed();
    const heal = async (tokens: string): Promise<void> => {
      await page.fill('[name=heal]', tokens);
      await page.click('#convert');
    };
    const healing = () => expect.poll(() => page.textContent('#progress-text'), { timeout: LONG });
    await heal('0');
    await page.waitForSelector('#chat-with-it', { timeout: LONG });
    expect(trainers()).toBe(0);
    expect(await page.textContent('#result')).not.toContain('healed');

    await heal('100000');
    await expect.poll(notices).toMatch(/would pass \d+ times over the \d+ tokens/);
    expect(await page.getAttribute('[name=heal]', 'aria-invalid')).toBe('true');
    await page.fill('[name=heal]', '4000');
    await page.fill('[name=healRate]', '2');
    await page.click('#convert');
    await expect.poll(notices).toContain('The learning rate is "2"');
    expect(await page.getAttribute('[name=healRate]', 'aria-invalid')).toBe('true');

    await page.fill('[name=healRate]', '0.01');
    await page.click('#convert');
    await healing().toMatch(/^healing: step \d+ of \d+, loss [\d.]+, \d+ tokens\/s, \d+ s left/);
    expect(trainers()).toBe(1);
    await page.click('#cancel');
    await expect.poll(() => page.textContent('#announce'), { timeout: LONG }).toBe('Cancelled.');
    expect(await page.isVisible('#result')).toBe(false);
    const folders = await page.evaluate(async () => {
      const names: string[] = [];
      const root = await navigator.storage.getDirectory();
      const made = await root.getDirectoryHandle('shishulm-made');
      for await (const name of (made as unknown as { keys(): AsyncIterable<string> }).keys())
        names.push(name);
      return names;
    });
    expect(folders).toHaveLength(1);

    await page.click('#convert');
    await page.waitForSelector('#chat-with-it', { timeout: LONG });
    const table = page.locator('#result table').first();
    expect((await table.locator('tbody th').allTextContents()).slice(-2)).toEqual(['written', 'healed']);
    const perplexities = await table.locator('td:first-of-type').allTextContents();
    const [before, after] = perplexities.slice(-2).map(Number);
    expect(after).toBeLessThan(0.95 * before!);
    expect(await page.textContent('#result')).toContain(
      `healed: perplexity ${before!.toFixed(3)} -> ${after!.toFixed(3)}`,
    );
    expect(await wide()).toBeLessThanOrEqual(380);
    await page.click('#chat-with-it');
    await expect
      .poll(() => page.textContent('#announce'), { timeout: 45_000 })
      .toMatch(/-healed is ready\.$/);
    expect(problems).toEqual([]);
  },
  LONG,
);
