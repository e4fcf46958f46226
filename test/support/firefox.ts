// The Firefox of this machine, driven by Playwright over WebDriver BiDi (its channel `moz-firefox`), and what Playwright 1.65
// must be helped with there. Each of the two can go when the tests pass without it.
import { type Browser, firefox, type Page } from 'playwright';
import { findFirefox, firefoxPrefs } from '../../scripts/find-firefox.mjs';
import { vulkanEnv } from './vulkan-env.ts';

export async function launchFirefox(): Promise<Browser> {
  const browser = await firefox.launch({
    channel: 'moz-firefox',
    executablePath: await findFirefox({ install: false }),
    firefoxUserPrefs: firefoxPrefs,
    env: { ...process.env, ...vulkanEnv() },
  });
  leaveColours(browser);
  await emptyBeforeFill(browser);
  return browser;
}

interface Session {
  send(method: string, params: unknown): Promise<unknown>;
}
const patched = new WeakSet<object>();

/** Playwright sets a colour scheme for every page, by a command that Firefox 153 lacks: no page would open. */
function leaveColours(browser: Browser): void {
  const { _connection: connection } = browser as unknown as {
    _connection: { toImpl(object: unknown): { _browserSession: Session } };
  };
  const sessions: Session = Object.getPrototypeOf(connection.toImpl(browser)._browserSession);
  if (patched.has(sessions)) return;
  patched.add(sessions);
  const { send } = sessions;
  sessions.send = function (method, params) {
    if (method === 'emulation.setMediaFeaturesOverride') return Promise.resolve({});
    return send.call(this, method, params);
  };
}

/** Playwright adds to what a number field holds, where it should replace it. */
async function emptyBeforeFill(browser: Browser): Promise<void> {
  const page = await browser.newPage();
  const pages: Page = Object.getPrototypeOf(page);
  await page.close();
  if (patched.has(pages)) return;
  patched.add(pages);
  const { fill } = pages;
  pages.fill = async function (selector, value, options) {
    if (value !== '') await fill.call(this, selector, '', options);
    await fill.call(this, selector, value, options);
  };
}
