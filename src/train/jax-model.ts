import * as jax from '@jax-js/jax';
import {
  type AttentionMixer,
  attentionOf,
  type FeedForward,
  type LinearMixer,
  type Matrix,
  type ModelSpec,
} from '../model/spec.ts';
import type { CpuWeights } from './weights.ts';

const { numpy: np, tree } = jax;
type Tensor = jax.Array;

// jax-js consumes every array that is passed to an operation: `.ref` on each use but the last.

/** Weights as jax arrays; matrices but the embedding are `(in, out)`, which a matrix product reads fastest. */
export type Params = Record<string, Tensor>;

/**
 * What a forward pass over rows of `length` tokens needs besides weights; also cos and sin of RoPE, by `ropeKey`:
 * `(length, 1, 2, headDim / 2)`, where the sine of the first half of a head is negated.
 */
export interface Constants extends Record<string, Tensor> {
  /** The causal mask `(query, key)`, each `length`: 0 for keys up to the query, -1e9 after it. */
  mask: Tensor;
  /** The number 1 as an input, which the compiler cannot fold away; see `contiguous`. */
  one: Tensor;
}

/** `(rows, columns)` to `(columns, rows)`. */
function transposed(data: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = data[r * columns + c]!;
  return out;
}

/** Matrices but the embedding are transposed on the device. */
const isTransposed = ({ embedding }: ModelSpec, name: string, shape: readonly number[]): boolean =>
  shape.length === 2 && name !== `${embedding.name}.weight`;

/** Weights as jax arrays. */
export function toDevice(weights: CpuWeights, spec: ModelSpec): Params {
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, data }]) => {
      const [out, input] = shape as [number, number];
      return isTransposed(spec, name, shape)
        ? [name, np.array(transposed(data, out, input)).reshape([input, out])]
        : [name, np.array(data.slice()).reshape([...shape])];
    }),
  );
}

/** Reads parameters (or gradients, or moments) back to the CPU; the arrays are not consumed. */
export async function toCpu(params: Params, spec: ModelSpec): Promise<CpuWeights> {
  const weights: CpuWeights = {};
  for (const [name, array] of Object.entries(params)) {
    const data = (await array.ref.data()) as Float32Array<ArrayBuffer>;
    const [input, out] = array.shape as [number, number];
    weights[name] = isTransposed(spec, name, array.shape)
      ? { shape: [out, input], data: transposed(data, input, out) }
      : { shape: [...array.shape], data: data.slice() };
  }
  return weights;
}

const ropeKey = ({ headDim, rope }: AttentionMixer): string => `${headDim} ${rope!.theta}`;

/** The constants of rows of `length` tokens. */
export function constantsOf(spec: ModelSpec, length: number): Constants {
  const mask = new Float32Array(length * length);
  for (let t = 0; t < length; t++) mask.fill(-1e9, t * length + t + 1, (t + 1) * length);
  const constants: Constants = {
    mask: np.array(mask).reshape([length, length]),
    one: np.array(new Float32Array([1])),
  };
  for (const mixer of attentionOf(spec).values()) {
    const key = ropeKey(mixer);
    if (constants[`cos ${key}`]) continue;
    const half = mixer.headDim / 2;
    const cos = new Float32Array(length * 2 * half);
    const sin = new Float32Array(length * 2 * half);
    for (let t = 0; t < length; t++)
      for (let i = 0; i < half; i++) {
        const angle = t * mixer.rope!.theta ** (-i / half);
        const at = t * 2 * half + i;
        cos[at] = cos[at + half] = Math.cos(angle);
        sin[at] = -Math.sin(angle);
        sin[at + half] = Math.sin(angle);
      }
    constants[`cos ${key}`] = np.array(cos).reshape([length, 1, 2, half]);
    constants[`sin ${key}`] = np.array(sin).reshape([length, 1, 2, half]);
  }
  return constants;
}

/** `x / rms(x)` over the last axis. */
function rmsNormalize(x: Tensor, eps: number): Tensor {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.mul(np.reciprocal(np.sqrt(meanSquare.add(eps))));
}

const rmsNorm = (x: Tensor, gain: Tensor, eps: number): Tensor => rmsNormalize(x, eps).mul(gain);

const silu = (x: Tensor): Tensor => x.ref.mul(np.reciprocal(np.exp(np.negative(x)).add(1)));

