import { type ErrorExtra, ShishuError } from '../errors.ts';
import { importModule } from '../lazy.ts';
import { PipelineCache } from './pipeline.ts';
import {
  adapterWords,
  checkProfile,
  isSoftware,
  type Profile,
  type ProfileOption,
  profileOf,
} from './profile.ts';
import { ReadBack } from './read-back.ts';
import { fetchShaders } from './shader.ts';

/** Sizes that kernels and weights must stay within; the device's own unless a test lowers them. */
export interface GpuLimits {
  /** Largest bytes of one storage binding. */
  binding: number;
  /** Largest workgroups in one dimension of a dispatch. */
  workgroups: number;
}

export interface GpuFeatures {
  f16: boolean;
  subgroups: boolean;
  timestamps: boolean;
}

export interface GpuOptions {
  /** A device to use instead of requesting one; it is not destroyed by `close`. */
  device?: GPUDevice | undefined;
  limits?: Partial<GpuLimits>;
  /** Features to do without, though the device has them. */
  without?: readonly (keyof GpuFeatures)[];
  /** Which kernels, chunks and defaults to take (default `auto`: by the adapter). */
  profile?: ProfileOption | undefined;
}

/** A WebGPU device with what the kernels ask about it. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly limits: GpuLimits;
  readonly features: GpuFeatures;
  /** Smallest and largest subgroup that a pipeline may get; 0 when unknown. */
  readonly subgroupSize: { min: number; max: number };
  /** A CPU plays GPU here: what the adapter is, whatever the profile. */
  readonly software: boolean;
  /** Which kernels, chunks and defaults it gets. */
  readonly profile: Profile;
  /** Adapter as people name it. */
  readonly name: string;
  readonly pipelines: PipelineCache;
  readonly readBack: ReadBack;
  /** Why the device was lost, once it was. */
  readonly lost: string | undefined;
  close(): void;
}

/** Says what helps on this browser and system in `details`: `browser`, `system` and `advice`. */
async function noWebGpu(message: string, extra: ErrorExtra, hasApi = true): Promise<ShishuError> {
  const { adviceHere } = await importModule(() => import('./advice.ts'));
  return new ShishuError('no-webgpu', message, { ...extra, details: adviceHere(hasApi) });
}

/** Asks for the adapter's full sizes, so that large weights need no splitting where the hardware takes them whole. */
async function requestDevice(): Promise<GPUDevice> {
  if (typeof navigator === 'undefined' || !navigator.gpu)
    throw await noWebGpu(
      'This environment has no WebGPU.',
      {
        mend: 'Use a browser with WebGPU (Chrome or Edge 113+, Safari 26+, Firefox 141+) over https or localhost.',
      },
      false,
    );
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw await noWebGpu('WebGPU found no GPU adapter.', {
      mend: 'Check that hardware acceleration is on and the graphics driver is current.',
    });
  const wanted: GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];
  const { limits } = adapter;
  try {
    return await adapter.requestDevice({
      requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)),
      requiredLimits: {
        maxBufferSize: limits.maxBufferSize,
        maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      },
    });
  } catch (cause) {
    throw await noWebGpu(`The GPU gives no device: ${(cause as Error).message}.`, {
      mend: 'Restart the browser, or try later.',
      cause,
    });
  }
}

/** Opens the GPU. @throws ShishuError `no-webgpu` when there is none. */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const { device: given, limits, without = [] } = options;
  const profile = checkProfile(options.profile ?? 'auto');
  const device = given ?? (await requestDevice());
  const has = (name: keyof GpuFeatures, feature: GPUFeatureName): boolean =>
    device.features.has(feature) && !without.includes(name);
  const info = device.adapterInfo;
  const name =
    [info?.description, info?.vendor, info?.architecture].find((text) => text) ?? 'unknown adapter';
  const software = isSoftware(info);
  // SwiftShader's compiler takes one after the other itself, without a pause between them.
  const serial = software && !adapterWords(info).includes('swiftshader');
  const gpu = {
    device,
    limits: {
      binding: Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize),
      workgroups: device.limits.maxComputeWorkgroupsPerDimension,
      ...limits,
    },
    features: {
      f16: has('f16', 'shader-f16'),
      subgroups: has('subgroups', 'subgroups'),
      timestamps: has('timestamps', 'timestamp-query'),
    },
    subgroupSize: { min: info?.subgroupMinSize ?? 0, max: info?.subgroupMaxSize ?? 0 },
    software,
    profile: profileOf(profile, software),
    name,
    pipelines: PipelineCache.of(device, serial),
    readBack: ReadBack.of(device),
    lost: undefined as string | undefined,
    close() {
      if (!given) device.destroy();
    },
  };
  // Kernels are wanted soon; what fails is told to whoever needs them.
  fetchShaders(gpu.profile === 'gpu' ? 'gpu' : 'plain').catch(() => {});
  void gpu.readBack.measure();
  void device.lost.then((why) => {
    gpu.lost = why.message || why.reason;
  });
  return gpu;
}

/** Opens the GPU while something else is got ready. What that fails with is thrown first; the GPU is closed then. */
export async function openGpuBeside<T>(other: Promise<T>, options?: GpuOptions): Promise<[T, Gpu]> {
  const [ready, opened] = await Promise.allSettled([other, openGpu(options)]);
  if (ready.status === 'rejected') {
    if (opened.status === 'fulfilled') opened.value.close();
    throw ready.reason;
  }
  if (opened.status === 'rejected') throw opened.reason;
  return [ready.value, opened.value];
}

const lossError = (gpu: Gpu, cause?: unknown): ShishuError =>
  new ShishuError('device-lost', `The GPU was lost: ${gpu.lost!.replace(/\.$/, '')}.`, {
    mend: 'Call reload() on the model, or load it again.',
    cause,
  });

/** Throws `device-lost` once the device is gone. */
export function throwIfLost(gpu: Gpu): void {
  if (gpu.lost !== undefined) throw lossError(gpu);
}

/** Longest that the news of a loss may come behind the failure that it causes, in milliseconds. */
const NEWS_MS = 200;

/** What a failure of work on the GPU means: `device-lost` where the device went, else the failure itself. */
export async function lossOr(gpu: Gpu, failure: unknown): Promise<unknown> {
  if (failure instanceof ShishuError) return failure;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, NEWS_MS);
  });
  await Promise.race([gpu.device.lost, late]);
  clearTimeout(timer);
  return gpu.lost === undefined ? failure : lossError(gpu, failure);
}
