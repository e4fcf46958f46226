import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright';
import { expect, inject, test } from 'vitest';
import { readHeader } from '../../src/formats/safetensors.ts';
import { memorySource } from '../support/memory-source.ts';
import { tabs } from '../support/tabs.ts';

const LONG = 120_000;

const openTab = tabs();
let page: Page;
let problems: string[];

async function open(fields: Record<string, string>): Promise<void> {
  ({ page, problems } = await openTab({ viewport: { width: 360, height: 800 } }));
  await page.goto(new URL('train.html', inject('demoUrl')).href);
  await page.click('summary');
  for (const [name, value] of Object.entries(fields)) await page.fill(`[name=${name}]`, value);
}

const rested = (): Promise<unknown> => page.waitForSelector('#try', { timeout: LONG });
const cells = (row: number): Promise<string[]> =>
  page.locator(`#table tbody tr:nth-child(${row}) td`).allTextContents();

test(
  'a pair is trained, stopped, gone on with, tried and saved',
  async () => {
    const SMALL = {
      hidden: '16',
      blocks: '2',
      front: '1',
      pairs: '0',
      vocabulary: '320',
      rows: '4',
      length: '48',
    };
    await open({ ...SMALL, steps: '60', learningRate: '0.01' });
    await page.click('#run');
    // Read in the page as soon as it is there: a busy machine trains on before an answer comes.
    const drawn = await page.waitForFunction(
      () =>
        document.querySelector('#curve canvas') &&
        Array.from(document.querySelectorAll('#table tbody tr:nth-child(2) td'), (cell) => cell.textContent),
      null,
      { timeout: LONG },
    );
    const first = ((await drawn.jsonValue()) as string[]).map(Number);
    expect(first).toHaveLength(2);
    await page.click('#cancel');
    await rested();
    expect(await page.isDisabled('[name=hidden]')).toBe(true);
    expect(await page.textContent('#run')).toBe('Go on');
    await page.click('#run');
    await rested();
    expect(await page.isVisible('#run')).toBe(false);
    // 320 x 16 + 2 x (16 x 16 x 4 + 16 x 48 x 3 + 32) + 16; the child lacks one attention with its norm.
    expect(await cells(1)).toEqual(['11,856', '10,816']);
    const last = (await cells(2)).map(Number);
    for (const i of [0, 1]) expect(last[i]!).toBeLessThan(first[i]! - 0.5);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);

    await page.fill('[name=prompt]', 'Hello!');
    await page.press('[name=prompt]', 'Enter');
    await expect.poll(() => page.textContent('#announce'), { timeout: LONG }).toBe('Both have answered.');
    const replies = await page.locator('#replies dd').allTextContents();
    expect(replies.map((text) => text.length > 1)).toEqual([true, true]);

    const files: Record<string, Uint8Array> = {};
    const kept = new Promise<void>((resolve) => {
      page.on('download', async (download) => {
        files[download.suggestedFilename()] = await readFile(await download.path());
        if (Object.keys(files).length === 6) resolve();
      });
    });
    await page.click('#save-child');
    await kept;
    const { tensors } = await readHeader(memorySource(files), 'model.safetensors');
    expect(tensors.has('model.layers.0.self_attn.q_proj.weight')).toBe(true);
    expect(tensors.has('model.layers.1.self_attn.q_proj.weight')).toBe(false);
    const training = JSON.parse(new TextDecoder().decode(files['training.json']));
    expect(training).toMatchObject({ hidden: 16, step: 60 });
    expect(problems).toEqual([]);
  },
  LONG,
);

test('what cannot be is refused at its field, and the page goes on', async () => {
  await open({ blocks: '2', front: '3' });
  await page.click('#run');
  expect(await page.textContent('.notice strong')).toBe(
    'Attention blocks of the child is "3", expected a whole number from 0 to 2.',
  );
  expect(await page.evaluate(() => document.activeElement?.getAttribute('name'))).toBe('front');
  await page.fill('[name=front]', '1');
  await page.setInputFiles('[name=text]', {
    name: 'empty.txt',
    mimeType: 'text/plain',
    buffer: Buffer.from(' \n'),
  });
  await page.fill('[name=pairs]', '0');
  await page.click('#run');
  await expect.poll(() => page.textContent('.notice strong')).toBe('The corpus file empty.txt is empty.');
  expect(await page.isEnabled('#run')).toBe(true);
});
