import { refuseOption, ShishuError } from '../errors.ts';
import { Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import type { WeightDtype } from '../kernels/tensor.ts';
import { defaultTuning, type Tuning } from '../kernels/tuning.ts';
import { allocateScratch, type ForwardParts, type Scratch } from '../model/forward.ts';
import { KvCache } from '../model/kvcache.ts';
import type { ModelSpec } from '../model/spec.ts';
import { allocateWeights, type FillPlan } from '../model/weights.ts';
import { Runner } from './runner.ts';
import type { ModelBytes } from './types.ts';
import { type FormatShare, formatShares } from './weight-formats.ts';

/** Sizes of a model on the GPU. */
export interface RunnerOptions {
  dtype: WeightDtype;
  /** Matrices that are kept in another dtype, by name. */
  own?: ReadonlyMap<string, WeightDtype>;
  kv: 'f32' | 'f16';
  contextLength: number;
  batch: number;
  tuning?: Partial<Tuning>;
  /** Rows of a prompt that run together. */
  chunk?: number;
}

/** Most rows of a forward. */
const mostRows = (
  { profile }: Pick<Gpu, 'profile'>,
  {
    contextLength,
    batch,
    chunk = profile === 'software' ? 64 : 256,
  }: Pick<RunnerOptions, 'contextLength' | 'batch' | 'chunk'>,
): number => Math.max(Math.min(contextLength, chunk), batch);

/** The KV cache of a model of these sizes. */
export const kvOf = (
  gpu: Pick<Gpu, 'profile'>,
  ledger: Ledger,
  spec: ModelSpec,
  options: RunnerOptions,
): KvCache =>
  new KvCache(ledger, spec, {
    dtype: options.kv,
    sequences: options.batch,
    context: options.contextLength,
    rows: mostRows(gpu, options),
  });

/** Buffers of a model, weights still empty; `fill` says what is to be written into them. */
export function allocateParts(
  gpu: Gpu,
  ledger: Ledger,
  spec: ModelSpec,
  options: RunnerOptions,
): { parts: ForwardParts; fill: FillPlan } {
  const tuning = { ...defaultTuning(gpu), ...options.tuning };
  const { weights, fill } = allocateWeights(gpu, ledger, spec, options.dtype, options.own);
  const kv = kvOf(gpu, ledger, spec, options);
  const scratch = scratchOf(gpu, ledger, spec, tuning, options);
  return { parts: { gpu, tuning, spec, weights, kv, scratch }, fill };
}

export function scratchOf(
  gpu: Gpu,
  ledger: Ledger,
  spec: ModelSpec,
  tuning: Tuning,
  options: RunnerOptions,
): Scratch {
  const { contextLength: context, batch: sequences } = options;
  const rows = mostRows(gpu, options);
  return allocateScratch(ledger, tuning, spec, {
    rows,
    decodeRows: Math.max(sequences, tuning.wideFrom - 1),
    logitRows: Math.max(sequences, Math.min(rows, 32)),
    context,
    sequences,
  });
}

/** What a model takes, and its largest buffer. */
export interface ModelSize {
  bytes: ModelBytes;
  formats: readonly FormatShare[];
  largest: { label: string; bytes: number };
}

/** The GPU's limits on a model. */
export interface SizeLimits {
  /** Largest bytes of one buffer that kernels can bind. */
  bufferBytes: number;
  /** Most bytes in all that the caller grants; WebGPU does not tell how much memory there is. */
  totalBytes?: number | undefined;
}

export function sizeLimits(gpu: Gpu, memoryLimit: number | undefined): SizeLimits {
  if (memoryLimit !== undefined && !(memoryLimit > 0))
    refuseOption('memoryLimit', memoryLimit, 'bytes above 0');
  return { bufferBytes: gpu.limits.binding, totalBytes: memoryLimit };
}

/** Allocates on paper: the same code that allocates a model, on a device that only adds up. */
export function sizeOf(gpu: Gpu, spec: ModelSpec, options: RunnerOptions): ModelSize {
  const largest = { label: '', bytes: 0 };
  const device = {
    limits: { maxBufferSize: Number.POSITIVE_INFINITY },
    queue: { writeBuffer() {} },
    createBuffer({ label = '', size }: GPUBufferDescriptor) {
      if (size > largest.bytes) Object.assign(largest, { label, bytes: size });
      return { size };
    },
  };
  const paper = { ...gpu, device: device as unknown as GPUDevice };
  const ledger = new Ledger(paper, { onPaper: true });
  const { parts, fill } = allocateParts(paper, ledger, spec, options);
  new Runner(parts, ledger);
  return { bytes: ledger.byPurpose(), formats: formatShares(fill), largest };
}

/** Why a model of this size cannot be loaded; undefined when nothing speaks against it. */
export function misfit(
  { bytes, largest }: Pick<ModelSize, 'bytes' | 'largest'>,
  limits: SizeLimits,
): ShishuError | undefined {
  const mend = 'Choose a smaller dtype, kv, contextLength or batch; estimate() tells which fit.';
  const { bufferBytes, totalBytes } = limits;
  if (largest.bytes > bufferBytes)
    return new ShishuError(
      'does-not-fit',
      `The buffer "${largest.label}" needs ${largest.bytes} bytes, the GPU binds at most ${bufferBytes}.`,
      { details: { buffer: largest.label, bytes: largest.bytes, limit: bufferBytes }, mend },
    );
  if (totalBytes !== undefined && bytes.total > totalBytes)
    return new ShishuError(
      'does-not-fit',
      `The model needs ${bytes.total} bytes on the GPU, memoryLimit allows ${totalBytes}.`,
      { details: { ...bytes, limit: totalBytes }, mend },
    );
  return undefined;
}
