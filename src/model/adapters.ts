// LoRA adapters on the GPU: for each projection the factors of all of them, one behind the other.
import { ShishuError } from '../errors.ts';
import { guardMemory, type Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { type LoraSite, loraAdd, loraGate, MOST_ADAPTERS } from '../kernels/lora.ts';
import { rowBytes, stride, type Weight } from '../kernels/tensor.ts';
import type { Adapter, LowRank, Place, ProjectionName } from './adapter.ts';
import { foldsOf } from './fold.ts';
import { attentionOf, convOf, type ModelSpec } from './spec.ts';
import { headOrder, type Weights } from './weights.ts';

/** Vectors of four in a row of B. */
const fours = (rank: number): number => Math.ceil(rank / 4);

/** What one adapter has of a projection. */
interface Entry {
  /** Rows of A, of its modules in turn; each padded to a multiple of four. */
  rows: number;
  /** Vectors of four in its B's. */
  vectors: number;
  /** By matrix: where its A x begins, its rank, and where its B begins, counted from the entry's own and in vectors of four. */
  table: readonly (readonly [t: number, rank: number, b: number])[];
  /** To be written; what is on the GPU has none. */
  write?: ((a: GPUBuffer, row: number, b: GPUBuffer, vector: number) => void) | undefined;
}

/** A projection that adapters add to. */
export interface Site extends LoraSite {
  /** A's of all adapters; the gain of the norm before is that of the projection's own weight. */
  a: Weight;
  entries: ReadonlyMap<number, Entry>;
  /** What the table holds. */
  words: Uint32Array<ArrayBuffer>;
}

/** What a forward writes over beside the model's own scratch. */
interface AdapterScratch {
  t: GPUBuffer;
  /** Sums of q, k and v, of models that have no such buffer of their own. */
  qkv: GPUBuffer;
  gateUp: GPUBuffer;
}

/** An adapter that is on the GPU. */
export interface LoadedAdapter {
  /** Its number among those that sequences choose from. */
  readonly id: number;
  /** Of its factors on the GPU. */
  readonly bytes: number;
}

/** What adapters need of the model. */
export interface AdapterHost {
  gpu: Gpu;
  ledger: Ledger;
  spec: ModelSpec;
  weights: Weights;
  sequences: number;
  /** Most rows of a forward. */
  rows: number;
  memoryLimit: number | undefined;
}

/** Makes a buffer, which another makes room for. */
type Make = (label: string, bytes: number, purpose: 'weights' | 'scratch', instead?: GPUBuffer) => GPUBuffer;

/** What a projection has after a change, of what it had before. */
type EntriesOf = (key: string, before: ReadonlyMap<number, Entry>) => ReadonlyMap<number, Entry>;

const keyOf = (layer: number, projection: ProjectionName): string => `${layer} ${projection}`;

/** The adapters of a model. Sequences choose among them by numbers from 1 up; 0 is none. */
export class AdapterSet {
  readonly chosen: GPUBuffer;
  readonly sequences: number;
  /** Their launches come with them, and are no part of a forward without. */
  readonly loraAdd = loraAdd;
  readonly loraGate = loraGate;
  readonly #host: AdapterHost;
  readonly #loaded = new Set<LoadedAdapter>();
  readonly #chosen: Uint32Array<ArrayBuffer>;
  #sites = new Map<string, Site>();
  #scratch: Partial<Record<keyof AdapterScratch, GPUBuffer>> = {};

  constructor(host: AdapterHost) {
    this.#host = host;
    this.sequences = host.sequences;
    this.#chosen = new Uint32Array(host.sequences);
    this.chosen = host.ledger.storage('adapters of sequences', 4 * host.sequences, 'scratch');
  }

  /** What adapters add to a projection of a layer; undefined where none does. */
  site(layer: number, projection: ProjectionName): Site | undefined {
    return this.#sites.get(keyOf(layer, projection));
  }

  /** A buffer that a forward with adapters writes. */
  scratch(name: keyof AdapterScratch): GPUBuffer {
    const buffer = this.#scratch[name];
    if (!buffer) throw new Error(`There is no buffer for ${name} of adapters.`);
    return buffer;
  }

  /** What the buffers hold that decide where kernels read. */
  get known(): [GPUBuffer, ArrayBuffer][] {
    return [
      [this.chosen, this.#chosen.slice().buffer],
      ...[...this.#sites.values()].map(({ table, words }): [GPUBuffer, ArrayBuffer] => [table, words.buffer]),
    ];
  }

  /** From now on the rows of a sequence are an adapter's, or of none. */
  choose(sequence: number, adapter: LoadedAdapter | undefined): void {
    if (adapter && !this.#loaded.has(adapter))
      throw new ShishuError('bad-argument', 'The adapter was unloaded before the reply began.', {
        details: { option: 'adapter' },
      });
    this.#chosen[sequence] = adapter?.id ?? 0;
    this.#host.gpu.device.queue.writeBuffer(this.chosen, 0, this.#chosen);
  }

  /**
   * Puts an adapter on the GPU. No step may be under way.
   * @throws ShishuError `does-not-fit`, `out-of-memory`; then nothing has changed
   */
  async add(adapter: Adapter): Promise<LoadedAdapter> {
    const used = new Set([...this.#loaded].map((one) => one.id));
    const id = Array.from({ length: MOST_ADAPTERS }, (_, i) => i + 1).find((number) => !used.has(number));
    if (id === undefined)
      throw new ShishuError('does-not-fit', `${MOST_ADAPTERS} adapters are loaded already.`, {
        details: { limit: MOST_ADAPTERS },
        mend: 'Unload one first.',
      });
    const added = this.#entriesOf(adapter);
    const entriesOf: EntriesOf = (key, before) => new Map(before).set(id, added.get(key)!);
    await this.#change([...added.keys()], entriesOf, this.#host.memoryLimit);
    let bytes = 0;
    for (const [key, entry] of added) {
      const { a, b } = this.#sizeOf(key, [entry]);
      bytes += a + b;
    }
    const loaded = { id, bytes };
    this.#loaded.add(loaded);
    return loaded;
  }

  /** Takes an adapter away. No step may be under way. */
  async remove(adapter: LoadedAdapter): Promise<void> {
    const { id } = adapter;
    const keys = [...this.#sites].filter(([, { entries }]) => entries.has(id)).map(([key]) => key);
    await this.#change(keys, (_, before) => new Map([...before].filter(([own]) => own !== id)));
    this.#loaded.delete(adapter);
  }

  /** An adapter's parts by projection, with factors that the model's weights have folded in. */
  #entriesOf({ parts }: Adapter): Map<string, Entry> {
    const byKey = new Map<string, { part: LowRank; place: Place }[]>();
    for (const part of parts)
      for (const place of part.module.places) {
        const key = keyOf(place.layer, place.projection);
        byKey.set(key, [...(byKey.get(key) ?? []), { part, place }]);
      }
    const folds = foldsOf(this.#host.spec);
    return new Map([...byKey].map(([key, own]) => [key, this.#entry(key, own, folds)]));
  }

  #entry(
    key: string,
    own: readonly { part: LowRank; place: Place }[],
    folds: ReturnType<typeof foldsOf>,
  ): Entry {
    const { matrices } = this.#weightOf(key);
    // A module that is several matrices of the projection has one A.
    const modules = [...new Set(own.map(({ part }) => part))];
    const firstRow = new Map<LowRank, number>();
    let rows = 0;
    for (const part of modules) {
      firstRow.set(part, rows);
      rows += 4 * fours(part.rank);
    }
    let vectors = 0;
    const blocks = matrices.flatMap((columns, index) => {
      const found = own.find(({ place }) => place.index === index);
      if (!found) return [];
      const at = vectors;
      vectors += columns * fours(found.part.rank);
      return [{ ...found, at }];
    });
    const table = matrices.map((_, index): [number, number, number] => {
      const block = blocks.find(({ place }) => place.index === index);
      return block ? [firstRow.get(block.part)! / 4, fours(block.part.rank), block.at] : [0, 0, 0];
    });
    const { queue } = this.#host.gpu.device;
    const write: Entry['write'] = (a, row, b, vector) => {
      for (const part of modules) {
        const { cols } = part.module;
        const padded = new Float32Array(4 * fours(part.rank) * stride(cols));
        for (let r = 0; r < part.rank; r++)
          padded.set(part.A.subarray(r * cols, (r + 1) * cols), r * stride(cols));
        queue.writeBuffer(a, 4 * (row + firstRow.get(part)!) * stride(cols), padded);
      }
      for (const { part, place, at } of blocks) {
        const { matrix, layer, row: from } = place;
        const { rank, B } = part;
        const by = part.scale * (folds.get(`${matrix.name}.weight`)?.times ?? 1);
        const mixer = place.projection === 'qkv' ? attentionOf(this.#host.spec).get(layer) : undefined;
        const order = mixer && place.index < 2 ? headOrder(mixer) : undefined;
        const wide = 4 * fours(rank);
        const values = new Float32Array(matrix.rows * wide);
        for (let r = 0; r < matrix.rows; r++)
          for (let i = 0; i < rank; i++)
            values[(order?.(r) ?? r) * wide + i] = by * B[(from + r) * rank + i]!;
        queue.writeBuffer(b, 16 * (vector + at), values);
      }
    };
    return { rows, vectors, table, write };
  }

  #weightOf(key: string): { weight: Weight; matrices: readonly number[] } {
    const [layer, projection] = key.split(' ') as [string, ProjectionName];
    const { spec, weights } = this.#host;
    if (projection === 'qkv' || projection === 'out') {
      const { q, k, v, out } = attentionOf(spec).get(Number(layer))!;
      const own = weights.attention.get(Number(layer))!;
      return projection === 'qkv'
        ? { weight: own.qkv, matrices: [q.rows, k.rows, v.rows] }
        : { weight: own.out, matrices: [out.rows] };
    }
    const conv = convOf(spec).get(Number(layer));
    if (conv && (projection === 'convIn' || projection === 'convOut')) {
      const own = weights.conv.get(Number(layer))!;
      return projection === 'convIn'
        ? { weight: own.in, matrices: [conv.in.rows] }
        : { weight: own.out, matrices: [conv.out.rows] };
    }
    const { gate, up, down } = spec.blocks[Number(layer)]!.feedForward;
    const own = weights.mlp.get(Number(layer))!;
    return projection === 'gateUp'
      ? { weight: own.gateUp, matrices: [gate.rows, up.rows] }
      : { weight: own.down, matrices: [down.rows] };
  }

  /** Makes projections anew with other entries; what stays is copied on the GPU. */
  async #change(keys: readonly string[], entriesOf: EntriesOf, memoryLimit?: number): Promise<void> {
    const { gpu, ledger } = this.#host;
    const wanted = keys.map((key) => ({
      key,
      entries: entriesOf(key, this.#sites.get(key)?.entries ?? new Map()),
    }));
    const replaced = wanted.flatMap(({ key }) => {
      const old = this.#sites.get(key);
      return old ? [old.a.parts[0]!.codes, old.b, old.table] : [];
    });
    const made: GPUBuffer[] = [];
    const make: Make = (label, bytes, purpose, instead) => {
      if (instead) replaced.push(instead);
      const gone = replaced.reduce((sum, { size }) => sum + size, 0);
      this.#refuseTooLarge(label, bytes, ledger.bytes() - gone + bytes, memoryLimit);
      const buffer = ledger.storage(label, bytes, purpose);
      made.push(buffer);
      return buffer;
    };
    const sites = new Map(this.#sites);
    let scratch = this.#scratch;
    try {
      await guardMemory(gpu, 'adapters', () => {
        const encoder = gpu.device.createCommandEncoder();
        for (const { key, entries } of wanted)
          if (entries.size === 0) sites.delete(key);
          else sites.set(key, this.#site(key, entries, make, encoder));
        gpu.device.queue.submit([encoder.finish()]);
        scratch = this.#scratchFor(sites, make);
      });
    } catch (error) {
      for (const buffer of made) ledger.release(buffer);
      throw error;
    }
    for (const buffer of replaced) ledger.release(buffer);
    for (const [name, buffer] of Object.entries(this.#scratch))
      if (scratch[name as keyof AdapterScratch] !== buffer) ledger.release(buffer);
    this.#scratch = scratch;
    this.#sites = sites;
  }

  #refuseTooLarge(label: string, bytes: number, total: number, memoryLimit = Number.POSITIVE_INFINITY): void {
    const { binding } = this.#host.gpu.limits;
    const mend = 'Unload an adapter first.';
    if (bytes > binding)
      throw new ShishuError(
        'does-not-fit',
        `The ${label} need ${bytes} bytes, the GPU binds at most ${binding}.`,
        {
          details: { buffer: label, bytes, limit: binding },
          mend,
        },
      );
    if (total > memoryLimit)
      throw new ShishuError(
        'does-not-fit',
        `With the adapter the model needs ${total} bytes on the GPU or more, memoryLimit allows ${memoryLimit}.`,
        { details: { bytes: total, limit: memoryLimit }, mend },
      );
  }

  /** Rows of A and vectors of B that entries of a projection have, and the bytes of both. */
  #sizeOf(key: string, entries: Iterable<Entry>): { rows: number; vectors: number; a: number; b: number } {
    let [rows, vectors] = [0, 0];
    for (const entry of entries) {
      rows += entry.rows;
      vectors += entry.vectors;
    }
    const { cols } = this.#weightOf(key).weight;
    return { rows, vectors, a: rows * rowBytes('f32', cols).codes, b: 16 * vectors };
  }

  #site(key: string, entries: ReadonlyMap<number, Entry>, make: Make, encoder: GPUCommandEncoder): Site {
    const { weight, matrices } = this.#weightOf(key);
    const { cols, hasGain } = weight;
    const { rows, vectors, ...bytes } = this.#sizeOf(key, entries.values());
    const codes = make(`adapters' A of block ${key}`, bytes.a, 'weights');
    const b = make(`adapters' B of block ${key}`, bytes.b, 'weights');
    const old = this.#sites.get(key);
    const words = new Uint32Array(4 * (1 + MOST_ADAPTERS) * matrices.length);
    let [row, vector] = [0, 0];
    const kept = new Map<number, Entry>();
    for (const [id, entry] of entries) {
      if (entry.write) entry.write(codes, row, b, vector);
      else {
        const rowSize = rowBytes('f32', cols).codes;
        const from = placeIn(old!.entries, id);
        encoder.copyBufferToBuffer(
          old!.a.parts[0]!.codes,
          from.row * rowSize,
          codes,
          row * rowSize,
          entry.rows * rowSize,
        );
        encoder.copyBufferToBuffer(old!.b, 16 * from.vector, b, 16 * vector, 16 * entry.vectors);
      }
      for (const [index, [t, rank, at]] of entry.table.entries())
        words.set([row / 4 + t, rank, vector + at], 4 * (id * matrices.length + index));
      kept.set(id, { ...entry, write: undefined });
      row += entry.rows;
      vector += entry.vectors;
    }
    const table = make(`adapters' table of block ${key}`, words.byteLength, 'weights');
    this.#host.gpu.device.queue.writeBuffer(table, 0, words);
    const part = {
      dtype: 'f32' as const,
      row0: 0,
      rows,
      codes,
      scales: undefined,
      vectors: weight.parts[0]!.vectors,
    };
    const a: Weight = { rows, cols, parts: [part], hasGain, hasBias: false };
    return { a, b, table, words, matrices, rank: rows, items: vectors, entries: kept };
  }

  /** Buffers that are large enough for all projections; those that are stay. */
  #scratchFor(
    sites: ReadonlyMap<string, Site>,
    make: Make,
  ): Partial<Record<keyof AdapterScratch, GPUBuffer>> {
    const most = { t: 0, qkv: 0, gateUp: 0 };
    for (const [key, { rank, matrices }] of sites) {
      const columns = matrices.reduce((sum, each) => sum + each, 0);
      most.t = Math.max(most.t, rank);
      if (key.endsWith('qkv')) most.qkv = Math.max(most.qkv, columns);
      if (key.endsWith('gateUp')) most.gateUp = Math.max(most.gateUp, columns);
    }
    const found: Partial<Record<keyof AdapterScratch, GPUBuffer>> = {};
    for (const [name, columns] of Object.entries(most) as [keyof AdapterScratch, number][]) {
      if (columns === 0) continue;
      const bytes = 4 * this.#host.rows * stride(columns);
      const there = this.#scratch[name];
      found[name] = there && there.size >= bytes ? there : make(`adapters' ${name}`, bytes, 'scratch', there);
    }
    return found;
  }
}

/** Where an adapter's entry begins among those of a projection. */
function placeIn(entries: ReadonlyMap<number, Entry>, wanted: number): { row: number; vector: number } {
  let [row, vector] = [0, 0];
  for (const [id, entry] of entries) {
    if (id === wanted) break;
    row += entry.rows;
    vector += entry.vectors;
  }
  return { row, vector };
}
