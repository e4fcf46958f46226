import type { Browser, BrowserContextOptions, Page } from 'playwright';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { launchBrowser } from './browser.ts';

export interface Tab {
  page: Page;
  /** The page's errors. */
  problems: string[];
}

/** A browser for the tests of a file, which opens empty tabs; they are closed behind each test. */
export function tabs(): (options?: BrowserContextOptions) => Promise<Tab> {
  let browser: Browser;
  const pages: Page[] = [];
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser.close());
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.context().close();
  });
  return async (options = {}) => {
    const page = await (await browser.newContext({ serviceWorkers: 'block', ...options })).newPage();
    pages.push(page);
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    return { page, problems };
  };
}