/** Rotary position embedding of `(rows, length, heads, headDim)`. */
function applyRope(x: Tensor, mixer: AttentionMixer, constants: Constants): Tensor {
  const [rows, length, heads, size] = x.shape as [number, number, number, number];
  const key = ropeKey(mixer);
  const pairs = x.reshape([rows, length, heads, 2, size / 2]);
  return pairs.ref
    .mul(constants[`cos ${key}`]!.ref)
    .add(np.flip(pairs, 3).mul(constants[`sin ${key}`]!.ref))
    .reshape([rows, length, heads, size]);
}

/** Makes jax write a transposed view to memory before a matrix product reads it: 5-20 times faster on wasm. */
const contiguous = (x: Tensor, constants: Constants): Tensor => x.mul(constants.one.ref);

const weightOf = (params: Params, { name }: Matrix): Tensor => params[`${name}.weight`]!.ref;

interface ForwardInputs {
  spec: ModelSpec;
  constants: Constants;
  params: Params;
  rows: number;
  length: number;
}

/** Causal grouped-query attention of normed `x` `(rows * length, hidden)`. */
function attention(
  x: Tensor,
  mixer: AttentionMixer,
  { spec, constants, params, rows, length }: ForwardInputs,
): Tensor {
  const { heads, kvHeads, headDim } = mixer;
  const group = heads / kvHeads;
  const project = (input: Tensor, matrix: Matrix, n: number): Tensor =>
    np.matmul(input, weightOf(params, matrix)).reshape([rows, length, n, headDim]);
  const projectWithRope = (matrix: Matrix, n: number): Tensor => {
    const rotated = applyRope(project(x.ref, matrix, n), mixer, constants);
    return mixer.qkNorm === 'weightless' ? rmsNormalize(rotated, spec.rmsNormEps) : rotated;
  };
  // Query heads that share a KV head are stacked along the query axis: one product batched over rows * kvHeads.
  const q = contiguous(
    projectWithRope(mixer.q, heads)
      .reshape([rows, length, kvHeads, group, headDim])
      .transpose([0, 2, 3, 1, 4])
      .reshape([rows * kvHeads, group * length, headDim]),
    constants,
  );
  const k = contiguous(
    projectWithRope(mixer.k, kvHeads)
      .transpose([0, 2, 3, 1])
      .reshape([rows * kvHeads, headDim, length]),
    constants,
  );
  const v = contiguous(
    project(x, mixer.v, kvHeads)
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
  return np.matmul(contiguous(output, constants), weightOf(params, mixer.out));
}

/** `W z + b` of `z = x / rms(x)` `(rows * length, hidden)`; W may be a product of two factors. */
function linear(z: Tensor, { down, up }: LinearMixer, { params }: ForwardInputs): Tensor {
  const reduced = down ? np.matmul(z, weightOf(params, down)) : z;
  return np.matmul(reduced, weightOf(params, up)).add(params[`${up.name}.bias`]!.ref);
}

/** `down(silu(gate(x)) * up(x))` of normed `x` `(rows * length, hidden)`. */
function mlp(x: Tensor, { gate, up, down }: FeedForward, { params }: ForwardInputs): Tensor {
  const gated = silu(np.matmul(x.ref, weightOf(params, gate))).mul(np.matmul(x, weightOf(params, up)));
  return np.matmul(gated, weightOf(params, down));
}

/**
 * Logits `(rows * length, vocab)` of tokens `(rows, length)`, int32. Weights that two
 * blocks share are used twice, so their gradients add up. Consumes all arguments.
 */
export function forward(params: Params, tokens: Tensor, constants: Constants, spec: ModelSpec): Tensor {
  const [rows, length] = tokens.shape as [number, number];
  const inputs: ForwardInputs = { spec, constants, params, rows, length };
  const norm = (x: Tensor, gain: string): Tensor => rmsNorm(x, params[gain]!.ref, spec.rmsNormEps);
  const table = (): Tensor => weightOf(params, spec.embedding);
  let x = table().slice(tokens.reshape([rows * length]));
  for (const { mixer, feedForward } of spec.blocks) {
    if (mixer.kind === 'attention') x = x.ref.add(attention(norm(x, mixer.norm!), mixer, inputs));
    if (mixer.kind === 'linear') x = x.ref.add(linear(rmsNormalize(x, spec.rmsNormEps), mixer, inputs));
    const own = spec.blocks[feedForward.owner]!.feedForward;
    x = x.ref.add(mlp(norm(x, own.norm!), own, inputs));
  }
  x = norm(x, spec.norm);
  const logits = np.matmul(x, spec.tied ? table().transpose() : weightOf(params, spec.head));
  tree.dispose(params);
  tree.dispose(constants);
  return logits;
}
