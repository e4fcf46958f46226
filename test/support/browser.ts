import { type Browser, chromium, firefox } from 'playwright';
import { chromiumArgs, findBrowser } from '../../scripts/find-browser.mjs';
import { findFirefox, firefoxPrefs } from '../../scripts/find-firefox.mjs';
import { vulkanEnv } from './vulkan-env.ts';

/** The browser that this run of the tests is for. */
export const browserName = process.env.TEST_BROWSER === 'firefox' ? 'firefox' : 'chromium';

/** A headless browser with WebGPU. */
export const launchBrowser = async (): Promise<Browser> =>
  browserName === 'firefox'
    ? launchFirefox()
    : chromium.launch({ executablePath: await findBrowser({ install: false }), args: chromiumArgs });

/** The Firefox of this machine, over WebDriver BiDi: Playwright's `moz-firefox`. */
async function launchFirefox(): Promise<Browser> {
  const browser = await firefox.launch({
    channel: 'moz-firefox',
    executablePath: await findFirefox({ install: false }),
    firefoxUserPrefs: firefoxPrefs,
    env: { ...process.env, ...vulkanEnv() },
  });
  leaveColours(browser);
  return browser;
}

/**
 * Playwright sets a colour scheme for every page, by a command that Firefox lacks (153 does); without it, no page opens.
 * This can go when the tests pass without it.
 */
function leaveColours(browser: Browser): void {
  interface Session {
    send(method: string, params: unknown): Promise<unknown>;
  }
  const { _connection: connection } = browser as unknown as {
    _connection: { toImpl(object: unknown): { _browserSession: Session } };
  };
  const sessions: Session = Object.getPrototypeOf(connection.toImpl(browser)._browserSession);
  const { send } = sessions;
  sessions.send = function (method, params) {
    return method === 'emulation.setMediaFeaturesOverride'
      ? Promise.resolve({})
      : send.call(this, method, params);
  };
}
