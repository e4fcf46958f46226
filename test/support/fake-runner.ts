import type { Runner, Step } from '../../src/engine/runner.ts';
import type { Plan } from '../../src/model/spec.ts';

/** K and V of a position: the tokens up to it, as the block saw them. */
type Cell = string;

/** A GPU's queue without a GPU: steps take effect as they are submitted, and are read back later. Every block attends to all. */
export class FakeRunner {
  readonly sequences: number;
  /** By slot. */
  readonly tokens: number[][];
  /** By layer and slot. */
  readonly cells: Cell[][][];
  /** What was sampled for each step's row that is next, with its place. */
  readonly #next: { sequence: number; position: number; token: number }[] = [];
  /** What was attended to and is not what its sequence has written there. */
  readonly wrong: string[] = [];
  readonly parts: object;
  readonly sampler = { prepare: async () => {}, setAdjustments() {}, setMask() {} };
  /** Rows that ran. */
  rows = 0;
  /** Each token that is past this is noted, as one whose K does not fit. */
  most = Number.POSITIVE_INFINITY;
  #notes: Float32Array;

  constructor(sequences: number, layers: number, rows: number) {
    this.sequences = sequences;
    this.tokens = Array.from({ length: sequences }, () => []);
    this.cells = Array.from({ length: layers }, () => Array.from({ length: sequences }, () => []));
    this.#notes = new Float32Array(2 * sequences);
    const q = { size: 8 * sequences };
    const writeBuffer = (_: unknown, at: number, data: Float32Array): void => this.#notes.set(data, at / 4);
    this.parts = {
      spec: { vocabSize: 100 },
      scratch: { rows, q },
      kv: { sequences, dtype: 'f16', rings: new Map() },
      gpu: { device: { queue: { writeBuffer } } },
    };
  }

  asRunner(): Runner {
    return this as unknown as Runner;
  }

  async run({ plan, rows, sampled, last, at }: Step) {
    // Kernels are made ready before it is submitted.
    for (let i = 0; i < 9; i++) await Promise.resolve();
    for (const row of rows) this.#row(plan, row);
    const out = new Uint32Array(this.sequences);
    const places = [...Array.from({ length: sampled }, (_, i) => i), ...last.map((_, i) => at + i)];
    const all = [...this.#next.slice(0, sampled), ...last];
    for (const [i, row] of all.entries()) {
      const { sequence, position } = row;
      out[places[i]!] = this.#row(plan, row);
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

  /** Runs a row; the token after it. */
  #row(plan: Plan, { token, sequence, position }: { token: number; sequence: number; position: number }) {
    this.rows++;
    const text = this.tokens[sequence]!;
    text[position] = token;
    if (token > this.most) this.#notes.set([1, 70000], 2 * sequence);
    const upTo = (end: number): Cell => text.slice(0, end + 1).join();
    for (const { kind, layer } of plan) {
      if (kind !== 'attention') continue;
      const cells = this.cells[layer]![sequence]!;
      cells[position] = upTo(position);
      for (let i = 0; i <= position; i++)
        if (cells[i] !== upTo(i))
          this.wrong.push(`layer ${layer}, slot ${sequence}, position ${i}: ${cells[i]}`);
    }
    return text.slice(0, position + 1).reduce((sum, each, i) => (sum * 31 + each + i) % 97, 7);
  }
}
