import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright';
import { expect, inject, test } from 'vitest';
import type { BenchResult } from '../../src/bench/result.ts';
import { result } from '../support/bench-result.ts';
import { type Tab, tabs } from '../support/tabs.ts';

const LONG = 180_000;

const open = tabs();

const SMALL = new URLSearchParams({
  parent: 'Tiny-1M',
  child: 'Tiny-1M:4,4,2,0',
  prompts: '8',
  positions: '4,40',
  batches: '2',
  steps: '2',
  repetitions: '2',
});

async function openBench(hash = '', width = 1200, script: () => void = () => {}): Promise<Tab> {
  const { page, problems } = await open({ viewport: { width, height: 800 } });
  await page.addInitScript(script);
  await page.goto(new URL(`bench.html${hash}`, inject('demoUrl')).href);
  await page.waitForSelector('#openers button, .notice');
  return { page, problems };
}

const ended = (page: Page) =>
  page.waitForFunction(() => document.querySelector('#loading')?.hasAttribute('hidden'), null, {
    timeout: LONG,
  });

async function saved(page: Page, button: string): Promise<string> {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return readFile(await download.path(), 'utf8');
}

test(
  'a small pair runs from its link: plots, table, JSON, CSV and Markdown',
  async () => {
    const { page, problems } = await openBench(`#${SMALL}`);
    expect(await page.isVisible('#report')).toBe(false);
    await page.click('#run');
    await ended(page);
    const result: BenchResult = JSON.parse(await saved(page, '#save-json'));
    expect(result).toMatchObject({ format: 'shishulm-bench-1', ended: 'complete', error: null });
    expect(result.adapter.software).toBe(true);
    expect(result.models.map(({ label, weights }) => [label, weights])).toEqual([
      ['Tiny-1M', 'synthesised'],
      ['Tiny-1M (4,4,2,0)', 'synthesised'],
    ]);
    expect([result.prompts, result.decode, result.batches].map((points) => points.length)).toEqual([2, 4, 2]);
    expect(result.decode.every(({ ms }) => ms.samples.length === 2 && ms.q1 > 0)).toBe(true);
    expect(new URLSearchParams(result.settings).get('positions')).toBe('4,40');

    // Latency, first token, memory, throughput, and with timestamps four of GPU time.
    expect(await page.locator('#report .table th[scope=row]').count()).toBe(14);
    const canvases = page.locator('figure canvas');
    await expect.poll(() => canvases.count()).toBe(result.adapter.features.timestamps ? 8 : 4);
    const drawn = await canvases.evaluateAll((all) =>
      all.map((canvas) => {
        const { width, height } = canvas as HTMLCanvasElement;
        const { data } = (canvas as HTMLCanvasElement).getContext('2d')!.getImageData(0, 0, width, height);
        return new Set(new Uint32Array(data.buffer)).size;
      }),
    );
    // Ink in more than one colour.
    expect(Math.min(...drawn)).toBeGreaterThan(5);
    expect(await page.textContent('.cautions')).toContain('software adapter');
    expect(await page.textContent('#report table')).toContain('A token at position 40');
    expect(await page.textContent('#claims')).toContain('not measured here');
    expect(await saved(page, '#save-csv')).toContain('what,model,at,unit');
    expect(result.batches.every(({ weightBytesPerToken }) => weightBytesPerToken > 0)).toBe(true);
    // No browser says that a software adapter is in the table; its user may say so of theirs.
    expect(result.adapter.gpu).toBe(null);
    if (result.adapter.features.timestamps) {
      const kernels = page.locator('.kernels');
      expect(await kernels.textContent()).toContain('the GPU is not known');
      await page.selectOption('#compare', 'NVIDIA RTX 4090');
      expect(await kernels.textContent()).toContain('public figures of NVIDIA RTX 4090');
      const compared: BenchResult = JSON.parse(await saved(page, '#save-json'));
      expect(compared.adapter.gpu).toBe('NVIDIA RTX 4090');
      expect(compared.profile.every(({ expected, work }) => expected! > 0 && work.bytes > 0)).toBe(true);
      await page.selectOption('#compare', '');
      expect(JSON.parse(await saved(page, '#save-json'))).toEqual(result);
    }
    expect(await saved(page, '#save-markdown')).toContain('# Tiny-1M against Tiny-1M (4,4,2,0)');

    await page.reload();
    await expect.poll(() => page.textContent('#results-list')).toContain('Tiny-1M against Tiny-1M (4,4,2,0)');
    await page.click('#results-list button:has-text("Show")');
    expect(await page.textContent('#report table')).toContain('A token at position 40');
    await page.click('#results-list button:has-text("Delete")');
    await expect.poll(() => page.isVisible('#results')).toBe(false);
    expect(problems).toEqual([]);
  },
  LONG,
);

test(
  'the embedded pair runs with the settings that the page opens with',
  async () => {
    const { page, problems } = await openBench();
    expect(await page.getAttribute('text=Included pair', 'aria-pressed')).toBe('true');
    await page.click('#run');
    await ended(page);
    expect(await page.textContent('#notices')).toBe('');
    const result: BenchResult = JSON.parse(await saved(page, '#save-json'));
    expect(result).toMatchObject({ ended: 'complete', error: null });
    expect(result.models.map(({ label, weights }) => [label, weights])).toEqual([
      ['parent', 'folder'],
      ['child', 'folder'],
    ]);
    expect(problems).toEqual([]);
  },
  LONG,
);

