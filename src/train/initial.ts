import { type AttentionMixer, attentionOf, elements, type ModelSpec, ownTensors } from '../model/spec.ts';
import { randomFrom } from './random.ts';
import type { CpuWeights } from './weights.ts';

/** Standard deviation of key and value weights, so that a row has length 1. */
const attentionStd = (spec: ModelSpec): number => 1 / Math.sqrt(spec.hiddenSize);
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
export function initialWeights(spec: ModelSpec, seed: number): CpuWeights {
  const random = randomFrom(seed);
  const defaultStd = Math.sqrt(2 / (5 * spec.hiddenSize));
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const weights: CpuWeights = {};
  const mixers = [...attentionOf(spec).values()];
  const deviations = new Map([
    [`${spec.embedding.name}.weight`, EMBEDDING_STD],
    ...spec.blocks.map(
      ({ feedForward: { down } }) =>
        [`${down.name}.weight`, defaultStd / Math.sqrt(2 * spec.blocks.length)] as const,
    ),
    ...mixers.flatMap(({ k, v }) =>
      [k, v].map(({ name }) => [`${name}.weight`, attentionStd(spec)] as const),
    ),
  ]);
  // Copied from keys and values.
  const copied = new Set(mixers.flatMap(({ q, out }) => [q, out].map(({ name }) => `${name}.weight`)));
  for (const tensor of ownTensors(spec)) {
    const { name, shape } = tensor;
    const data = new Float32Array(elements(tensor));
    weights[name] = { shape, data };
    const std = deviations.get(name) ?? defaultStd;
    if (shape.length === 1) data.fill(name.endsWith('bias') ? 0 : 1);
    else if (!copied.has(name)) for (let i = 0; i < data.length; i++) data[i] = std * normal();
  }
  for (const mixer of mixers) initializeAttention(spec.hiddenSize, mixer, weights);
  return weights;
}

/** Mimetic initialization of an attention's query weights `(heads * headDim, hidden)` and output weights `(hidden, heads * headDim)`. */
function initializeAttention(hiddenSize: number, mixer: AttentionMixer, weights: CpuWeights): void {
  const { heads, kvHeads, headDim } = mixer;
  const [q, k, v, o] = [mixer.q, mixer.k, mixer.v, mixer.out].map(
    ({ name }) => weights[`${name}.weight`]!.data,
  ) as [Float32Array, Float32Array, Float32Array, Float32Array];
  for (let row = 0; row < heads * headDim; row++) {
    const head = Math.floor(row / headDim);
    const kvRow = Math.floor((head * kvHeads) / heads) * headDim + (row % headDim);
    for (let i = 0; i < hiddenSize; i++) {
      q[row * hiddenSize + i] = k[kvRow * hiddenSize + i]!;
      o[i * heads * headDim + row] = OUTPUT_SCALE * v[kvRow * hiddenSize + i]!;
    }
  }
}
