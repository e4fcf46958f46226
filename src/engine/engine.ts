import { anySignal, refuseOption, throwIfAborted } from '../errors.ts';
import { fetchSpecs } from '../families/fetch.ts';
import { type Checkpoint, checkpointOf, readEntries, type UsableTensor } from '../formats/checkpoint.ts';
import { embeddingFilesOf } from '../formats/find-embedding.ts';
import { readGeneration } from '../formats/generation.ts';
import { readJson } from '../formats/json.ts';
import { openSource, type SourceLike } from '../formats/open-source.ts';
import type { Source } from '../formats/source.ts';
import type { TensorEntry } from '../formats/tensor-entry.ts';
import { loadTokenizer } from '../formats/tokenizer.ts';
import { guardMemory, Ledger } from '../gpu/buffer.ts';
import { type Gpu, type GpuOptions, lossOr, openGpuBeside, throwIfLost } from '../gpu/device.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import type { TunedKernels } from '../kernels/tuning.ts';
import { F16Fit } from '../model/f16-fit.ts';
import type { ForwardParts } from '../model/forward.ts';
import { fillFromCheckpoint } from '../model/load.ts';
import { type ModelSpec, planOf, tensorsOf, withoutHead } from '../model/spec.ts';
import type { FillPlan } from '../model/weights.ts';
import { checkKernels } from './check-kernels.ts';
import { browserStore, checkTuning, keptTuning, type TuningStore } from './kept-tuning.ts';
import { checkLoadOptions } from './load-options.ts';
import { LocalModel } from './model.ts';
import type { ModelParts } from './model-parts.ts';
import { leftOutText, warmed } from './rescue.ts';
import { Runner } from './runner.ts';
import { allocateParts, misfit, type RunnerOptions, sizeLimits, sizeOf } from './size.ts';
import type { KernelInfo, KvDtype, LoadOptions, LoadProgress, ReloadOptions, SelfTest } from './types.ts';
import { autoFormats, blockTypes, convertedText, type FormatShare, formatShares } from './weight-formats.ts';

export type { RunnerOptions } from './size.ts';

/** How a model runs on its GPU, beside what users choose. */
export interface LoadGpuOptions extends GpuOptions, Pick<RunnerOptions, 'tuning' | 'chunk'> {
  /** Where choices of `tune` are kept (default: IndexedDB where there is one). */
  tuningStore?: TuningStore;
}

/** Longest context that is taken unasked. */
const DEFAULT_CONTEXT = 4096;

/**
 * Allocates a model on the GPU and lets `fill` write its weights while the kernels compile. When one of them fails the other
 * ends too, and everything is freed.
 * @param fill gets a signal that is raised by `signal`, and when it is not needed any more
 * @param choose may choose other kernels
 */
export async function makeRunner(
  gpu: Gpu,
  spec: ModelSpec,
  options: RunnerOptions,
  fill: (what: FillPlan, signal: AbortSignal) => Promise<void>,
  {
    choose,
    signal,
  }: {
    choose?: ((parts: ForwardParts) => Promise<Partial<TunedKernels>>) | undefined;
    signal?: AbortSignal | undefined;
  } = {},
): Promise<Runner> {
  const ledger = new Ledger(gpu);
  try {
    const { parts, fill: what } = await guardMemory(gpu, 'the model', () =>
      allocateParts(gpu, ledger, spec, options),
    );
    const done = new AbortController();
    const filled = fill(what, anySignal(done.signal, signal));
    const compile = async (): Promise<Runner> => {
      if (choose) Object.assign(parts, { tuning: { ...parts.tuning, ...(await choose(parts)) } });
      // What is allocated from here on would not be freed.
      throwIfAborted(done.signal);
      const runner = await guardMemory(gpu, 'the model', () => new Runner(parts, ledger));
      return warmed(runner, planOf(spec), options, () => filled);
    };
    try {
      const [runner] = await Promise.all([compile(), filled]);
      return runner;
    } finally {
      done.abort();
      await filled.catch(() => {});
    }
  } catch (error) {
    ledger.releaseAll();
    throw error;
  }
}

