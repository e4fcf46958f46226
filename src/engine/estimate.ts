import { openSource, type SourceLike } from '../formats/open-source.ts';
import { openGpuBeside } from '../gpu/device.ts';
import type { Profile } from '../gpu/profile.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import { loadingBytes } from '../model/load.ts';
import { parameterCount } from '../model/spec.ts';
import { DTYPES } from '../quant/index.ts';
import { type AskedSizes, type LoadGpuOptions, readHeaders, sizesOn } from './engine.ts';
import { type ModelSize, misfit, type RunnerOptions, sizeLimits, sizeOf } from './size.ts';
import type { Dtype, KvDtype, LoadOptions, ModelBytes } from './types.ts';

const SHORTEST_CONTEXT = 256;

/** A way to load the model that fits. */
export interface FittingSize {
  /** `auto`: as a GGUF file has the weights. */
  dtype: Dtype;
  /** The longest context that fits, of powers of two, the model's longest and the one asked for. */
  contextLength: number;
  bytes: ModelBytes;
}

/** What loading a model would take. */
export interface Estimate {
  parameters: number;
  /** Bytes of weights to fetch, as stored. */
  storedBytes: number;
  /** As `model.info.dtype` and `model.info.formats`. */
  dtype: WeightDtype;
  formats: ModelSize['formats'];
  kv: KvDtype;
  contextLength: number;
  batch: number;
  /** Bytes on the GPU, as `model.info.bytes` of the loaded model. */
  bytes: ModelBytes;
  /**
   * Most bytes that loading takes: on the GPU with what is on its way there, and in the page or worker for what is read and
   * packed, which does not grow with the model.
   */
  peak: { gpu: number; page: number };
  largestBuffer: ModelSize['largest'];
  adapter: { name: string /** Largest buffer that kernels can bind. */; bufferBytes: number };
  /** Which kernels and defaults would be taken; see `LoadOptions.profile`. */
  profile: Profile;
  /** Nothing speaks against loading it. That the GPU has the memory free is not known before it is taken. */
  fits: boolean;
  /** Why not. */
  reason?: string;
  /** For each dtype that fits with this kv and batch, from the truest. */
  choices: FittingSize[];
}

/** Share of a load that crashed which a smaller one may take. */
const CLEARLY_LESS = 0.75;

/** Sizes in a dtype: what `auto` keeps otherwise is so in its own dtype alone. */
const sizesAs = (sizes: RunnerOptions, asked: AskedSizes, dtype: Dtype): RunnerOptions => {
  if (dtype === 'auto') return sizes;
  const same = !asked.asStored && asked.dtype === dtype;
  return { ...sizes, dtype, own: (same && asked.own) || new Map() };
};

/** The ways to keep weights, from the truest: of a file that is kept as it is, that first. */
const dtypesFor = ({ asStored }: AskedSizes): readonly Dtype[] => (asStored ? ['auto', ...DTYPES] : DTYPES);

/**
 * The largest choice that takes clearly less than a load that crashed: first another dtype, then a shorter context.
 * @returns undefined where there is none
 */
export async function smallerThan(
  source: SourceLike,
  options: LoadOptions,
  crashed: Pick<LoadOptions, 'dtype' | 'kv' | 'contextLength' | 'batch'>,
): Promise<FittingSize | undefined> {
  const folder = openSource(source, { fetch: options.fetch, hub: options.hub });
  const [{ spec, sizes: asked }, gpu] = await openGpuBeside(
    readHeaders(folder, { ...crashed, ...(options.signal && { signal: options.signal }) }),
    { device: options.device, profile: options.profile },
  );
  try {
    const limits = sizeLimits(gpu, options.memoryLimit);
    const sizes = sizesOn(gpu, asked);
    const sized = (contextLength: number, dtype: Dtype = 'auto'): ModelSize =>
      sizeOf(gpu, spec, sizesAs({ ...sizes, contextLength }, asked, dtype));
    const most = CLEARLY_LESS * sized(sizes.contextLength).bytes.total;
    const dtypes = dtypesFor(asked);
    const from = asked.asStored ? 0 : dtypes.indexOf(sizes.dtype as Dtype);
    const shortest = Math.min(SHORTEST_CONTEXT, sizes.contextLength);
    for (let context = sizes.contextLength; context >= shortest; context = Math.floor(context / 2))
      for (const dtype of dtypes.slice(from)) {
        const size = sized(context, dtype);
        if (size.bytes.total <= most && !misfit(size, limits))
          return { dtype, contextLength: context, bytes: size.bytes };
      }
    return undefined;
  } finally {
    gpu.close();
  }
}

/**
 * What `loadModel` with the same arguments would take on this GPU, provided that f16 holds what `auto` keeps as f16 (only the
 * weights themselves tell; in published models it does). Reads only `config.json` and the headers of the
 * weights, past the cache, and takes no memory on the GPU.
 * @throws ShishuError those of `loadModel`, but for `does-not-fit` and `out-of-memory`
 */
export async function estimate(
  source: SourceLike,
  options: LoadOptions = {},
  gpuOptions: LoadGpuOptions = {},
): Promise<Estimate> {
  const folder = openSource(source, { fetch: options.fetch, hub: options.hub });
  const [{ spec, checkpoint, sizes: asked }, gpu] = await openGpuBeside(readHeaders(folder, options), {
    device: options.device,
    profile: options.profile,
    ...gpuOptions,
  });
  try {
    const limits = sizeLimits(gpu, options.memoryLimit);
    const { own, ...sizes } = sizesOn(gpu, asked);
    const sized = (dtype: Dtype, contextLength: number): ModelSize =>
      sizeOf(gpu, spec, sizesAs({ ...sizes, own, ...gpuOptions, contextLength }, asked, dtype));
    const size = sized('auto', sizes.contextLength);
    const refusal = misfit(size, limits);

    const contexts = new Set([spec.maxPositions, sizes.contextLength]);
    for (let context = SHORTEST_CONTEXT; context < spec.maxPositions; context *= 2) contexts.add(context);
    const longestFirst = [...contexts].sort((a, b) => b - a);
    const choices: FittingSize[] = [];
    for (const dtype of dtypesFor(asked))
      for (const contextLength of longestFirst) {
        const tried = sized(dtype, contextLength);
        if (misfit(tried, limits)) continue;
        choices.push({ dtype, contextLength, bytes: tried.bytes });
        break;
      }
    const cached = options.cache !== false && (typeof source === 'string' || source instanceof URL);
    const beside = loadingBytes(checkpoint.bytes, cached);
    return {
      parameters: parameterCount(spec),
      storedBytes: checkpoint.storedBytes,
      ...sizes,
      bytes: size.bytes,
      formats: size.formats,
      peak: { gpu: size.bytes.total + beside.gpu, page: beside.page },
      largestBuffer: size.largest,
      adapter: { name: gpu.name, bufferBytes: limits.bufferBytes },
      profile: gpu.profile,
      fits: refusal === undefined,
      ...(refusal && { reason: refusal.message }),
      choices,
    };
  } finally {
    gpu.close();
  }
}
