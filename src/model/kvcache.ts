import type { Ledger } from '../gpu/buffer.ts';
import type { ModelConfig } from './config.ts';
import { kvBytesPerToken, type Plan } from './plan.ts';

/** One static buffer of K and V for each attention block; shared by all sequences. */
export class KvCache {
  readonly dtype: 'f32' | 'f16';
  readonly sequences: number;
  /** Positions of each sequence. */
  readonly context: number;
  readonly #buffers = new Map<number, GPUBuffer>();

  constructor(
    ledger: Ledger,
    config: ModelConfig,
    plan: Plan,
    options: { dtype: 'f32' | 'f16'; sequences: number; context: number },
  ) {
    this.dtype = options.dtype;
    this.sequences = options.sequences;
    this.context = options.context;
    for (const block of plan) {
      if (block.kind !== 'attention') continue;
      const bytes = kvBytesPerToken(config, [block], this.dtype === 'f32' ? 4 : 2);
      const label = `block ${block.layer} KV`;
      this.#buffers.set(block.layer, ledger.storage(label, bytes * this.sequences * this.context, 'kv'));
    }
  }

  /** K and V of a block, in the layout of shaders/shared/kv_layout.wgsl. */
  of(layer: number): GPUBuffer {
    const buffer = this.#buffers.get(layer);
    if (!buffer) throw new Error(`Block ${layer} has no KV cache.`);
    return buffer;
  }
}