/**
 * The checkpoint of a folder whose tensors lie as `found`, and the reading of its config that they fit; where they fit none, the
 * first one's error is thrown.
 */
export function checkpointFor(
  folder: Source,
  found: Map<string, TensorEntry>,
  [spec, ...others]: readonly [ModelSpec, ...ModelSpec[]],
): { spec: ModelSpec; checkpoint: Checkpoint } {
  try {
    return { spec, checkpoint: checkpointOf(folder, found, tensorsOf(spec)) };
  } catch (error) {
    const [next, ...rest] = others;
    if (!next) throw error;
    try {
      return checkpointFor(folder, found, [next, ...rest]);
    } catch {
      throw error;
    }
  }
}

function contextOf({ contextLength }: LoadOptions, { maxPositions }: ModelSpec): number {
  const context = contextLength ?? Math.min(maxPositions, DEFAULT_CONTEXT);
  if (!Number.isInteger(context) || context < 1 || context > maxPositions)
    refuseOption('contextLength', context, `a whole number from 1 to the model's ${maxPositions}`);
  return context;
}

/** What is known of a model once its config and the headers of its weights are read. */
export interface Headers {
  spec: ModelSpec;
  checkpoint: Checkpoint;
  /** How the checkpoint has its weights: its dtype, or the types of a GGUF's blocks. */
  stored: string;
  /** What a user is told of weights that are not kept as they are stored, which nobody asked for. */
  note: string | undefined;
  sizes: AskedSizes;
}

/** Sizes by the options and the headers; what is left to the GPU is open. */
export interface AskedSizes extends Omit<RunnerOptions, 'kv'> {
  kv: 'auto' | KvDtype;
  /** Each matrix is kept as the file has it. */
  asStored: boolean;
}

/** Sizes on a GPU. */
export const sizesOn = (
  { profile }: Pick<Gpu, 'profile'>,
  { kv, asStored: _, ...sizes }: AskedSizes,
): RunnerOptions => ({
  ...sizes,
  kv: kv === 'auto' ? (profile === 'gpu' ? 'f16' : 'f32') : kv,
});

/** The dtype that a checkpoint has its weights in, by its embedding. */
export const storedDtype = ({ tensors }: Checkpoint, { embedding }: ModelSpec): UsableTensor['dtype'] =>
  tensors.get(`${embedding.name}.weight`)!.dtype;

/**
 * Reads `config.json` and the headers of the weights at once, and checks the options against them. What is wrong with the
 * config is told first; what is wrong with the options whatever the model is thrown at once, before a caller opens a GPU
 * beside this: drivers of software adapters write warnings.
 */
export function readHeaders(folder: Source, options: LoadOptions): Promise<Headers> {
  return readFor(folder, options, checkLoadOptions(options));
}

async function readFor(
  folder: Source,
  options: LoadOptions,
  { dtype, ...checked }: ReturnType<typeof checkLoadOptions>,
): Promise<Headers> {
  const { signal } = options;
  throwIfAborted(signal);
  const failed = new AbortController();
  const json = readJson(folder, 'config.json', { code: 'bad-config' }, signal);
  const entries = readEntries(folder, anySignal(failed.signal, signal), true);
  entries.catch(() => {});
  try {
    const specs = await fetchSpecs(await json);
    const sizes = { ...checked, contextLength: contextOf(options, specs[0]) };
    const found = await entries;
    const { spec, checkpoint } = checkpointFor(folder, found, withoutHead(specs, found));
    const blocks = blockTypes(checkpoint);
    const kept = dtype === 'auto' ? autoFormats(spec, checkpoint) : undefined;
    return {
      spec,
      checkpoint,
      stored: blocks.join(' and ') || storedDtype(checkpoint, spec),
      note: kept && convertedText(kept),
      sizes: {
        ...sizes,
        dtype: kept?.dtype ?? (dtype as WeightDtype),
        own: kept?.own ?? new Map(),
        asStored: kept?.asStored ?? false,
      },
    };
  } catch (error) {
    failed.abort();
    throw error;
  }
}

