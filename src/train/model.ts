import * as jax from '@jax-js/jax';
import type { ModelConfig } from '../model/config.ts';
import { ownSpecs, planOf } from '../model/plan.ts';
import { randomFrom } from './random.ts';
import type { CpuWeights } from './weights.ts';

const { numpy: np, tree } = jax;
type Tensor = jax.Array;

// jax-js consumes every array that is passed to an operation: `.ref` on each use but the last.

/** The same on the device; matrices but the embedding are `(in, out)`, which is what a product reads fastest. */
export type Params = Record<string, Tensor>;

/** What a forward of rows of `length` tokens needs besides weights. */
export interface Constants extends Record<string, Tensor> {
  /** `(length, 1, 2, headDim / 2)` */
  cos: Tensor;
  /** The same; the first half is negated. */
  sin: Tensor;
  /** `(length, length)`: 0 where a query may look, -1e9 after it. */
  mask: Tensor;
  /** A 1 that the compiler doesn't know of, see `contiguous`. */
  one: Tensor;
}

const EMBEDDING = 'model.embed_tokens.weight';

/** Deviation of query, key and value weights: that of rows of length 1. */
const attentionDeviation = (config: ModelConfig): number => 1 / Math.sqrt(config.hiddenSize);
/** Attention's output against the transpose of its values. */
const COPY = 0.3;
/** Deviation of the embedding. */
const EMBEDDING_DEVIATION = 0.3;

/**
 * Normal numbers with deviation sqrt(2 / (5 hidden)), those of MLPs' outputs less by sqrt(2 layers); gains 1.
 * The embedding begins wide: steps of AdamW move words of one class together, and from a narrow start the class
 * soon drowns what tells its words apart, which is what copying needs. Attention begins as a copier (mimetic initialization, Trockman and Kolter, arXiv 2305.09828): queries equal
 * keys, so like attends to like, and the output is the transpose of the values, so a token gets what it
 * attends to.
 */
export function initialWeights(config: ModelConfig, seed: number): CpuWeights {
  const random = randomFrom(seed);
  const std = Math.sqrt(2 / (5 * config.hiddenSize));
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const weights: CpuWeights = {};
  for (const { name, shape } of ownSpecs(config)) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    weights[name] = { shape, data };
    const deviation = name.endsWith('down_proj.weight')
      ? std / Math.sqrt(2 * config.layers)
      : /[kv]_proj/.test(name)
        ? attentionDeviation(config)
        : name === EMBEDDING
          ? EMBEDDING_DEVIATION
          : std;
    if (shape.length === 1) data.fill(name.endsWith('bias') ? 0 : 1);
    else if (!/[qo]_proj/.test(name)) for (let i = 0; i < data.length; i++) data[i] = deviation * normal();
  }
  for (const block of planOf(config)) if (block.kind === 'attention') mimic(config, block.layer, weights);
  return weights;
}

/** Sets a layer's query weights `(heads * headDim, hidden)` and output weights `(hidden, heads * headDim)`. */
function mimic(
  { heads, kvHeads, headDim, hiddenSize }: ModelConfig,
  layer: number,
  weights: CpuWeights,
): void {
  const part = (name: string): Float32Array =>
    weights[`model.layers.${layer}.self_attn.${name}_proj.weight`]!.data;
  const [q, k, v, o] = [part('q'), part('k'), part('v'), part('o')];
  for (let row = 0; row < heads * headDim; row++) {
    const head = Math.floor(row / headDim);
    const kvRow = Math.floor((head * kvHeads) / heads) * headDim + (row % headDim);
    for (let i = 0; i < hiddenSize; i++) {
      q[row * hiddenSize + i] = k[kvRow * hiddenSize + i]!;
      o[i * heads * headDim + row] = COPY * v[kvRow * hiddenSize + i]!;
    }
  }
}

/** `(rows, columns)` to `(columns, rows)`. */
function transposed(data: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  return out;
}

