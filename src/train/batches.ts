import type { Bpe } from './bpe.ts';

/** A text as tokens, each with its weight in the loss where it is the target. */
export interface Sample {
  ids: number[];
  weights: number[];
}

/** The position of a stream: plain data, stored in checkpoints. */
export interface StreamState {
  /** Index of the next sample to be drawn. */
  next: number;
  /** Indices of samples that are drawn and not in a batch yet. */
  pool: number[];
}

/** Samples numbered from 0 without end; the same index gives the same sample. */
export type SampleSource = (index: number) => Sample;

/** What a model is trained on: a corpus of chats, or a text. */
export interface TrainingData {
  /** Texts to learn the vocabulary from. */
  texts(): Iterable<string>;
  training(bpe: Bpe): SampleSource;
  /** Samples that are not in training. A text has none. */
  heldOut?(bpe: Bpe): SampleSource;
}

/** One training step's input. All arrays are `(rows, length)`, row-major. */
export interface Batch {
  rows: number;
  length: number;
  tokens: Int32Array<ArrayBuffer>;
  targets: Int32Array<ArrayBuffer>;
  /** Weight of each target in the loss, 0 for padding. */
  weights: Float32Array<ArrayBuffer>;
  /** Tokens that came from samples (the rest is padding). */
  count: number;
}

export interface BatchShape {
  rows: number;
  /** Tokens of a row. */
  length: number;
  /** Token id of padding. */
  pad: number;
}

/** Samples to choose from. */
const POOL = 24;

/**
 * Packs whole samples into rows: each row takes, from a small pool, the longest that still fits, so that kinds
 * are mixed, no sample is cut in two and little is padded. A sample longer than a row loses its end.
 */
export class BatchStream {
  readonly #source: SampleSource;
  readonly #rows: number;
  readonly #length: number;
  readonly #pad: number;
  #next: number;
  #pool: { index: number; sample: Sample }[];

  constructor(source: SampleSource, shape: BatchShape, state?: StreamState) {
    this.#source = source;
    this.#rows = shape.rows;
    this.#length = shape.length;
    this.#pad = shape.pad;
    this.#next = state?.next ?? 0;
    this.#pool = (state?.pool ?? []).map((index) => ({ index, sample: source(index) }));
  }

  get state(): StreamState {
    return { next: this.#next, pool: this.#pool.map(({ index }) => index) };
  }

  /** A row takes `length + 1` tokens: inputs are all but the last, targets all but the first. */
  #row(): Sample {
    const row: Sample = { ids: [], weights: [] };
    for (;;) {
      while (this.#pool.length < POOL) {
        this.#pool.push({ index: this.#next, sample: this.#source(this.#next) });
        this.#next++;
      }
      const room = this.#length + 1 - row.ids.length;
      // An empty row takes the oldest, so that every sample is taken at some time.
      let at = row.ids.length === 0 ? 0 : -1;
      if (at < 0)
        this.#pool.forEach(({ sample }, i) => {
          const size = sample.ids.length;
          if (size <= room && (at < 0 || size > this.#pool[at]!.sample.ids.length)) at = i;
        });
      if (at < 0) return row;
      const { sample } = this.#pool.splice(at, 1)[0]!;
      row.ids.push(...sample.ids.slice(0, room));
      row.weights.push(...sample.weights.slice(0, room));
    }
  }

  next(): Batch {
    const [rows, length] = [this.#rows, this.#length];
    const size = rows * length;
    const batch: Batch = {
      rows,
      length,
      tokens: new Int32Array(size).fill(this.#pad),
      targets: new Int32Array(size).fill(this.#pad),
      weights: new Float32Array(size),
      count: 0,
    };
    for (let r = 0; r < rows; r++) {
      const { ids, weights } = this.#row();
      batch.count += ids.length;
      for (let t = 0; t < length; t++) {
        if (t < ids.length) batch.tokens[r * length + t] = ids[t]!;
        if (t + 1 >= ids.length) continue;
        batch.targets[r * length + t] = ids[t + 1]!;
        batch.weights[r * length + t] = weights[t + 1]!;
      }
    }
    return batch;
  }
}

/** The first held-out batches; none of data without held-out samples. */
export function heldOutBatches(data: TrainingData, bpe: Bpe, shape: BatchShape, count: number): Batch[] {
  if (!data.heldOut) return [];
  const stream = new BatchStream(data.heldOut(bpe), shape);
  return Array.from({ length: count }, () => stream.next());
}
