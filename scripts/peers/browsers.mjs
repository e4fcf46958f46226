// Opens the browsers that the project's tests run in.
import { chromium } from 'playwright';
import { createServer } from 'vite';
import { chromiumArgs, findBrowser } from '../find-browser.mjs';

const ROOT = new URL('../..', import.meta.url).pathname;

async function launchFirefox() {
  // What helps Playwright with Firefox is TypeScript.
  const server = await createServer({
    root: ROOT,
    configFile: false,
    logLevel: 'error',
    appType: 'custom',
    optimizeDeps: { noDiscovery: true },
    server: { middlewareMode: true, watch: null, ws: false, hmr: false },
  });
  try {
    const module = await server.ssrLoadModule('/test/support/firefox.ts');
    return await module.launchFirefox();
  } finally {
    await server.close();
  }
}

/** @type {Record<string, () => Promise<import('playwright').Browser>>} */
export const BROWSERS = {
  chromium: async () =>
    chromium.launch({ executablePath: await findBrowser({ install: false }), args: chromiumArgs }),
  firefox: launchFirefox,
};