/**
 * Loads a model folder (`config.json`, safetensors, tokenizer) onto the GPU.
 * @param source `owner/name` on a hub, URL of the folder, `File[]`, a directory handle, or an object with `read(name, start?, end?)`
 * @throws ShishuError `no-webgpu`, `not-found`, `bad-config`, `unsupported`, `bad-checkpoint`, `bad-tokenizer`, `io`,
 * `does-not-fit`, `out-of-memory`, `device-lost`, `self-test`, `aborted`; nothing is left on the GPU then
 */
export async function loadModel(
  source: SourceLike,
  options: LoadOptions = {},
  gpuOptions: LoadGpuOptions = {},
): Promise<LocalModel> {
  const { onProgress: _, signal: __, device: ___, ...lasting } = options;
  const reopen = (again: ReloadOptions): Promise<ModelParts> =>
    openModel(source, { ...lasting, ...again }, gpuOptions);
  return new LocalModel(await openModel(source, options, gpuOptions), reopen);
}

/** Reads the tokenizer and the ids that end a reply, beside the headers, which they are checked against. */
function readTexts(
  folder: Source,
  headers: Promise<Headers>,
  signal: AbortSignal,
  warn: (message: string) => void,
) {
  const spec = headers.then(({ spec }) => spec);
  const tokenizer = loadTokenizer(
    folder,
    spec.then(({ vocabSize }) => vocabSize),
    signal,
    warn,
  );
  return Promise.all([
    tokenizer,
    readGeneration(folder, spec, tokenizer, signal),
    embeddingFilesOf(folder, signal),
  ]);
}

/** Tensors that f16 was to hold and does not. */
class Misfits extends Error {
  readonly tensors: readonly string[];

  constructor(tensors: readonly string[]) {
    super('f16 does not hold some tensors.');
    this.tensors = tensors;
  }
}

/** Tensors whose matrix is f32 where the model's dtype is f16. */
const keptWide = (dtype: WeightDtype, { matrices }: FillPlan): string[] =>
  dtype !== 'f16'
    ? []
    : matrices.flatMap(({ tensor, weight }) => (weight.parts[0]!.dtype === 'f32' ? [tensor] : []));

const NO_TEST: SelfTest = { kernels: 'off', wrong: [], ms: 0 };

