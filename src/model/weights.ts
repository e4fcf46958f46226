import type { Ledger } from '../gpu/buffer.ts';
import type { Gpu } from '../gpu/device.ts';
import { rowBytes, stride, type Weight, type WeightDtype } from '../kernels/tensor.ts';
import { FORMATS } from '../quant/index.ts';
import type { ModelConfig } from './config.ts';
import { mlpWidth, type Plan } from './plan.ts';

/** A norm's gain, whole in each part of the weight that follows the norm. */
interface GainPlace {
  tensor: string;
  weight: Weight;
}

/** Rows of a stored tensor inside a weight; of its matrix, or of its bias. */
export interface RowPlace {
  tensor: string;
  weight: Weight;
  rows: number;
  /** Where row r of the tensor goes. */
  place(row: number): { part: number; row: number };
}

/** A small vector on its own: `at` counts elements. */
interface PlainPlace {
  tensor: string;
  buffer: GPUBuffer;
  at: number;
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
  /** Gains of the norms of q and k, `(2, headDim)`, where the model has them. */
  qkGains: GPUBuffer | undefined;
}

/** The linear map that stands in for a block's attention: `up (down z) + b`, or `up z + b` where it is whole. */
export interface LinearWeights {
  /** `(rank, hidden)` */
  down: Weight | undefined;
  /** `(hidden, rank)`; `(hidden, hidden)` of a whole map. */
  up: Weight;
}

export interface MlpWeights {
  gateUp: Weight;
  down: Weight;
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
  /** By the layer whose weights they are. */
  mlp: Map<number, MlpWeights>;
}

interface MatrixSpec {
  label: string;
  /** Tensors stacked along the rows, or the two halves (gate, up) of a swiglu. */
  tensors: readonly { name: string; rows: number }[];
  halves?: boolean;
  cols: number;
  /** Rows that must stay in one part. */
  unit: number;
  gain?: string | undefined;
  /** With biases named like their tensors. */
  bias?: boolean;
  dtype?: WeightDtype;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** Makes buffers for weights, splitting what is larger than a binding, and notes what goes where. */
class Allocator {
  readonly fill: FillPlan = { matrices: [], biases: [], gains: [], plain: [] };
  readonly #gpu: Gpu;
  readonly #ledger: Ledger;
  readonly #dtype: WeightDtype;
  readonly #wide: ReadonlySet<string>;

  constructor(gpu: Gpu, ledger: Ledger, dtype: WeightDtype, wide: ReadonlySet<string>) {
    this.#gpu = gpu;
    this.#ledger = ledger;
    this.#dtype = dtype;
    this.#wide = wide;
  }