const isStoredAcross = (name: string, shape: readonly number[]): boolean =>
  shape.length === 2 && name !== EMBEDDING;

export function toDevice(weights: CpuWeights): Params {
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, data }]) => {
      const [out, input] = shape as [number, number];
      return isStoredAcross(name, shape)
        ? [name, np.array(transposed(data, out, input)).reshape([input, out])]
        : [name, np.array(data.slice()).reshape([...shape])];
    }),
  );
}

/** Reads parameters (or their gradients, or moments) back; they stay alive. */
export async function toCpu(params: Params): Promise<CpuWeights> {
  const weights: CpuWeights = {};
  for (const [name, array] of Object.entries(params)) {
    const data = (await array.ref.data()) as Float32Array<ArrayBuffer>;
    const [input, out] = array.shape as [number, number];
    weights[name] = isStoredAcross(name, array.shape)
      ? { shape: [out, input], data: transposed(data, input, out) }
      : { shape: [...array.shape], data: data.slice() };
  }
  return weights;
}

export function constantsOf(config: ModelConfig, length: number): Constants {
  const half = config.headDim / 2;
  const cos = new Float32Array(length * 2 * half);
  const sin = new Float32Array(length * 2 * half);
  const mask = new Float32Array(length * length);
  for (let t = 0; t < length; t++) {
    for (let i = 0; i < half; i++) {
      const angle = t * config.ropeTheta ** (-i / half);
      const at = t * 2 * half + i;
      cos[at] = cos[at + half] = Math.cos(angle);
      sin[at] = -Math.sin(angle);
      sin[at + half] = Math.sin(angle);
    }
    mask.fill(-1e9, t * length + t + 1, (t + 1) * length);
  }
  return {
    cos: np.array(cos).reshape([length, 1, 2, half]),
    sin: np.array(sin).reshape([length, 1, 2, half]),
    mask: np.array(mask).reshape([length, length]),
    one: np.array(new Float32Array([1])),
  };
}

/** `x / rms(x)` over the last axis. */
function normalized(x: Tensor, eps: number): Tensor {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.mul(np.reciprocal(np.sqrt(meanSquare.add(eps))));
}

const rmsNorm = (x: Tensor, gain: Tensor, eps: number): Tensor => normalized(x, eps).mul(gain);

const silu = (x: Tensor): Tensor => x.ref.mul(np.reciprocal(np.exp(np.negative(x)).add(1)));

/** Rotary position of `(rows, length, heads, headDim)`; halves are swapped by a flip. */
function rotated(x: Tensor, constants: Constants): Tensor {
  const [rows, length, heads, size] = x.shape as [number, number, number, number];
  const pairs = x.reshape([rows, length, heads, 2, size / 2]);
  return pairs.ref
    .mul(constants.cos.ref)
    .add(np.flip(pairs, 3).mul(constants.sin.ref))
    .reshape([rows, length, heads, size]);
}

/** Has a transposed view written out before a product reads it: 5-20 times faster on wasm. */
const contiguous = (x: Tensor, constants: Constants): Tensor => x.mul(constants.one.ref);

interface Context {
  config: ModelConfig;
  constants: Constants;
  params: Params;
  rows: number;
  length: number;
}

