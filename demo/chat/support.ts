import { byId, el } from './dom.ts';

/** Whether this page can run models; undefined: yes, else why not, in words for the page. */
export async function whyNoWebGpu(): Promise<string | undefined> {
  if (!isSecureContext)
    return 'Browsers offer WebGPU only to pages from https or localhost, and this page came another way.';
  if (!navigator.gpu) return 'This browser does not offer WebGPU.';
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter ? undefined : 'This browser has WebGPU, but it found no graphics adapter that it may use.';
}

const BROWSERS = [
  'Chrome and Edge from version 113 on Windows, macOS and ChromeOS, from 121 on Android',
  'Safari 26 on macOS, iOS and iPadOS',
  'Firefox from version 141 on Windows, from 145 on macOS with Apple silicon',
];
const SWITCHES = [
  'Chrome on Linux, or with a blocked graphics card: set chrome://flags/#enable-unsafe-webgpu to Enabled, and ' +
    'chrome://flags/#enable-vulkan too on Linux; then start the browser again.',
  'Firefox elsewhere: in about:config set dom.webgpu.enabled to true.',
  'Safari 18: Settings, Feature Flags, WebGPU.',
  'Hardware acceleration must be on in the settings of the browser.',
];

/** Puts the explanation in the place of the conversation. */
export function showNoWebGpu(why: string): void {
  const list = (lines: string[]): HTMLElement => el('ul', {}, ...lines.map((line) => el('li', {}, line)));
  byId('welcome-title', HTMLHeadingElement).textContent = 'WebGPU is needed';
  byId('welcome-text', HTMLParagraphElement).textContent =
    `${why} The models of this page run on your own graphics card through WebGPU.`;
  byId('openers', HTMLDivElement).replaceChildren(
    el(
      'div',
      { class: 'notice', id: 'no-webgpu' },
      el('strong', {}, 'Browsers that have it'),
      list(BROWSERS),
      el('strong', {}, 'Where it may be switched on'),
      list(SWITCHES),
    ),
  );
}
