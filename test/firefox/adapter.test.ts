// What Firefox offers here: all the other tests of this lane mean little where it lacks something.
import type { Browser } from 'playwright';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { launchBrowser } from '../support/browser.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser.close());

// naga has no subgroups yet.
const expected = (process.env.EXPECT_GPU_FEATURES ?? '')
  .split(',')
  .filter((name) => name && name !== 'subgroups');

/** Names the features of the adapter; runs in the page and in a worker. */
const features = async (): Promise<string[]> => {
  const adapter = await navigator.gpu.requestAdapter();
  return [...(adapter?.features ?? ['no adapter'])];
};

test('the page and its workers have an adapter with the features that this run is to cover', async () => {
  const page = await browser.newPage();
  await page.goto(inject('demoUrl'));
  const here = await page.evaluate(features);
  const there = await page.evaluate(
    (source) =>
      new Promise<string[]>((resolve, reject) => {
        const text = `(${source})().then(postMessage)`;
        const worker = new Worker(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })));
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
      }),
    String(features),
  );
  expect(here).toEqual(expect.arrayContaining(['core-features-and-limits', ...expected]));
  expect(there).toEqual(here);
});