/** Causal grouped-query attention of normed `x` `(rows * length, hidden)`. */
function attention(x: Tensor, layer: number, { config, constants, params, rows, length }: Context): Tensor {
  const { heads, kvHeads, headDim } = config;
  const group = heads / kvHeads;
  const weight = (part: string): Tensor => params[`model.layers.${layer}.self_attn.${part}_proj.weight`]!.ref;
  const project = (input: Tensor, part: string, n: number): Tensor =>
    np.matmul(input, weight(part)).reshape([rows, length, n, headDim]);
  const placed = (part: string, n: number): Tensor => {
    const turned = rotated(project(x.ref, part, n), constants);
    return config.qkNorm === 'weightless' ? normalized(turned, config.rmsNormEps) : turned;
  };
  // The query heads of one KV head go to the row axis: a product batched over rows * kvHeads, no repeats.
  const q = contiguous(
    placed('q', heads)
      .reshape([rows, length, kvHeads, group, headDim])
      .transpose([0, 2, 3, 1, 4])
      .reshape([rows * kvHeads, group * length, headDim]),
    constants,
  );
  const k = contiguous(
    placed('k', kvHeads)
      .transpose([0, 2, 3, 1])
      .reshape([rows * kvHeads, headDim, length]),
    constants,
  );
  const v = contiguous(
    project(x, 'v', kvHeads)
      .transpose([0, 2, 1, 3])
      .reshape([rows * kvHeads, length, headDim]),
    constants,
  );
  const scores = np
    .matmul(q, k)
    .mul(1 / Math.sqrt(headDim))
    .reshape([rows * kvHeads, group, length, length])
    .add(constants.mask.ref);
  const most = jax.lax.stopGradient(np.max(scores.ref, -1, { keepdims: true }));
  const powers = np.exp(scores.sub(most));
  const shares = powers.ref
    .div(np.sum(powers, -1, { keepdims: true }))
    .reshape([rows * kvHeads, group * length, length]);
  const mixed = np
    .matmul(shares, v)
    .reshape([rows, kvHeads, group, length, headDim])
    .transpose([0, 3, 1, 2, 4])
    .reshape([rows * length, heads * headDim]);
  return np.matmul(contiguous(mixed, constants), weight('o'));
}

/** `W z + b` of `z = x / rms(x)` `(rows * length, hidden)`; W may be two factors. */
function linear(z: Tensor, layer: number, { config, params }: Context): Tensor {
  const part = (name: string): Tensor => params[`model.layers.${layer}.linear_attn.${name}`]!.ref;
  if (config.linearRank === undefined) return np.matmul(z, part('weight')).add(part('bias'));
  return np.matmul(np.matmul(z, part('down.weight')), part('up.weight')).add(part('up.bias'));
}

/** `down(silu(gate(x)) * up(x))` of normed `x` `(rows * length, hidden)`. */
function mlp(x: Tensor, layer: number, { params }: Context): Tensor {
  const weight = (part: string): Tensor => params[`model.layers.${layer}.mlp.${part}_proj.weight`]!.ref;
  const gated = silu(np.matmul(x.ref, weight('gate'))).mul(np.matmul(x, weight('up')));
  return np.matmul(gated, weight('down'));
}

/**
 * Logits `(rows * length, vocab)` of tokens `(rows, length)`, int32. Walks the same plan as the engine; a shared
 * pair's weights are used twice, so its gradients add up. Consumes all arguments.
 */
export function forward(params: Params, tokens: Tensor, constants: Constants, config: ModelConfig): Tensor {
  const [rows, length] = tokens.shape as [number, number];
  const context: Context = { config, constants, params, rows, length };
  const norm = (x: Tensor, name: string): Tensor =>
    rmsNorm(x, params[`model.${name}.weight`]!.ref, config.rmsNormEps);
  let x = params[EMBEDDING]!.ref.slice(tokens.reshape([rows * length]));
  for (const { kind, layer, mlp: owner } of planOf(config)) {
    if (kind === 'attention')
      x = x.ref.add(attention(norm(x, `layers.${layer}.input_layernorm`), layer, context));
    if (kind === 'linear') x = x.ref.add(linear(normalized(x, config.rmsNormEps), layer, context));
    x = x.ref.add(mlp(norm(x, `layers.${owner}.post_attention_layernorm`), owner, context));
  }
  x = norm(x, 'norm');
  const logits = config.tied
    ? np.matmul(x, params[EMBEDDING]!.ref.transpose())
    : np.matmul(x, params['lm_head.weight']!.ref);
  tree.dispose(params);
  tree.dispose(constants);
  return logits;
}
