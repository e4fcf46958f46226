// The Firefox of this machine, driven by Playwright over WebDriver BiDi (its channel `moz-firefox`), and what Playwright 1.65
// must be helped with there. Each of the three can go when the tests pass without it.
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
  helpProtocol(browser);
  await emptyBeforeFill(browser);
  return browser;
}

interface Message {
  method?: string;
  params?: { url?: string; download?: string };
}
interface Session {
  send(method: string, params: unknown): Promise<unknown>;
  dispatchMessage(message: Message): void;
}
const patched = new WeakSet<object>();

/** The sessions of the protocol, as Playwright keeps them. */
function sessionsOf(browser: Browser): Session {
  const { _connection: connection } = browser as unknown as {
    _connection: { toImpl(object: unknown): { _browserSession: Session } };
  };
  return Object.getPrototypeOf(connection.toImpl(browser)._browserSession);
}

function helpProtocol(browser: Browser): void {
  const sessions = sessionsOf(browser);
  if (patched.has(sessions)) return;
  patched.add(sessions);
  const { send, dispatchMessage } = sessions;
  // Playwright sets a colour scheme for every page, by a command that Firefox 153 lacks: no page would open.
  sessions.send = function (method, params) {
    if (method === 'emulation.setMediaFeaturesOverride') return Promise.resolve({});
    return send.call(this, method, params);
  };
  // Firefox 153 gives no id to the download of a blob, and Playwright leaves such a download out; the blob's address is one.
  sessions.dispatchMessage = function (message) {
    const { method, params } = message;
    if (params && method?.startsWith('browsingContext.download')) params.download ??= params.url!;
    dispatchMessage.call(this, message);
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
