import { type Browser, chromium } from 'playwright';
import { chromiumArgs, findBrowser } from '../../scripts/find-browser.mjs';

/** A headless Chromium with WebGPU. */
export const launchBrowser = async (): Promise<Browser> =>
  chromium.launch({ executablePath: await findBrowser({ install: false }), args: chromiumArgs });
