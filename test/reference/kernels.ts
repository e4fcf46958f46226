import { bestOf, logSumExp } from '../../src/kernels/math.ts';
import type { AttentionMixer, RopeScaling } from '../../src/model/spec.ts';

/*
 * Formulas of whole layers, as loops for the reference forward: sums in f64, results in f32. All arrays are row-major, all
 * functions return new arrays.
 */

/** Rows of an embedding table `(vocab, d)`: `(ids, d)`. */
export function embed(table: Float32Array, d: number, ids: ArrayLike<number>): Float32Array {
  const out = new Float32Array(ids.length * d);
  for (let r = 0; r < ids.length; r++) for (let c = 0; c < d; c++) out[r * d + c] = table[ids[r]! * d + c]!;
  return out;
}

/** Sum of two arrays of one shape. */
export function add(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => value + b[i]!);
}

/** `x / sqrt(mean(x^2) + eps) * gain` of each row; x `(rows, d)`, gain `(d)` or none; `(rows, d)`. */
export function rmsNorm(
  x: Float32Array,
  d: number,
  gain: Float32Array | undefined,
  eps: number,
): Float32Array {
  const out = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += d) {
    let squares = 0;
    for (let c = 0; c < d; c++) squares += x[start + c]! ** 2;
    const rms = Math.sqrt(squares / d + eps);
    for (let c = 0; c < d; c++) out[start + c] = (x[start + c]! / rms) * (gain ? gain[c]! : 1);
  }
  return out;
}

/** `x W' + bias`: x `(rows, in)`, w `(out, in)`, bias `(out)`; `(rows, out)`. */
export function linear(x: Float32Array, w: Float32Array, inSize: number, bias?: Float32Array): Float32Array {
  const rows = x.length / inSize;
  const outSize = w.length / inSize;
  const out = new Float32Array(rows * outSize);
  for (let r = 0; r < rows; r++)
    for (let o = 0; o < outSize; o++) {
      let sum = bias ? bias[o]! : 0;
      for (let i = 0; i < inSize; i++) sum += x[r * inSize + i]! * w[o * inSize + i]!;
      out[r * outSize + o] = sum;
    }
  return out;
}

/** `theta^(-2i/headDim)` for `i < headDim/2`, scaled; radians a position, f64. Source: shishulm's RoPE scalings. */
export function inverseFrequencies(headDim: number, theta: number, scaling: RopeScaling): Float64Array {
  return Float64Array.from({ length: headDim / 2 }, (_, i) => {
    const f = theta ** ((-2 * i) / headDim);
    if (scaling.type === 'none') return f;
    if (scaling.type === 'linear') return f / scaling.factor;
    if (scaling.type !== 'llama3') throw new Error(`the reference has no rope of type ${scaling.type}`);
    const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original } = scaling;
    const wavelength = (2 * Math.PI) / f;
    if (wavelength > original / low) return f / factor;
    if (wavelength < original / high) return f;
    const s = (original / wavelength - low) / (high - low);
    return (1 - s) * (f / factor) + s * f;
  });
}

type RopeConfig = Pick<AttentionMixer, 'headDim' | 'rope'>;

/** Angles of RoPE in radians, f64: `(positions, headDim / 2)`. */
export function ropeAngles(spec: RopeConfig, positions: ArrayLike<number>): Float64Array {
  const { headDim, rope } = spec;
  const frequencies = rope
    ? inverseFrequencies(headDim, rope.theta, rope.scaling)
    : new Float64Array(headDim / 2);
  const half = frequencies.length;
  const angles = new Float64Array(positions.length * half);
  for (let r = 0; r < positions.length; r++)
    for (let i = 0; i < half; i++) angles[r * half + i] = positions[r]! * frequencies[i]!;
  return angles;
}

