import * as jax from '@jax-js/jax';
import type { ModelConfig } from '../model/config.ts';
import { ownSpecs, planOf } from '../model/plan.ts';
import { randomFrom } from './random.ts';
import type { CpuWeights } from './weights.ts';

const { numpy: np, tree } = jax;
type Tensor = jax.Array;

// jax-js consumes every array that is passed to an operation: `.ref` on each use but the last.

/** Weights as jax arrays; matrices but the embedding are `(in, out)`, which a matrix product reads fastest. */
export type Params = Record<string, Tensor>;

/** What a forward pass over rows of `length` tokens needs besides weights. */
export interface Constants extends Record<string, Tensor> {
  /** `(length, 1, 2, headDim / 2)` */
  cos: Tensor;
  /** The same shape; for the first half of a head the sine is negated. */
  sin: Tensor;
  /** The causal mask `(query, key)`, each `length`: 0 for keys up to the query, -1e9 after it. */
  mask: Tensor;
  /** The number 1 as an input, which the compiler cannot fold away; see `contiguous`. */
  one: Tensor;
}

const EMBEDDING = 'model.embed_tokens.weight';

/** Standard deviation of key and value weights, so that a row has length 1. */
const attentionStd = (config: ModelConfig): number => 1 / Math.sqrt(config.hiddenSize);
/** Attention's output matrix is the transpose of its value matrix times this. */
const OUTPUT_SCALE = 0.3;
/** Standard deviation of the embedding. */
const EMBEDDING_STD = 0.3;

/**
 * A new model's weights: gains 1, biases 0, and normal numbers with standard deviation sqrt(2 / (5 hidden)), for MLP outputs
 * divided by sqrt(2 layers). The embedding's is larger: AdamW moves the words of one class together, and from a small start
 * the class soon outweighs what distinguishes its words, which copying needs. Attention starts as a copier (mimetic
 * initialization, Trockman and Kolter, arXiv 2305.09828): queries equal keys, so that tokens attend to tokens like them, and
 * the output matrix is the transpose of the value matrix, so that a token receives what it attends to.
 */
export function initialWeights(config: ModelConfig, seed: number): CpuWeights {
  const random = randomFrom(seed);
  const defaultStd = Math.sqrt(2 / (5 * config.hiddenSize));
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const weights: CpuWeights = {};
  for (const { name, shape } of ownSpecs(config)) {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    weights[name] = { shape, data };
    const std = name.endsWith('down_proj.weight')
      ? defaultStd / Math.sqrt(2 * config.layers)
      : /[kv]_proj/.test(name)
        ? attentionStd(config)
        : name === EMBEDDING
          ? EMBEDDING_STD
          : defaultStd;
    if (shape.length === 1) data.fill(name.endsWith('bias') ? 0 : 1);
    else if (!/[qo]_proj/.test(name)) for (let i = 0; i < data.length; i++) data[i] = std * normal();
  }
  for (const block of planOf(config))
    if (block.kind === 'attention') initializeAttention(config, block.layer, weights);
  return weights;
}

/** Mimetic initialization of a layer's query weights `(heads * headDim, hidden)` and output weights `(hidden, heads * headDim)`. */
function initializeAttention(
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
      o[i * heads * headDim + row] = OUTPUT_SCALE * v[kvRow * hiddenSize + i]!;
    }
  }
}

/** `(rows, columns)` to `(columns, rows)`. */
function transposed(data: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  return out;
}

/** Matrices but the embedding are transposed on the device. */
const isTransposed = (name: string, shape: readonly number[]): boolean =>
  shape.length === 2 && name !== EMBEDDING;

/** Weights as jax arrays. */
export function toDevice(weights: CpuWeights): Params {
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, data }]) => {
      const [out, input] = shape as [number, number];
      return isTransposed(name, shape)
        ? [name, np.array(transposed(data, out, input)).reshape([input, out])]
        : [name, np.array(data.slice()).reshape([...shape])];
    }),
  );
}

/** Reads parameters (or gradients, or moments) back to the CPU; the arrays are not consumed. */
export async function toCpu(params: Params): Promise<CpuWeights> {
  const weights: CpuWeights = {};
  for (const [name, array] of Object.entries(params)) {
    const data = (await array.ref.data()) as Float32Array<ArrayBuffer>;
    const [input, out] = array.shape as [number, number];
    weights[name] = isTransposed(name, array.shape)
      ? { shape: [out, input], data: transposed(data, input, out) }
      : { shape: [...array.shape], data: data.slice() };
  }
  return weights;
}

/** The constants of rows of `length` tokens. */
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
function rmsNormalize(x: Tensor, eps: number): Tensor {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.mul(np.reciprocal(np.sqrt(meanSquare.add(eps))));
}

const rmsNorm = (x: Tensor, gain: Tensor, eps: number): Tensor => rmsNormalize(x, eps).mul(gain);

const silu = (x: Tensor): Tensor => x.ref.mul(np.reciprocal(np.exp(np.negative(x)).add(1)));

