// Which kernels and defaults a device gets: chosen in one place, by the adapter or as it is forced.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { sizeOf } from '../../src/engine/size.ts';
import { openGpu } from '../../src/gpu/device.ts';
import { checkProfile, isSoftware, type ProfileOption, profileOf } from '../../src/gpu/profile.ts';
import { estimate, loadModel } from '../../src/index.ts';
import { defaultTuning, PLAIN_TUNING } from '../../src/kernels/tuning.ts';
import { memorySource } from '../support/memory-source.ts';
import { tinyFiles, tinyModel } from '../support/tiny-models.ts';

afterEach(() => void vi.unstubAllGlobals());

/** A device of an adapter of this name, which makes nothing. */
const deviceOf = (description: string): GPUDevice =>
  ({
    features: new Set(),
    limits: { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30 },
    adapterInfo: { vendor: '', architecture: '', device: '', description },
    lost: new Promise(() => {}),
  }) as unknown as GPUDevice;

const SOFTWARE = 'llvmpipe (LLVM 19.1)';
const HARDWARE = 'Some GPU';

test.each([
  [{ description: SOFTWARE }, true],
  [{ vendor: 'google', architecture: 'swiftshader' }, true],
  [{ description: 'Microsoft Basic Render Driver' }, true],
  [{ vendor: 'intel', isFallbackAdapter: true }, true],
  [{ vendor: 'apple', architecture: 'metal-3' }, false],
  [undefined, false],
])('%j: a CPU plays it: %s', (info, software) => {
  expect(isSoftware(info as GPUAdapterInfo | undefined)).toBe(software);
});

test.each<[ProfileOption, boolean, string]>([
  ['auto', true, 'software'],
  ['auto', false, 'gpu'],
  ['gpu', true, 'gpu'],
  ['software', false, 'software'],
])('%s on an adapter with software %s is the profile %s', async (option, software, profile) => {
  expect(profileOf(option, software)).toBe(profile);
  const gpu = await openGpu({ device: deviceOf(software ? SOFTWARE : HARDWARE), profile: option });
  expect(gpu).toMatchObject({ software, profile });
  expect(defaultTuning(gpu)).toEqual(
    profile === 'software' ? PLAIN_TUNING : expect.objectContaining({ wide: 'tiled', vocabulary: 256 }),
  );
  // Chunks of a prompt, and so what the activations take.
  vi.stubGlobal('GPUBufferUsage', {});
  const { spec } = tinyModel('llama', 7);
  const sizes = { dtype: 'f32', kv: 'f32', contextLength: 96, batch: 1 } as const;
  const chunk = profile === 'software' ? 64 : 256;
  const tuning = defaultTuning(gpu);
  expect(sizeOf(gpu, spec, sizes)).toEqual(sizeOf(gpu, spec, { ...sizes, chunk, tuning }));
});

describe('another value', () => {
  const refused = {
    code: 'bad-argument',
    message: 'Option "profile" is fast, expected auto, software or gpu.',
    details: { option: 'profile', value: 'fast' },
  };
  const fast = 'fast' as ProfileOption;
  const source = memorySource(tinyFiles(tinyModel('llama', 7)));

  test('is refused by name, before a GPU is opened', async () => {
    const requestAdapter = vi.fn();
    vi.stubGlobal('navigator', { gpu: { requestAdapter } });
    await expect(loadModel(source, { profile: fast })).rejects.toMatchObject(refused);
    await expect(estimate(source, { profile: fast })).rejects.toMatchObject(refused);
    await expect(openGpu({ profile: fast })).rejects.toMatchObject(refused);
    expect(requestAdapter).not.toHaveBeenCalled();
  });

  test.each([undefined, null, '', 'GPU', 1])('%j is none', (value) => {
    expect(() => checkProfile(value)).toThrow(/"profile"/);
  });
});