/** RoPE that rotates halves: pairs `(i, i + headDim/2)` of each head. x and result `(rows, heads, headDim)`. */
export function rope(
  x: Float32Array,
  heads: number,
  spec: RopeConfig,
  positions: ArrayLike<number>,
): Float32Array {
  const angles = ropeAngles(spec, positions);
  const half = spec.headDim / 2;
  const out = new Float32Array(x.length);
  for (let r = 0; r < positions.length; r++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < half; i++) {
        const first = (r * heads + h) * spec.headDim + i;
        const second = first + half;
        const cos = Math.cos(angles[r * half + i]!);
        const sin = Math.sin(angles[r * half + i]!);
        out[first] = x[first]! * cos - x[second]! * sin;
        out[second] = x[second]! * cos + x[first]! * sin;
      }
  return out;
}

/**
 * Causal attention with grouped heads: query head h reads KV head `floor(h / (heads / kvHeads))`, a row at position
 * p attends to positions 0..p, or the last `window` of them, scores are scaled by `1 / sqrt(headDim)`.
 * q and result `(rows, heads, headDim)`; k and v `(cached positions, kvHeads, headDim)`; positions `(rows)`.
 */
export function attention(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  positions: ArrayLike<number>,
  { heads, kvHeads, headDim, window }: Pick<AttentionMixer, 'heads' | 'kvHeads' | 'headDim' | 'window'>,
): Float32Array {
  const out = new Float32Array(q.length);
  for (let r = 0; r < positions.length; r++)
    for (let h = 0; h < heads; h++) {
      const query = (r * heads + h) * headDim;
      const kvHead = Math.floor(h / (heads / kvHeads));
      const slot = (position: number): number => (position * kvHeads + kvHead) * headDim;
      const scores = new Float64Array(positions[r]! + 1);
      for (let p = 0; p < scores.length; p++) {
        let dot = 0;
        for (let c = 0; c < headDim; c++) dot += q[query + c]! * k[slot(p) + c]!;
        const seen = window === undefined || positions[r]! - p < window;
        scores[p] = seen ? dot / Math.sqrt(headDim) : Number.NEGATIVE_INFINITY;
      }
      const weights = softmax(scores);
      for (let c = 0; c < headDim; c++) {
        let sum = 0;
        for (let p = 0; p < weights.length; p++) sum += weights[p]! * v[slot(p) + c]!;
        out[query + c] = sum;
      }
    }
  return out;
}

/** Weights of one MLP: gate and up `(width, d)`, down `(d, width)`, biases optional. */
export interface MlpWeights {
  gate: Float32Array;
  up: Float32Array;
  down: Float32Array;
  gateBias?: Float32Array | undefined;
  upBias?: Float32Array | undefined;
  downBias?: Float32Array | undefined;
}

const ACTIVATIONS = {
  silu: (a: number): number => a / (1 + Math.exp(-a)),
  gelu: (a: number): number => 0.5 * a * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3))),
};

/** `down(act(gate(x)) * up(x))`; x and result `(rows, d)`. */
export function swiglu(
  x: Float32Array,
  d: number,
  weights: MlpWeights,
  activation: keyof typeof ACTIVATIONS = 'silu',
): Float32Array {
  const gate = linear(x, weights.gate, d, weights.gateBias);
  const up = linear(x, weights.up, d, weights.upBias);
  const hidden = gate.map((a, i) => ACTIVATIONS[activation](a) * up[i]!);
  return linear(hidden, weights.down, weights.down.length / d, weights.downBias);
}

/** Natural logarithms of the probabilities of one row of logits, f64. */
export function logSoftmax(row: ArrayLike<number>): Float64Array {
  const total = logSumExp(row);
  return Float64Array.from(row, (value) => value - total);
}

/** Probabilities of one row of logits, f64. */
export function softmax(row: ArrayLike<number>): Float64Array {
  return logSoftmax(row).map(Math.exp);
}

/** Index of the greatest value; the lowest of equals. */
export const argmax = (row: ArrayLike<number>): number => bestOf(row).index;

/** The k greatest of a row, by value downwards, equals by id upwards. */
export function topK(row: ArrayLike<number>, k: number): { id: number; value: number }[] {
  return Array.from(row, (value, id) => ({ id, value }))
    .sort((a, b) => b.value - a.value || a.id - b.id)
    .slice(0, k);
}