/** Rotary position embedding of `(rows, length, heads, headDim)`. */
function applyRope(x: Tensor, constants: Constants): Tensor {
  const [rows, length, heads, size] = x.shape as [number, number, number, number];
  const pairs = x.reshape([rows, length, heads, 2, size / 2]);
  return pairs.ref
    .mul(constants.cos.ref)
    .add(np.flip(pairs, 3).mul(constants.sin.ref))
    .reshape([rows, length, heads, size]);
}

/** Makes jax write a transposed view to memory before a matrix product reads it: 5-20 times faster on wasm. */
const contiguous = (x: Tensor, constants: Constants): Tensor => x.mul(constants.one.ref);

interface ForwardInputs {
  config: ModelConfig;
  constants: Constants;
  params: Params;
  rows: number;
  length: number;
}

/** Causal grouped-query attention of normed `x` `(rows * length, hidden)`. */
function attention(
  x: Tensor,
  layer: number,
  { config, constants, params, rows, length }: ForwardInputs,
): Tensor {
  const { heads, kvHeads, headDim } = config;
  const group = heads / kvHeads;
  const weight = (part: string): Tensor => params[`model.layers.${layer}.self_attn.${part}_proj.weight`]!.ref;
  const project = (input: Tensor, part: string, n: number): Tensor =>
    np.matmul(input, weight(part)).reshape([rows, length, n, headDim]);
  const projectWithRope = (part: string, n: number): Tensor => {
    const rotated = applyRope(project(x.ref, part, n), constants);
    return config.qkNorm === 'weightless' ? rmsNormalize(rotated, config.rmsNormEps) : rotated;
  };
  // Query heads that share a KV head are stacked along the query axis: one product batched over rows * kvHeads.
  const q = contiguous(
    projectWithRope('q', heads)
      .reshape([rows, length, kvHeads, group, headDim])
      .transpose([0, 2, 3, 1, 4])
      .reshape([rows * kvHeads, group * length, headDim]),
    constants,
  );
  const k = contiguous(
    projectWithRope('k', kvHeads)
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
  const max = jax.lax.stopGradient(np.max(scores.ref, -1, { keepdims: true }));
  const exps = np.exp(scores.sub(max));
  const probabilities = exps.ref
    .div(np.sum(exps, -1, { keepdims: true }))
    .reshape([rows * kvHeads, group * length, length]);
  const output = np
    .matmul(probabilities, v)
    .reshape([rows, kvHeads, group, length, headDim])
    .transpose([0, 3, 1, 2, 4])
    .reshape([rows * length, heads * headDim]);
  return np.matmul(contiguous(output, constants), weight('o'));
}

/** `W z + b` of `z = x / rms(x)` `(rows * length, hidden)`; W may be a product of two factors. */
function linear(z: Tensor, layer: number, { config, params }: ForwardInputs): Tensor {
  const part = (name: string): Tensor => params[`model.layers.${layer}.linear_attn.${name}`]!.ref;
  if (config.linearRank === undefined) return np.matmul(z, part('weight')).add(part('bias'));
  return np.matmul(np.matmul(z, part('down.weight')), part('up.weight')).add(part('up.bias'));
}

/** `down(silu(gate(x)) * up(x))` of normed `x` `(rows * length, hidden)`. */
function mlp(x: Tensor, layer: number, { params }: ForwardInputs): Tensor {
  const weight = (part: string): Tensor => params[`model.layers.${layer}.mlp.${part}_proj.weight`]!.ref;
  const gated = silu(np.matmul(x.ref, weight('gate'))).mul(np.matmul(x, weight('up')));
  return np.matmul(gated, weight('down'));
}

/**
 * Logits `(rows * length, vocab)` of tokens `(rows, length)`, int32. Follows the engine's plan; weights that two
 * blocks share are used twice, so their gradients add up. Consumes all arguments.
 */
export function forward(params: Params, tokens: Tensor, constants: Constants, config: ModelConfig): Tensor {
  const [rows, length] = tokens.shape as [number, number];
  const inputs: ForwardInputs = { config, constants, params, rows, length };
  const norm = (x: Tensor, name: string): Tensor =>
    rmsNorm(x, params[`model.${name}.weight`]!.ref, config.rmsNormEps);
  let x = params[EMBEDDING]!.ref.slice(tokens.reshape([rows * length]));
  for (const { kind, layer, mlp: owner } of planOf(config)) {
    if (kind === 'attention')
      x = x.ref.add(attention(norm(x, `layers.${layer}.input_layernorm`), layer, inputs));
    if (kind === 'linear') x = x.ref.add(linear(rmsNormalize(x, config.rmsNormEps), layer, inputs));
    x = x.ref.add(mlp(norm(x, `layers.${owner}.post_attention_layernorm`), owner, inputs));
  }
  x = norm(x, 'norm');
  const logits = config.tied
    ? np.matmul(x, params[EMBEDDING]!.ref.transpose())
    : np.matmul(x, params['lm_head.weight']!.ref);
  tree.dispose(params);
  tree.dispose(constants);
  return logits;
}
