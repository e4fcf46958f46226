// Runs the benchmark page in headless Chromium and prints its report: what a browser measures, without clicking.
//   node scripts/bench-chromium.mjs parent=MobileLLM-125M child=MobileLLM-125M:15,15,7,0 blocks=6 [--json] [--serve NAME=DIR]
// Settings are those of the page's link. --serve gives a model folder of this machine to the page, as the spec `served/NAME/`.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright';
import { build, preview } from 'vite';
import { chromiumArgs, findBrowser } from './find-browser.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, serve: { type: 'string', multiple: true, default: [] } },
});
const settings = new URLSearchParams(positionals.join('&'));

await build({ mode: 'demo', logLevel: 'warn' });
const server = await preview({ mode: 'demo', preview: { port: 0, host: '127.0.0.1' }, logLevel: 'warn' });
const browser = await chromium.launch({ executablePath: await findBrowser(), args: chromiumArgs });
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(error.message));
  for (const pair of values.serve) {
    const [name, folder] = pair.split('=');
    await page.route(`**/served/${name}/*`, async (route) => {
      const path = join(folder ?? '', basename(new URL(route.request().url()).pathname));
      const body = await readFile(path).catch(() => undefined);
      await route.fulfill(body ? { body } : { status: 404 });
    });
  }
  await page.goto(new URL(`bench.html#${settings}`, server.resolvedUrls?.local[0]).href);
  await page.waitForSelector('#openers button');
  await page.click('#run');
  const progress = page.locator('#progress-text');
  for (let seen = ''; await page.isVisible('#loading'); await page.waitForTimeout(1000)) {
    const text = (await progress.textContent()) ?? '';
    if (text !== seen) console.error(text);
    seen = text;
  }
  if (!(await page.isVisible('#report')))
    throw new Error((await page.textContent('#notices')) ?? 'The run failed.');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.click(values.json ? '#save-json' : '#save-markdown'),
  ]);
  process.stdout.write(await readFile(await download.path(), 'utf8'));
} finally {
  await browser.close();
  await server.close();
}