  matrix(spec: MatrixSpec): Weight {
    const { label, tensors, halves = false, cols, unit, gain, bias = false } = spec;
    const wide = tensors.some(({ name }) => this.#wide.has(`${name}.weight`));
    const dtype = wide ? 'f32' : (spec.dtype ?? this.#dtype);
    const rows = sum(tensors.map((tensor) => tensor.rows));
    const bytes = rowBytes(dtype, cols);
    const most = Math.max(unit, Math.floor(this.#gpu.limits.binding / bytes.codes / unit) * unit);
    const weight: Weight = { dtype, rows, cols, parts: [], hasGain: gain !== undefined, hasBias: bias };
    for (let row0 = 0; row0 < rows; row0 += most) {
      const count = Math.min(most, rows - row0);
      weight.parts.push({
        row0,
        rows: count,
        codes: this.#ledger.storage(label, count * bytes.codes, 'weights'),
        scales: bytes.scales
          ? this.#ledger.storage(`${label} scales`, count * bytes.scales, 'weights')
          : undefined,
        vectors: this.vectorsFor(label, weight, count),
      });
    }
    let first = 0;
    for (const { name, rows: count } of tensors) {
      const before = first;
      // A part of halves holds equal shares of both; row0 counts both.
      const place = halves
        ? (row: number) => {
            const part = Math.floor((2 * row) / most);
            const share = weight.parts[part]!;
            return { part, row: row - share.row0 / 2 + (before > 0 ? share.rows / 2 : 0) };
          }
        : (row: number) => ({ part: Math.floor((before + row) / most), row: (before + row) % most });
      this.fill.matrices.push({ tensor: `${name}.weight`, weight, rows: count, place });
      if (bias) this.fill.biases.push({ tensor: `${name}.bias`, weight, rows: count, place });
      first += count;
    }
    if (gain !== undefined) this.fill.gains.push({ tensor: gain, weight });
    return weight;
  }

  vectorsFor(label: string, { hasGain, hasBias, cols }: Weight, rows: number): GPUBuffer | undefined {
    const elements = (hasGain ? stride(cols) : 0) + (hasBias ? rows : 0);
    return elements ? this.#ledger.storage(`${label} vectors`, 4 * elements, 'weights') : undefined;
  }

  /** Vectors one after the other. */
  plain(label: string, vectors: readonly string[], length: number): GPUBuffer {
    const buffer = this.#ledger.storage(label, 4 * length * vectors.length, 'weights');
    for (const [i, tensor] of vectors.entries()) this.fill.plain.push({ tensor, buffer, at: i * length });
    return buffer;
  }

  /** The same matrix under a norm of its own: a tied head. */
  withGain(weight: Weight, gain: string): Weight {
    const tied: Weight = { ...weight, hasGain: true, parts: [] };
    tied.parts = weight.parts.map((part) => ({ ...part, vectors: this.vectorsFor('head', tied, part.rows) }));
    this.fill.gains.push({ tensor: gain, weight: tied });
    return tied;
  }
}

/**
 * Allocates all weights of a model; `fill` says what to write into them.
 * @param wide tensors that are kept as f32, with those that share a matrix with them
 */
export function allocateWeights(
  gpu: Gpu,
  ledger: Ledger,
  config: ModelConfig,
  plan: Plan,
  dtype: WeightDtype,
  wide: ReadonlySet<string> = new Set(),
): { weights: Weights; fill: FillPlan } {
  const make = new Allocator(gpu, ledger, dtype, wide);
  const { hiddenSize: d, heads, kvHeads, headDim, vocabSize } = config;
  const tableDtype = FORMATS[dtype].table;
  const embed = make.matrix({
    label: 'embedding',
    tensors: [{ name: 'model.embed_tokens', rows: vocabSize }],
    cols: d,
    unit: 4,
    dtype: tableDtype,
  });
  const gain = 'model.norm.weight';
  const head = config.tied
    ? make.withGain(embed, gain)
    : make.matrix({
        label: 'head',
        tensors: [{ name: 'lm_head', rows: vocabSize }],
        cols: d,
        unit: 4,
        gain,
        dtype: tableDtype,
      });
  const weights: Weights = { embed, head, attention: new Map(), linear: new Map(), mlp: new Map() };
  for (const { kind, layer, mlp } of plan) {
    const at = `model.layers.${layer}`;
    if (kind === 'attention') {
      const attn = `${at}.self_attn`;
      weights.attention.set(layer, {
        qkv: make.matrix({
          label: `block ${layer} qkv`,
          tensors: [
            { name: `${attn}.q_proj`, rows: heads * headDim },
            { name: `${attn}.k_proj`, rows: kvHeads * headDim },
            { name: `${attn}.v_proj`, rows: kvHeads * headDim },
          ],
          cols: d,
          unit: headDim,
          gain: `${at}.input_layernorm.weight`,
          bias: config.qkvBias,
        }),
        out: make.matrix({
          label: `block ${layer} out`,
          tensors: [{ name: `${attn}.o_proj`, rows: d }],
          cols: heads * headDim,
          unit: 4,
          bias: config.attentionOutBias,
        }),
        qkGains:
          config.qkNorm === 'weighted'
            ? make.plain(
                `block ${layer} q and k norms`,
                [`${attn}.q_norm.weight`, `${attn}.k_norm.weight`],
                headDim,
              )
            : undefined,
      });
    }
    if (kind === 'linear') {
      const { linearRank: rank } = config;
      const label = `block ${layer} linear`;
      const map = (part: string, rows: number, cols: number, bias: boolean): Weight =>
        make.matrix({ label, tensors: [{ name: `${at}.linear_attn${part}`, rows }], cols, unit: 4, bias });
      weights.linear.set(
        layer,
        rank === undefined
          ? { down: undefined, up: map('', d, d, true) }
          : { down: map('.down', rank, d, false), up: map('.up', d, rank, true) },
      );
    }
    if (weights.mlp.has(mlp)) continue;
    const width = mlpWidth(config, mlp);
    weights.mlp.set(mlp, {
      gateUp: make.matrix({
        label: `block ${mlp} gate and up`,
        tensors: ['gate_proj', 'up_proj'].map((part) => ({
          name: `model.layers.${mlp}.mlp.${part}`,
          rows: width,
        })),
        halves: true,
        cols: d,
        unit: 8,
        gain: `model.layers.${mlp}.post_attention_layernorm.weight`,
        bias: config.mlpBias,
      }),
      down: make.matrix({
        label: `block ${mlp} down`,
        tensors: [{ name: `model.layers.${mlp}.mlp.down_proj`, rows: d }],
        cols: width,
        unit: 4,
        bias: config.mlpBias,
      }),
    });
  }
  return { weights, fill: make.fill };
}
