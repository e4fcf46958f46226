import { ShishuError } from '../errors.ts';
import { isSoftware, type Profile, type ProfileOption, profileOf } from '../gpu/profile.ts';

const NO_GPU =
  'Install a Vulkan driver (Debian: mesa-vulkan-drivers, version 25 or later, has one that needs no GPU), or name ' +
  "a driver's file in VK_ICD_FILENAMES.";

async function dawn(): Promise<typeof import('webgpu')> {
  try {
    return await import('webgpu');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    throw new ShishuError('no-webgpu', 'Node has no WebGPU of its own.', {
      mend: missing
        ? 'Install the package webgpu: npm install webgpu'
        : `The package webgpu cannot be used here: ${(cause as Error).message}`,
      cause,
    });
  }
}

/** Names of the adapters in the message that Dawn rejects an unknown one with. */
const namesIn = (message: string): string[] =>
  [...message.matchAll(/name: '([^\n]*)'/g)].map((match) => match[1]!);

/** By the adapter asked for. Dawn's objects die with the instance that created them, so each is kept as long as the process. */
const instances = new Map<string | undefined, GPU>();

async function requestAdapter(wanted: string | undefined, options?: GPURequestAdapterOptions) {
  const { create, globals } = await dawn();
  Object.assign(globalThis, globals);
  const ask = (name: string | undefined): Promise<GPUAdapter | null> => {
    const instance = instances.get(name) ?? create(name === undefined ? [] : [`adapter=${name}`]);
    instances.set(name, instance);
    return instance.requestAdapter(options);
  };
  const none = (message: string, mend: string) => new ShishuError('no-webgpu', message, { mend });
  let found: string[] = [];
  const adapter = await ask(wanted).catch((error: Error) => {
    found = namesIn(error.message);
    // Dawn's names are case-sensitive; the option is not.
    const like = found.find((name) => name.toLowerCase().includes(wanted?.toLowerCase() ?? ''));
    return like === undefined ? null : ask(like);
  });
  if (adapter) return adapter;
  if (found.length > 0) throw none(`There is no GPU named "${wanted}".`, `There is: ${found.join('; ')}.`);
  throw none('WebGPU found no GPU.', NO_GPU);
}

/**
 * The profile that a model would get here, by the adapter alone: no device is asked for. Where there is no adapter, that of a GPU.
 * @param wanted as `provideGpu`
 */
export async function profileHere(option: ProfileOption, wanted: string | undefined): Promise<Profile> {
  if (option !== 'auto') return option;
  const adapter = await requestAdapter(wanted).catch((error: unknown) => {
    if (wanted !== undefined) throw error;
    return undefined;
  });
  return profileOf(option, adapter !== undefined && isSoftware(adapter.info));
}

/**
 * Gives Node `navigator.gpu`, from the package `webgpu` (Dawn), which is loaded when an adapter is asked for.
 * @param wanted part of the name of the adapter to use; the first there is without it
 */
export function provideGpu(wanted: string | undefined): void {
  // Node 20 has no navigator; later ones have one without gpu.
  if (!globalThis.navigator)
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  const gpu = { requestAdapter: (options?: GPURequestAdapterOptions) => requestAdapter(wanted, options) };
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true });
}
