import type { Ledger } from '../gpu/buffer.ts';
import { attentionOf, kvCapacity, kvElements, type ModelSpec, type Plan, planOf } from './spec.ts';

/** A cache that keeps its last positions only. */
export interface Ring {
  /** The last positions that a token attends to, its own among them. */
  window: number;
  /** Position p takes the place of p - capacity. */
  capacity: number;
}

/** One static buffer of K and V for each attention block, unless it was released; shared by all sequences. */
export class KvCache {
  readonly dtype: 'f32' | 'f16';
  readonly sequences: number;
  /** Positions of each sequence. */
  readonly context: number;
  /** By layer, of blocks whose window is narrower than the context. */
  readonly rings: ReadonlyMap<number, Ring>;
  readonly #ledger: Ledger;
  readonly #spec: ModelSpec;
  readonly #buffers = new Map<number, GPUBuffer>();

  constructor(
    ledger: Ledger,
    spec: ModelSpec,
    options: {
      dtype: 'f32' | 'f16';
      sequences: number;
      context: number;
      /** Most that a forward writes. */
      rows: number;
    },
  ) {
    this.dtype = options.dtype;
    this.sequences = options.sequences;
    this.context = options.context;
    this.#ledger = ledger;
    this.#spec = spec;
    this.rings = new Map(
      [...attentionOf(spec)].flatMap(([layer, mixer]): [number, Ring][] => {
        const capacity = kvCapacity(mixer, options);
        return capacity < this.context ? [[layer, { window: mixer.window!, capacity }]] : [];
      }),
    );
    this.allocate(planOf(spec));
  }

  /** Makes the buffers that the plan's attention blocks lack; returns their layers. */
  allocate(plan: Plan): number[] {
    const missing = plan.filter(({ kind, layer }) => kind === 'attention' && !this.#buffers.has(layer));
    for (const block of missing) {
      const bytes = 2 * this.sequences * this.#bytesOf(block.layer);
      this.#buffers.set(block.layer, this.#ledger.storage(`block ${block.layer} KV`, bytes, 'kv'));
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

  /** Positions of each sequence that a block has room for. */
  capacityOf(layer: number): number {
    return this.rings.get(layer)?.capacity ?? this.context;
  }

  /** Bytes of the K, or of the V, of one sequence in a block. */
  #bytesOf(layer: number): number {
    const { mixer } = this.#spec.blocks[layer]!;
    if (mixer.kind !== 'attention') return 0;
    return this.capacityOf(layer) * kvElements(mixer) * (this.dtype === 'f32' ? 4 : 2);
  }

  /** The most of them in any block. */
  get sequenceBytes(): number {
    return Math.max(0, ...this.#spec.blocks.map((_, layer) => this.#bytesOf(layer)));
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
    const bytes = this.#bytesOf(layer);
    // V follows K of all sequences.
    for (const start of [0, this.sequences * bytes]) {
      encoder.copyBufferToBuffer(buffer, start + from * bytes, spare, 0, bytes);
      for (const sequence of to)
        encoder.copyBufferToBuffer(spare, 0, buffer, start + sequence * bytes, bytes);
    }
  }
}
