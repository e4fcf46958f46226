// Opens the browsers that the project's tests run in.
import { chromium } from 'playwright';
import { chromiumArgs, findBrowser } from '../find-browser.mjs';
import { withModule } from '../load-module.mjs';

// What helps Playwright with Firefox is TypeScript.
const launchFirefox = () => withModule('/test/support/firefox.ts', (module) => module.launchFirefox());

/** @type {Record<string, () => Promise<import('playwright').Browser>>} */
export const BROWSERS = {
  chromium: async () =>
    chromium.launch({ executablePath: await findBrowser({ install: false }), args: chromiumArgs }),
  firefox: launchFirefox,
};