async function openModel(
  source: SourceLike,
  options: LoadOptions,
  gpuOptions: LoadGpuOptions,
): Promise<ModelParts> {
  const { onProgress, signal, hub, cache = true, warn } = options;
  const tell = warn ?? ((message: string) => console.warn(message));
  const sourceOptions = { fetch: options.fetch, hub, cache, warn };
  const folder = openSource(source, sourceOptions);
  const failed = new AbortController();
  const headers = readHeaders(folder, options);
  const texts = readTexts(folder, headers, anySignal(failed.signal, signal), tell);
  // Whoever awaits them sees their errors.
  texts.catch(() => {});
  const [{ spec, checkpoint, sizes, note }, gpu] = await openGpuBeside(headers, {
    device: options.device,
    profile: options.profile,
    ...gpuOptions,
  }).catch((error) => {
    failed.abort();
    throw error;
  });
  const plan = planOf(spec);
  let made: Ledger | undefined;
  let unwatch = (): void => {};
  try {
    const wanted = { ...sizesOn(gpu, sizes), ...gpuOptions };
    const auto = (options.dtype ?? 'auto') === 'auto';
    // A CPU's times say nothing of a GPU, also with a GPU's kernels.
    const { tune = !gpu.software && gpu.profile === 'gpu' && gpuOptions.tuning === undefined } = options;
    const given = options.tuning && checkTuning(options.tuning);
    const store = gpuOptions.tuningStore ?? browserStore();
    const timed = tune === true;
    let from: KernelInfo['from'] = given ? 'given' : 'defaults';
    const choose = async (parts: ForwardParts): Promise<Partial<TunedKernels>> => {
      if (given) return given;
      const kept = timed ? await keptTuning(parts, store) : undefined;
      if (kept) from = 'kept';
      return kept ?? {};
    };
    if (note) tell(note);
    const totalBytes = checkpoint.storedBytes;
    let loadedBytes = 0;
    let phase: LoadProgress['phase'] = 'read';
    let kernels = { compiled: 0, total: 0 };
    const report = (tensor?: string): void =>
      onProgress?.({ phase, loadedBytes, totalBytes, kernels, ...(tensor !== undefined && { tensor }) });
    unwatch = gpu.pipelines.watch((count) => {
      kernels = count;
      report();
    });
    const refuseMisfit = (sized: RunnerOptions): void => {
      const refusal = misfit(sizeOf(gpu, spec, sized), sizeLimits(gpu, options.memoryLimit));
      if (refusal) throw refusal;
    };
    let f32Tensors: string[] = [];
    let formats: FormatShare[] = [];
    const load = (own: RunnerOptions['own']): Promise<Runner> => {
      const sized = { ...wanted, own };
      refuseMisfit(sized);
      loadedBytes = 0;
      phase = 'read';
      const fill = async (what: FillPlan, signal: AbortSignal): Promise<void> => {
        const fit = auto ? new F16Fit() : undefined;
        const filled = fillFromCheckpoint(gpu, what, checkpoint, tensorsOf(spec), {
          signal,
          fit,
          onBytes(bytes, tensor) {
            const { start, end, stored } = checkpoint.tensors.get(tensor)!;
            loadedBytes += stored ? (bytes * stored.bytes) / (end - start) : bytes;
            report(tensor);
          },
        });
        // What is wrong with the tokenizer should not show after gigabytes.
        await Promise.all([texts, filled]);
        if (fit && fit.misfits.length > 0) throw new Misfits(fit.misfits);
        f32Tensors = keptWide(sized.dtype, what);
        formats = formatShares(what);
        phase = 'compile';
        report();
      };
      return makeRunner(gpu, spec, sized, fill, { choose, signal });
    };
    let { own } = sizes;
    const runner = await load(own).catch((error: unknown) => {
      if (!(error instanceof Misfits)) throw error;
      tell(
        `f16 does not hold ${error.tensors.join(', ')}: kept as f32, with what shares a matrix with them. The weights are read once more.`,
      );
      own = new Map([...(own ?? []), ...error.tensors.map((name) => [name, 'f32'] as const)]);
      return load(own);
    });
    made = runner.ledger;
    const widen = sizes.kv === 'auto' ? refuseMisfit : undefined;
    const checked =
      options.selfTest === false
        ? { runner, selfTest: NO_TEST }
        : await checkKernels(runner, plan, { ...wanted, own }, { warn, widen });
    const { leftOut } = checked.runner;
    if (leftOut.length > 0) tell(leftOutText(gpu, leftOut));
    const [tokenizer, generation, embeddingFiles] = await texts;
    const dispatchesPerToken = (await checked.runner.decodeDispatches(plan)).length;
    throwIfLost(gpu);
    phase = 'ready';
    report();
    return {
      gpu,
      ...checked,
      tokenizer,
      embeddingFiles,
      plan,
      ...generation,
      dispatchesPerToken,
      dtype: wanted.dtype,
      f32Tensors,
      open: (like) => openSource(like, sourceOptions),
      memoryLimit: options.memoryLimit,
      formats,
      tuning: { wanted: timed && from === 'defaults', from, store },
      warn: tell,
    };
  } catch (error) {
    failed.abort();
    const why = await lossOr(gpu, error);
    made?.releaseAll();
    gpu.close();
    throw why;
  } finally {
    unwatch();
  }
}
