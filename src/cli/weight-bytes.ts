import { kvOf, type RunnerOptions } from '../engine/size.ts';
import { type FormatShare, formatShares } from '../engine/weight-formats.ts';
import { Ledger, type Purpose } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KvCache } from '../model/kvcache.ts';
import type { ModelSpec } from '../model/spec.ts';
import { allocateWeights } from '../model/weights.ts';

/** Adds bytes up as the GPU's ledger does, and allocates nothing. */
class PaperLedger extends Ledger {
  #bytes = 0;

  override storage(_label: string, bytes: number, _purpose: Purpose): GPUBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    this.#bytes += size;
    return { size } as GPUBuffer;
  }

  override bytes(): number {
    return this.#bytes;
  }
}

/**
 * Bytes of a model's weights, and of each format, on a GPU whose bindings take each matrix whole (one that splits them repeats the gains of
 * norms, some kB a part).
 */
export function weightBytes(
  spec: ModelSpec,
  { dtype, own }: Pick<RunnerOptions, 'dtype' | 'own'>,
): { weights: number; formats: FormatShare[] } {
  const gpu = { limits: { binding: Number.MAX_SAFE_INTEGER } } as Gpu;
  const ledger = new PaperLedger(gpu);
  const { fill } = allocateWeights(gpu, ledger, spec, dtype, own);
  return { weights: ledger.bytes(), formats: formatShares(fill) };
}

/** Bytes of the KV cache of a model, and which of its blocks keep their last positions only. */
export function cacheBytes(
  gpu: Pick<Gpu, 'profile'>,
  spec: ModelSpec,
  sizes: RunnerOptions,
): { kv: number; rings: KvCache['rings'] } {
  const ledger = new PaperLedger(gpu as Gpu);
  const { rings } = kvOf(gpu, ledger, spec, sizes);
  return { kv: ledger.bytes(), rings };
}
