import type { ErrorDetails } from '../errors.ts';

/** What may be told of a browser: its own name first, as Chrome's and Safari's stand in those of others. */
const BROWSERS = [
  ['Edge', /\bEdg(?:e|A|iOS)?\/(\d+)/],
  ['Opera', /\bOPR\/(\d+)/],
  ['Samsung Internet', /\bSamsungBrowser\/(\d+)/],
  ['Firefox', /\b(?:Firefox|FxiOS)\/(\d+)/],
  ['Chrome', /\b(?:HeadlessChrome|Chrome|CriOS)\/(\d+)/],
  ['Safari', /\bVersion\/(\d+)[\d.]* (?:Mobile\/\w+ )?Safari\//],
] as const;
const SYSTEMS = [
  ['iOS', /iPhone|iPad|iPod/],
  ['Android', /Android/],
  ['ChromeOS', /CrOS/],
  ['Windows', /Windows/],
  ['macOS', /Mac OS X/],
  ['Linux', /Linux|X11/],
] as const;

/** Why there is no WebGPU: the page is not secure, the browser has none, or it found no GPU that it may use. */
export type Lack = 'insecure' | 'no-api' | 'no-adapter';

/** What helps on a browser and a system, the likeliest first. */
export function adviceFor(
  lack: Lack,
  userAgent: string,
  touchPoints = 0,
): { browser: string; system: string; advice: readonly string[] } {
  const [name, found] = BROWSERS.map(([name, sign]) => [name, sign.exec(userAgent)] as const).find(
    ([, found]) => found,
  ) ?? ['another', undefined];
  const version = Number(found?.[1] ?? 0);
  // An iPad says that it is a Mac, and Macs have no touch screens.
  const told = SYSTEMS.find(([, sign]) => sign.test(userAgent))?.[0] ?? 'another';
  const system = told === 'macOS' && touchPoints > 1 ? 'iOS' : told;
  const browser = version ? `${name} ${version}` : name;
  const said = (...advice: string[]) => ({ browser, system, advice });
  const hasFlags = ['Chrome', 'Edge', 'Opera', 'Samsung Internet'].includes(name);

  if (lack === 'insecure')
    return said('Open this page over https, or from localhost: browsers give WebGPU to no others.');
  if (system === 'iOS')
    return said(
      'Update to iOS or iPadOS 26: every browser there gets WebGPU from the system.',
      'On iOS 18: Settings, Apps, Safari, Advanced, Feature Flags, WebGPU.',
    );
  if (lack === 'no-adapter') {
    const linux =
      system === 'Linux' ? ['Install the Vulkan driver of your graphics card (as mesa-vulkan-drivers).'] : [];
    const own = hasFlags
      ? [
          'Switch on "Use graphics acceleration when available" at chrome://settings/system, and start the browser again.',
          ...linux,
          `Set chrome://flags/#enable-unsafe-webgpu${system === 'Linux' ? ' and chrome://flags/#enable-vulkan' : ''} to Enabled; chrome://gpu says what is blocked.`,
        ]
      : name === 'Firefox'
        ? [
            'Switch on hardware acceleration in Settings, General, Performance.',
            ...linux,
            'about:support says what is blocked.',
          ]
        : ['Switch on hardware acceleration in the settings of the browser.', ...linux];
    return said(...own, 'Update the driver of the graphics card, or use a device with a newer one.');
  }
  if (hasFlags) {
    const since = system === 'Android' ? 121 : 113;
    if (version < since) return said(`Update ${name}: WebGPU is in version ${since} and later.`);
    return system === 'Linux' || system === 'Android'
      ? said(
          `Set chrome://flags/#enable-unsafe-webgpu${system === 'Linux' ? ' and chrome://flags/#enable-vulkan' : ''} to Enabled, and start the browser again.`,
          ...(system === 'Android' ? ['It needs Android 12 or later.'] : []),
        )
      : said(`Update ${name} and start it again; chrome://gpu says whether WebGPU is blocked.`);
  }
  if (name === 'Firefox') {
    if (system === 'Android') return said('Use Chrome 121 or later: Firefox for Android has no WebGPU yet.');
    const since = { Windows: 141, macOS: 145 }[system as string];
    if (since === undefined || version >= since)
      return said(
        'Set dom.webgpu.enabled to true in about:config, and load the page again.',
        `Or use Chrome 113 or later${system === 'Linux' ? ', with chrome://flags/#enable-unsafe-webgpu' : ''}.`,
      );
    return said(`Update Firefox: WebGPU is in version ${since} and later on ${system}.`);
  }
  if (name === 'Safari')
    return said(
      'Update to macOS 26, or to Safari 26: WebGPU is in it.',
      'In Safari 18: Settings, Advanced, "Show features for web developers", then Feature Flags, WebGPU.',
      'Or use Chrome 113 or later.',
    );
  return said(
    'Use Chrome or Edge 113 or later (121 on Android), Safari 26, or Firefox 141 or later on Windows.',
  );
}

/** What helps here, as details of an error. */
export function adviceHere(hasApi: boolean): ErrorDetails {
  if (typeof navigator === 'undefined') return {};
  const lack = globalThis.isSecureContext === false ? 'insecure' : hasApi ? 'no-adapter' : 'no-api';
  return adviceFor(lack, navigator.userAgent ?? '', navigator.maxTouchPoints);
}
