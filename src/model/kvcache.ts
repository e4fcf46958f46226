import type { Ledger } from '../gpu/buffer.ts';
import { stride } from '../kernels/tensor.ts';
import { type Block, kvCapacity, kvElements, type Mixer, type ModelSpec, type Plan, planOf } from './spec.ts';

/** A cache that keeps its last positions only. */
export interface Ring {
  /** The last positions that a token attends to, its own among them. */
  window: number;
  /** Position p takes the place of p - capacity. */
  capacity: number;
  /** What a linear map sees is kept in it, not what attention does. */
  linear?: boolean;
}

/** What blocks keep, as buffers are called. */
const KEPT = { attention: 'KV', conv: 'convolution', linear: 'inputs', mlp: 'nothing' } as const;

/** The last positions that a block sees, where it does not see all. */
function windowOf(mixer: Mixer): number | undefined {
  if (mixer.kind === 'attention') return mixer.window;
  if (mixer.kind === 'conv') return mixer.taps;
  return mixer.kind === 'linear' ? mixer.inputs : undefined;
}

/** Whether a block that runs so reads what a ring keeps. */
export const readsRing = (kind: Block['kind'], { linear = false }: Ring): boolean =>
  linear ? kind === 'linear' : kind === 'attention' || kind === 'conv';

/**
 * One static buffer of K and V for each attention block, unless it was released, and of what each convolution, or linear map of several
 * inputs, sees; shared by all sequences.
 */
export class KvCache {
  readonly dtype: 'f32' | 'f16';
  readonly sequences: number;
  /** Positions of each sequence. */
  readonly context: number;
  /** By layer, of blocks that see fewer positions than the context has. */
  readonly rings: ReadonlyMap<number, Ring>;
  readonly #ledger: Ledger;
  readonly #spec: ModelSpec;
  readonly #buffers = new Map<number, GPUBuffer>();
  readonly #inputs = new Map<number, GPUBuffer>();

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
      spec.blocks.flatMap(({ mixer }, layer): [number, Ring][] => {
        const window = windowOf(mixer);
        const capacity = kvCapacity({ window }, options);
        if (capacity >= this.context) return [];
        return [[layer, { window: window!, capacity, ...(mixer.kind === 'linear' && { linear: true }) }]];
      }),
    );
    this.allocate(planOf(spec));
  }

  /** Makes the buffers that the plan's blocks lack; returns their layers. */
  allocate(plan: Plan): number[] {
    const missing = plan.filter((block) => this.keeps(block) && !this.#buffers.has(block.layer));
    for (const { kind, layer } of missing) {
      const bytes = this.#halves(layer) * this.sequences * this.#bytesOf(layer);
      const label = `block ${layer} ${KEPT[kind]}`;
      this.#buffers.set(layer, this.#ledger.storage(label, bytes, 'kv'));
    }
    return missing.map(({ layer }) => layer);
  }

  /** Layers whose buffers the plan does not use. */
  unused(plan: Plan): number[] {
    return [...this.#buffers.keys()].filter((layer) => !this.keeps(plan[layer]!));
  }

  /** Whether a block keeps something of each position. */
  keeps({ kind, layer }: Pick<Block, 'kind' | 'layer'>): boolean {
    if (kind !== 'linear') return kind === 'attention' || kind === 'conv';
    const { mixer } = this.#spec.blocks[layer]!;
    return mixer.kind === 'linear' && (mixer.inputs ?? 1) > 1;
  }

  release(layers: readonly number[]): void {
    for (const layer of layers) {
      this.#ledger.release(this.of(layer));
      this.#buffers.delete(layer);
    }
  }

  /** What a linear map that was put in the place of attention sees, of all positions. */
  keepInputs(layer: number): void {
    if (this.#inputs.has(layer)) return;
    const bytes = this.sequences * this.context * 4 * stride(this.#spec.hiddenSize);
    this.#inputs.set(layer, this.#ledger.storage(`block ${layer} inputs`, bytes, 'kv'));
  }

  /** What a linear map sees, `(sequences, capacity, hidden)` f32. */
  inputsOf(layer: number): { seen: GPUBuffer; capacity: number } {
    const own = this.#inputs.get(layer);
    return own
      ? { seen: own, capacity: this.context }
      : { seen: this.of(layer), capacity: this.capacityOf(layer) };
  }

  /** K and V of a block, in the layout of shaders/shared/kv_layout.wgsl; what others see, `(sequences, capacity, hidden)` f32. */
  of(layer: number): GPUBuffer {
    const buffer = this.#buffers.get(layer);
    if (!buffer) throw new Error(`Block ${layer} has no KV cache.`);
    return buffer;
  }

  /** Positions of each sequence that a block has room for. */
  capacityOf(layer: number): number {
    return this.rings.get(layer)?.capacity ?? this.context;
  }

  /** K and V are two, one behind the other. */
  #halves(layer: number): number {
    return this.#spec.blocks[layer]!.mixer.kind === 'attention' ? 2 : 1;
  }

  /** Bytes of the K, or of the V, of one sequence in a block; of what others see. */
  #bytesOf(layer: number): number {
    const { mixer } = this.#spec.blocks[layer]!;
    if (mixer.kind === 'none' || !this.keeps({ kind: mixer.kind, layer })) return 0;
    if (mixer.kind !== 'attention') return this.capacityOf(layer) * 4 * stride(this.#spec.hiddenSize);
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
    for (let half = 0; half < this.#halves(layer); half++) {
      const start = half * this.sequences * bytes;
      encoder.copyBufferToBuffer(buffer, start + from * bytes, spare, 0, bytes);
      for (const sequence of to)
        encoder.copyBufferToBuffer(spare, 0, buffer, start + sequence * bytes, bytes);
    }
  }
}
