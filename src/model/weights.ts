import type { Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { gainSize, rowBytes, stride, type Weight, type WeightDtype } from '../kernels/tensor.ts';
import { FORMATS } from '../quant/index.ts';
import { type Fold, foldsOf, rotatedPlace } from './fold.ts';
import {
  type AttentionMixer,
  convTensors,
  elements,
  type Matrix,
  type ModelSpec,
  qkGains,
  type TensorSpec,
} from './spec.ts';

/** A tensor of a checkpoint, and what its values become as they are read. */
interface Read {
  tensor: string;
  fold?: Fold | undefined;
}

/** A norm's gain, whole in each part of the weight that follows the norm. */
interface GainPlace extends Read {
  weight: Weight;
}

/** Rows of a stored tensor inside a weight; of its matrix, or of its bias. */
export interface RowPlace extends Read {
  weight: Weight;
  rows: number;
  /** Where row r of the tensor goes. */
  place(row: number): { part: number; row: number };
}

/** A small vector on its own: `at` counts elements. */
interface PlainPlace extends Read {
  buffer: GPUBuffer;
  at: number;
  /** Where element i goes behind `at`; without it, to i. */
  place?: ((i: number) => number) | undefined;
}

/** What is to be read from a checkpoint, and where it goes. */
export interface FillPlan {
  matrices: RowPlace[];
  biases: RowPlace[];
  gains: GainPlace[];
  plain: PlainPlace[];
}

export interface AttentionWeights {
  qkv: Weight;
  out: Weight;
  /** Gains of the norms of q and k, one after the other, where the model has them. */
  qkGains: GPUBuffer | undefined;
  /** Gain of the norm of what is added, `(stride(hidden))`. */
  gainAfter: GPUBuffer | undefined;
}

export interface ConvWeights {
  in: Weight;
  /** f32: `(taps, hidden)`, then the bias `(hidden)`, if any. */
  taps: GPUBuffer;
  out: Weight;
}

/** The linear map that stands in for a block's attention: `up (down z) + b`, or `up z + b` where it is whole. */
export interface LinearWeights {
  /** `(rank, inputs * hidden)` */
  down: Weight | undefined;
  /** `(hidden, rank)`; `(hidden, inputs * hidden)` of a whole map. */
  up: Weight;
}

export interface MlpWeights {
  gateUp: Weight;
  down: Weight;
  gainAfter: GPUBuffer | undefined;
}

/** Every weight of a model; blocks that share an MLP share its entry. */
export interface Weights {
  embed: Weight;
  /** The embedding again when tied. */
  head: Weight;
  /** By layer. */
  attention: Map<number, AttentionWeights>;
  /** By layer. */
  linear: Map<number, LinearWeights>;
  /** By layer. */
  conv: Map<number, ConvWeights>;
  /** By the layer whose weights they are. */
  mlp: Map<number, MlpWeights>;
}

interface Stacked {
  label: string;
  /** Stacked along the rows, or the two halves (gate, up) of a swiglu; all with biases or none. */
  matrices: readonly Matrix[];
  halves?: boolean;
  /** Rows that must stay in one part. */
  unit: number;
  /** Tensor of the gain of the norm before. */
  gain?: string | undefined;
  dtype?: WeightDtype;
  /** Where row r of these matrices goes among their rows; without it, all rows stay in order. */
  order?: { of: readonly Matrix[]; place: (row: number) => number } | undefined;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** Makes buffers for weights, splitting what is larger than a binding, and notes what goes where. */
class Allocator {
  readonly fill: FillPlan = { matrices: [], biases: [], gains: [], plain: [] };
  readonly #gpu: Gpu;
  readonly #ledger: Ledger;
  readonly #dtype: WeightDtype;
  readonly #own: ReadonlyMap<string, WeightDtype>;
  readonly #folds: ReadonlyMap<string, Fold>;

  constructor(
    gpu: Gpu,
    ledger: Ledger,
    dtype: WeightDtype,
    own: ReadonlyMap<string, WeightDtype>,
    folds: ReadonlyMap<string, Fold>,
  ) {
    this.#gpu = gpu;
    this.#ledger = ledger;
    this.#dtype = dtype;
    this.#own = own;
    this.#folds = folds;
  }

  #read(tensor: string): Read {
    return { tensor, fold: this.#folds.get(tensor) };
  }

  matrix({ label, matrices, halves = false, unit, gain, dtype: asked, order }: Stacked): Weight {
    const [{ cols, bias }] = matrices as [Matrix];
    const rows = sum(matrices.map((matrix) => matrix.rows));
    const weight: Weight = { rows, cols, parts: [], hasGain: gain !== undefined, hasBias: bias };
    const sections = this.#sections(matrices, asked ?? this.#dtype, halves).map(
      ({ dtype, factor, first, rows: inSection }) => {
        const bytes = rowBytes(dtype, cols);
        const most = Math.max(unit, Math.floor(this.#gpu.limits.binding / bytes.codes / unit) * unit);
        const part0 = weight.parts.length;
        for (let row0 = first; row0 < first + inSection; row0 += most) {
          const count = Math.min(most, first + inSection - row0);
          weight.parts.push({
            row0,
            rows: count,
            dtype,
            factor,
            codes: this.#ledger.storage(label, count * bytes.codes, 'weights'),
            scales: bytes.scales
              ? this.#ledger.storage(`${label} scales`, count * bytes.scales, 'weights')
              : undefined,
            vectors: this.vectorsFor(label, weight, count),
          });
        }
        return { first, most, part0, factor };
      },
    );
    let first = 0;
    for (const matrix of matrices) {
      const { name, rows: count } = matrix;
      const before = first;
      const section = sections.findLast((one) => one.first <= before)!;
      const { most, part0, factor } = section;
      // A part of halves holds equal shares of both; row0 counts both.
      const inOrder = halves
        ? (row: number) => {
            const part = Math.floor((2 * row) / most);
            const share = weight.parts[part]!;
            return { part, row: row - share.row0 / 2 + (before > 0 ? share.rows / 2 : 0) };
          }
        : (row: number) => {
            const at = before + row - section.first;
            return { part: part0 + Math.floor(at / most), row: at % most };
          };
      const place = order?.of.includes(matrix) ? (row: number) => inOrder(order.place(row)) : inOrder;
      const read = factor === undefined ? this.#read(`${name}.weight`) : { tensor: `${name}.weight` };
      this.fill.matrices.push({ ...read, weight, rows: count, place });
      if (bias) this.fill.biases.push({ ...this.#read(`${name}.bias`), weight, rows: count, place });
      first += count;
    }
    if (gain !== undefined) this.fill.gains.push({ ...this.#read(gain), weight });
    return weight;
  }

  /**
   * Runs of matrices that are kept in one dtype, by their rows: all in f32 where one is, or where halves differ. What has a dtype
   * of its own is kept as it is stored, and its factor left to the kernels.
   */
  #sections(matrices: readonly Matrix[], dtype: WeightDtype, halves: boolean) {
    const own = matrices.map(({ name }) => this.#own.get(`${name}.weight`));
    const wide = own.includes('f32') || (halves && new Set(own).size > 1);
    const sections: { dtype: WeightDtype; factor: number | undefined; first: number; rows: number }[] = [];
    let first = 0;
    for (const [i, { name, rows }] of matrices.entries()) {
      const last = sections.at(-1);
      const kept = wide ? 'f32' : (own[i] ?? dtype);
      const factor = wide || !own[i] ? undefined : this.#folds.get(`${name}.weight`)?.times;
      if (last?.dtype === kept && last.factor === factor) last.rows += rows;
      else sections.push({ dtype: kept, factor, first, rows });
      first += rows;
    }
    return sections;
  }

  vectorsFor(label: string, { hasGain, hasBias, cols }: Weight, rows: number): GPUBuffer | undefined {
    const elements = (hasGain ? gainSize(cols) : 0) + (hasBias ? rows : 0);
    return elements ? this.#ledger.storage(`${label} vectors`, 4 * elements, 'weights') : undefined;
  }

  /** Vectors one after the other. */
  plain(
    label: string,
    vectors: readonly TensorSpec[],
    { place, size }: { place?: ((i: number, vector: number) => number) | undefined; size?: number } = {},
  ): GPUBuffer {
    const lengths = vectors.map(elements);
    const buffer = this.#ledger.storage(label, 4 * (size ?? sum(lengths)), 'weights');
    for (const [i, { name }] of vectors.entries())
      this.fill.plain.push({
        ...this.#read(name),
        buffer,
        at: sum(lengths.slice(0, i)),
        place: place && ((element) => place(element, i)),
      });
    return buffer;
  }

  /** The same matrix under a norm of its own: a tied head. */
  withGain(weight: Weight, gain: string): Weight {
    const tied: Weight = { ...weight, hasGain: true, parts: [] };
    tied.parts = weight.parts.map((part) => ({ ...part, vectors: this.vectorsFor('head', tied, part.rows) }));
    this.fill.gains.push({ ...this.#read(gain), weight: tied });
    return tied;
  }
}

/** Where rows of q and k go, and elements of their gains, where the pairs that rotate are not those of the halves of a head. */
export function headOrder(mixer: AttentionMixer): ((row: number) => number) | undefined {
  const { headDim, rope } = mixer;
  if (rope?.rotated === undefined && !rope?.interleaved) return undefined;
  return (row) => row - (row % headDim) + rotatedPlace(mixer, row % headDim);
}

/**
 * Allocates all weights of a model; `fill` says what to write into them.
 * @param own tensors that are kept in another dtype; where one is f32, those that share a matrix with it are too
 */
export function allocateWeights(
  gpu: Gpu,
  ledger: Ledger,
  spec: ModelSpec,
  dtype: WeightDtype,
  own: ReadonlyMap<string, WeightDtype> = new Map(),
): { weights: Weights; fill: FillPlan } {
  const make = new Allocator(gpu, ledger, dtype, own, foldsOf(spec));
  const { hiddenSize } = spec;
  const table = (label: string, matrix: Matrix, gain?: string): Weight =>
    make.matrix({
      label,
      matrices: [matrix],
      unit: 4,
      dtype: FORMATS[dtype].table,
      ...(gain !== undefined && { gain }),
    });
  const embed = table('embedding', spec.embedding);
  const head = spec.tied ? make.withGain(embed, spec.norm) : table('head', spec.head, spec.norm);
  const weights: Weights = {
    embed,
    head,
    attention: new Map(),
    linear: new Map(),
    conv: new Map(),
    mlp: new Map(),
  };
  const after = (label: string, name: string | undefined): GPUBuffer | undefined =>
    name === undefined
      ? undefined
      : make.plain(label, [{ name, shape: [hiddenSize] }], { size: stride(hiddenSize) });
  for (const [layer, { mixer, feedForward }] of spec.blocks.entries()) {
    if (mixer.kind === 'attention') {
      const { q, k, v, out, headDim, norm, qkNorm } = mixer;
      const place = headOrder(mixer);
      weights.attention.set(layer, {
        qkv: make.matrix({
          label: `block ${layer} qkv`,
          matrices: [q, k, v],
          unit: headDim,
          gain: norm,
          order: place && { of: [q, k], place },
        }),
        out: make.matrix({ label: `block ${layer} out`, matrices: [out], unit: 4 }),
        qkGains:
          typeof qkNorm === 'object'
            ? make.plain(`block ${layer} q and k norms`, qkGains(mixer), { place })
            : undefined,
        gainAfter: after(`block ${layer} norm after attention`, mixer.normAfter),
      });
    }
    if (mixer.kind === 'linear') {
      const { down, up } = mixer;
      const map = (matrix: Matrix): Weight =>
        make.matrix({ label: `block ${layer} linear`, matrices: [matrix], unit: 4 });
      weights.linear.set(layer, { down: down && map(down), up: map(up) });
    }
    if (mixer.kind === 'conv') {
      const { norm, out, taps } = mixer;
      weights.conv.set(layer, {
        in: make.matrix({ label: `block ${layer} conv in`, matrices: [mixer.in], unit: 4, gain: norm }),
        // Stored by channel.
        taps: make.plain(`block ${layer} conv`, convTensors(mixer, hiddenSize), {
          place: (i, vector) => (vector === 0 ? (i % taps) * hiddenSize + Math.floor(i / taps) : i),
        }),
        out: make.matrix({ label: `block ${layer} conv out`, matrices: [out], unit: 4 }),
      });
    }
    if (feedForward.owner !== layer) continue;
    const { gate, up, down, norm, normAfter } = feedForward;
    weights.mlp.set(layer, {
      gateUp: make.matrix({
        label: `block ${layer} gate and up`,
        matrices: [gate, up],
        halves: true,
        unit: 8,
        gain: norm,
      }),
      down: make.matrix({ label: `block ${layer} down`, matrices: [down], unit: 4 }),
      gainAfter: after(`block ${layer} norm after MLP`, normAfter),
    });
  }
  return { weights, fill: make.fill };
}
