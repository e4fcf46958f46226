import { type Browser, chromium } from 'playwright';
import { chromiumArgs, findBrowser } from '../../scripts/find-browser.mjs';
import { launchFirefox } from './firefox.ts';

/** The browser that this run of the tests is for. */
export const browserName = process.env.TEST_BROWSER === 'firefox' ? 'firefox' : 'chromium';

/** A headless browser with WebGPU. */
export const launchBrowser = async (): Promise<Browser> =>
  browserName === 'firefox'
    ? launchFirefox()
    : chromium.launch({ executablePath: await findBrowser({ install: false }), args: chromiumArgs });
