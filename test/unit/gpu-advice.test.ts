// What helps where there is no WebGPU, by browser and system.
import { afterEach, expect, it, test, vi } from 'vitest';
import { adviceFor } from '../../src/gpu/advice.ts';
import { openGpu } from '../../src/gpu/device.ts';

const WINDOWS = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)';
const LINUX = 'Mozilla/5.0 (X11; Linux x86_64)';
const MAC = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)';
const ANDROID = 'Mozilla/5.0 (Linux; Android 14; Pixel 8)';
const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)';
const chrome = (version: number): string =>
  `AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${version}.0.0.0 Safari/537.36`;
const firefox = (version: number): string => `Gecko/20100101 Firefox/${version}.0`;
const SAFARI = 'AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15';

afterEach(() => vi.unstubAllGlobals());

test.each([
  ['no-api', `${WINDOWS} ${chrome(110)}`, 'Chrome 110', 'Windows', 'Update Chrome: WebGPU is in version 113'],
  ['no-api', `${WINDOWS} ${chrome(110)} Edg/110.0.0.0`, 'Edge 110', 'Windows', 'Update Edge'],
  [
    'no-api',
    `${LINUX} ${chrome(140)}`,
    'Chrome 140',
    'Linux',
    '#enable-unsafe-webgpu and chrome://flags/#enable-vulkan',
  ],
  ['no-api', `${ANDROID} ${chrome(118)}`, 'Chrome 118', 'Android', 'version 121'],
  ['no-api', `${WINDOWS} ${firefox(130)}`, 'Firefox 130', 'Windows', 'version 141'],
  ['no-api', `${MAC} ${firefox(142)}`, 'Firefox 142', 'macOS', 'version 145'],
  ['no-api', `${LINUX} ${firefox(150)}`, 'Firefox 150', 'Linux', 'dom.webgpu.enabled'],
  ['no-api', `${MAC} ${SAFARI}`, 'Safari 17', 'macOS', 'Safari 26'],
  [
    'no-api',
    `${IPHONE} AppleWebKit/605.1.15 CriOS/120.0 Mobile/15E148 Safari/604.1`,
    'Chrome 120',
    'iOS',
    'iOS or iPadOS 26',
  ],
  ['no-adapter', `${LINUX} ${chrome(140)}`, 'Chrome 140', 'Linux', 'chrome://settings/system'],
  ['no-adapter', `${LINUX} ${firefox(150)}`, 'Firefox 150', 'Linux', 'hardware acceleration'],
  ['insecure', `${WINDOWS} ${chrome(140)}`, 'Chrome 140', 'Windows', 'over https'],
  ['no-api', 'Lynx/2.9', 'another', 'another', 'Chrome or Edge 113'],
] as const)('%s, %s', (lack, userAgent, browser, system, advice) => {
  const found = adviceFor(lack, userAgent);
  expect(found).toMatchObject({ browser, system });
  expect(found.advice[0]).toContain(advice);
});

it('an iPad is told by its touch screen', () => {
  expect(adviceFor('no-api', `${MAC} ${SAFARI}`, 5).system).toBe('iOS');
});

it('the error no-webgpu has the advice in its details', async () => {
  vi.stubGlobal('navigator', { userAgent: `${WINDOWS} ${firefox(130)}`, maxTouchPoints: 0 });
  vi.stubGlobal('isSecureContext', true);
  await expect(openGpu()).rejects.toMatchObject({
    code: 'no-webgpu',
    details: {
      browser: 'Firefox 130',
      system: 'Windows',
      advice: ['Update Firefox: WebGPU is in version 141 and later on Windows.'],
    },
  });
  vi.stubGlobal('navigator', {
    userAgent: `${LINUX} ${chrome(140)}`,
    gpu: { requestAdapter: async () => null },
  });
  await expect(openGpu()).rejects.toMatchObject({ code: 'no-webgpu', details: { system: 'Linux' } });
});
