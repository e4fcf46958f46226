import type { Runner } from '../../src/engine/runner.ts';
import type { Row, Step } from '../../src/engine/step.ts';
import type { LoadedAdapter } from '../../src/model/adapters.ts';
import type { Ring } from '../../src/model/kvcache.ts';
import type { Plan } from '../../src/model/spec.ts';

/** K and V of a position: the adapter and the tokens up to it, as the block saw them. */
type Cell = string;

/**
 * A GPU's queue without a GPU: steps take effect as they are submitted, and are read back later. Every block attends to all, but for
 * those with a ring, which lose positions.
 */
export class FakeRunner {
  readonly sequences: number;
  /** By slot. */
  readonly tokens: number[][];
  /** By layer and slot, then by position, or its place in a ring. */
  readonly cells: Cell[][][];
  /** What was sampled for each step's row that is next, with its place. */
  readonly #next: { sequence: number; position: number; token: number }[] = [];
  /** What was attended to and is not what its sequence has written there. */
  readonly wrong: string[] = [];
  readonly parts: object;
  readonly #rings: ReadonlyMap<number, Ring>;
  readonly sampler = { prepare: async () => {}, setAdjustments() {}, setMask() {} };
  /** Adapters of the slots. */
  readonly #adapters: number[] = [];
  /** Steps that may be in flight. */
  pace = { inFlight: 2 };
  /** Rows that ran. */
  rows = 0;
  /** Each token that is past this is noted, as one whose K does not fit. */
  most = Number.POSITIVE_INFINITY;
  #notes: Float32Array;

  constructor(sequences: number, layers: number, rows: number, rings: ReadonlyMap<number, Ring> = new Map()) {
    this.#rings = rings;
    this.sequences = sequences;
    this.tokens = Array.from({ length: sequences }, () => []);
    this.cells = Array.from({ length: layers }, () => Array.from({ length: sequences }, () => []));
    this.#notes = new Float32Array(2 * sequences);
    const q = { size: 8 * sequences };
    const writeBuffer = (_: unknown, at: number, data: Float32Array): void => this.#notes.set(data, at / 4);
    this.parts = {
      spec: { vocabSize: 100 },
      scratch: { rows, q },
      kv: { sequences, dtype: 'f16', rings },
      gpu: { device: { queue: { writeBuffer } } },
      adapters: {
        choose: (slot: number, adapter?: LoadedAdapter) => {
          this.#adapters[slot] = adapter?.id ?? 0;
        },
      },
    };
  }

  asRunner(): Runner {
    return this as unknown as Runner;
  }

  async run({ plan, rows, sampled, last, at, adapted }: Step) {
    // Kernels are made ready before it is submitted.
    for (let i = 0; i < 9; i++) await Promise.resolve();
    const out = new Uint32Array(this.sequences);
    const places = [...Array.from({ length: sampled }, (_, i) => i), ...last.map((_, i) => at + i)];
    const all = [...this.#next.slice(0, sampled), ...last];
    if (adapted !== [...rows, ...all].some(({ sequence }) => this.#adapters[sequence]))
      this.wrong.push(`a step is made as if rows had ${adapted ? 'an adapter' : 'none'}`);
    // All of a step are written before any attends.
    for (const row of [...rows, ...all]) this.#write(plan, row);
    for (const row of rows) this.#attend(plan, row);
    for (const [i, row] of all.entries()) {
      const { sequence, position } = row;
      out[places[i]!] = this.#attend(plan, row);
      this.#next[places[i]!] = { sequence, position: position + 1, token: out[places[i]!]! };
    }
    const notes = this.#notes.slice();
    const read = async () => {
      for (let i = 0; i < 5; i++) await Promise.resolve();
      return { tokens: out, logprobs: undefined, notes };
    };
    return { done: read() };
  }

  copyKv(plan: Plan, from: number, to: readonly number[]): void {
    for (const slot of to) {
      this.tokens[slot] = [...this.tokens[from]!];
      for (const { kind, layer } of plan)
        if (kind === 'attention') this.cells[layer]![slot] = [...this.cells[layer]![from]!];
    }
  }

  /** The text of a slot up to a position. */
  #upTo(sequence: number, position: number): Cell {
    return `${this.#adapters[sequence]}: ${this.tokens[sequence]!.slice(0, position + 1)}`;
  }

  #place(layer: number, position: number): number {
    return position % (this.#rings.get(layer)?.capacity ?? Number.POSITIVE_INFINITY);
  }

  #write(plan: Plan, { token, sequence, position }: Row): void {
    this.rows++;
    this.tokens[sequence]![position] = token;
    if (token > this.most) this.#notes.set([1, 70000], 2 * sequence);
    for (const { kind, layer } of plan)
      if (kind === 'attention')
        this.cells[layer]![sequence]![this.#place(layer, position)] = this.#upTo(sequence, position);
  }

  /** The token after a row. */
  #attend(plan: Plan, { sequence, position }: Row): number {
    for (const { kind, layer } of plan) {
      if (kind !== 'attention') continue;
      const cells = this.cells[layer]![sequence]!;
      const { window = position + 1 } = this.#rings.get(layer) ?? {};
      for (let i = Math.max(0, position + 1 - window); i <= position; i++) {
        const found = cells[this.#place(layer, i)];
        if (found !== this.#upTo(sequence, i))
          this.wrong.push(`layer ${layer}, slot ${sequence}, position ${i} of ${position}: ${found}`);
      }
    }
    const text = this.tokens[sequence]!.slice(0, position + 1);
    return text.reduce((sum, each, i) => (sum * 31 + each + i) % 97, 7);
  }
}
