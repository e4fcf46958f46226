import type { Ledger } from '../gpu/buffer.ts';
import type { ModelConfig } from './config.ts';
import { kvBytesPerToken, type Plan } from './plan.ts';

/** One static buffer of K and V for each attention block, unless it was released; shared by all sequences. */
export class KvCache {
  readonly dtype: 'f32' | 'f16';
  readonly sequences: number;
  /** Positions of each sequence. */
  readonly context: number;
  readonly #ledger: Ledger;
  readonly #config: ModelConfig;
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
    this.#ledger = ledger;
    this.#config = config;
    this.allocate(plan);
  }

  /** Makes the buffers that the plan's attention blocks lack; returns their layers. */
  allocate(plan: Plan): number[] {
    const missing = plan.filter(({ kind, layer }) => kind === 'attention' && !this.#buffers.has(layer));
    for (const block of missing) {
      const bytes = kvBytesPerToken(this.#config, [block], this.dtype === 'f32' ? 4 : 2);
      const label = `block ${block.layer} KV`;
      this.#buffers.set(
        block.layer,
        this.#ledger.storage(label, bytes * this.sequences * this.context, 'kv'),
      );
    }
    return missing.map(({ layer }) => layer);
  }

  /** Layers whose buffers the plan does not use. */
  unused(plan: Plan): number[] {
    return [...this.#buffers.keys()].filter((layer) => plan[layer]!.kind !== 'attention');
  }

  release(layers: readonly number[]): void {
    for (const layer of layers) {
      this.#ledger.release(this.of(layer));
      this.#buffers.delete(layer);
    }
  }

  /** K and V of a block, in the layout of shaders/shared/kv_layout.wgsl. */
  of(layer: number): GPUBuffer {
    const buffer = this.#buffers.get(layer);
    if (!buffer) throw new Error(`Block ${layer} has no KV cache.`);
    return buffer;
  }

  /** Bytes of the K, or of the V, of one sequence in a block. */
  get sequenceBytes(): number {
    const { kvHeads, headDim } = this.#config;
    return kvHeads * headDim * this.context * (this.dtype === 'f32' ? 4 : 2);
  }

  /**
   * Copies K and V of one sequence to others.
   * @param spare `(sequenceBytes)`: a buffer is not copied to itself
   */
  copy(
    encoder: GPUCommandEncoder,
    layer: number,
    from: number,
    to: readonly number[],
    spare: GPUBuffer,
  ): void {
    const buffer = this.of(layer);
    const bytes = this.sequenceBytes;
    // V follows K of all sequences.
    for (const start of [0, this.sequences * bytes]) {
      encoder.copyBufferToBuffer(buffer, start + from * bytes, spare, 0, bytes);
      for (const sequence of to)
        encoder.copyBufferToBuffer(spare, 0, buffer, start + sequence * bytes, bytes);
    }
  }
}