test(
  'hidden, then cancelled, it says both and keeps what was measured',
  async () => {
    const { page } = await openBench(`#${SMALL}`);
    await page.click('.more summary');
    await page.fill('[name=repetitions]', '1000');
    await page.click('#run');
    await page.waitForFunction(
      () => /of 8 tokens, [5-9]/.test(document.querySelector('#progress-text')?.textContent ?? ''),
      null,
      { timeout: LONG },
    );
    // What a browser does when another tab comes to the front; headless ones show every page.
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { value: true, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await page.click('#cancel');
    await ended(page);
    expect(await page.textContent('.cautions')).toContain('did not finish (cancelled)');
    expect(await page.textContent('.cautions')).toContain('The tab was hidden.');
    const result: BenchResult = JSON.parse(await saved(page, '#save-json'));
    expect(result).toMatchObject({ ended: 'cancelled', disturbed: ['The tab was hidden.'] });
    expect(await page.textContent('#report table')).toContain('Weights on the GPU');
    expect(await page.isEnabled('#run')).toBe(true);
  },
  LONG,
);

test('a preset is chosen by one click; what cannot be or does not fit is said', async () => {
  const { page, problems } = await openBench();
  await page.click('text=Llama-3.2-1B');
  expect(await page.inputValue('[name=child]')).toBe('Llama-3.2-1B:8,8,4,0');
  // A software adapter is offered a slice.
  expect(await page.inputValue('[name=blocks]')).toBe('6');
  await page.click('.more summary');
  await page.fill('#memory', '1.5');
  await page.click('#run');
  await expect
    .poll(() => page.textContent('#notices'))
    .toMatch(/together need .* the limit is 1.5 GB.*What fits/);
  await page.fill('[name=child]', 'Llama-3.2-1B:8,8,5,0');
  await page.click('#run');
  await expect.poll(() => page.textContent('#notices')).toContain('5 shared pairs need 10');
  await page.fill('[name=prompts]', 'many');
  await page.fill('[name=child]', 'Llama-3.2-1B');
  await page.click('#run');
  await expect.poll(() => page.getAttribute('[name=prompts]', 'aria-invalid')).toBe('true');
  expect(await page.isVisible('#report')).toBe(false);
  expect(problems).toEqual([]);
});

const focused = (page: Page) => page.evaluate(() => document.activeElement?.id);

test(
  'by keyboard: the focus goes from Run to Cancel, and back when the run ended',
  async () => {
    const { page } = await openBench(`#${SMALL}`);
    await page.focus('#run');
    await page.keyboard.press('Enter');
    await expect.poll(() => focused(page)).toBe('cancel');
    await page.keyboard.press('Enter');
    await ended(page);
    expect(await focused(page)).toBe('run');
    expect(await page.textContent('.cautions')).toContain('did not finish (cancelled)');
  },
  LONG,
);

test('a link that is put into the address of the open page is taken', async () => {
  const { page } = await openBench();
  await page.evaluate((hash) => {
    location.hash = hash;
  }, `${SMALL}`);
  await expect.poll(() => page.inputValue('[name=parent]')).toBe('Tiny-1M');
  expect(await page.inputValue('[name=positions]')).toBe('4,40');
});

test('two saved results are compared; other files are refused by name', async () => {
  const { page, problems } = await openBench('', 360);
  const other: BenchResult = structuredClone(result);
  other.models[1]!.label = '<img src=x>';
  for (const { ms } of other.decode) for (const name of ['median', 'q1', 'q3'] as const) ms[name] /= 2;
  const file = (name: string, value: object) => ({
    name,
    mimeType: 'application/json',
    buffer: Buffer.from(JSON.stringify(value)),
  });
  await page.setInputFiles('#result-files', [
    file('a.json', result),
    file('b.json', { ...other, date: '2026-03-03' }),
  ]);
  const row = page.locator('#comparison tr', { hasText: 'A token at position 16' });
  await expect
    .poll(() => row.locator('td').allTextContents())
    .toEqual(['4.00 ms', '2.00 ms', '0.500', '3.00 ms', '1.50 ms', '0.500']);
  await expect.poll(() => page.locator('#comparison canvas').count()).toBe(4);
  expect(await page.locator('#comparison img, #results img').count()).toBe(0);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  expect(await saved(page, '#save-comparison')).toContain('- B: parent, "big" against <img src=x>');
  await page.setInputFiles('#result-files', [file('config.json', { model_type: 'llama' })]);
  await expect.poll(() => page.textContent('#notices')).toContain('config.json is no saved result');
  expect(problems).toEqual([]);
});

test('a link carries the memory limit too', async () => {
  const { page } = await openBench(`#${SMALL}&memory=1.5`);
  await expect.poll(() => page.inputValue('#memory')).toBe('1.5');
  await page.click('#link');
  expect(new URLSearchParams(new URL(page.url()).hash.slice(1)).get('memory')).toBe('1.5');
});

test('a GPU that gives no device is told', async () => {
  const { page, problems } = await openBench('', 1200, () => {
    // The blank page before it has none in Firefox.
    if ('GPUAdapter' in globalThis)
      GPUAdapter.prototype.requestDevice = () => Promise.reject(new DOMException('gone', 'OperationError'));
  });
  await expect.poll(() => page.textContent('#notices')).toContain('The GPU gives no device: gone.');
  expect(await page.isVisible('#run')).toBe(false);
  expect(problems).toEqual([]);
});

test(
  'nothing is wider than a screen of 360 pixels',
  async () => {
    const { page } = await openBench(`#${SMALL}`, 360);
    await page.click('.more summary');
    await page.click('#run');
    await ended(page);
    for (const part of ['html', 'main', '.table']) {
      const [inside, own] = await page
        .locator(part)
        .evaluate((element) => [element.scrollWidth, element.clientWidth]);
      expect(inside, part).toBeLessThanOrEqual(own!);
      expect(own, part).toBeLessThanOrEqual(360);
    }
  },
  LONG,
);
