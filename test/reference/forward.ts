import {
  type AttentionMixer,
  type Block,
  type ConvMixer,
  type Matrix,
  type ModelSpec,
  type Plan,
  planOf,
} from '../../src/model/spec.ts';
import { add, argmax, attention, embed, linear, rmsNorm, swiglu } from './kernels.ts';
import { rotate } from './rope.ts';

/** A tensor of a checkpoint: row-major, widened to f32. */
export interface ReferenceTensor {
  shape: readonly number[];
  data: Float32Array;
}
export type ReferenceTensors = ReadonlyMap<string, ReferenceTensor>;

/** x times a factor. */
const scaled = (x: Float32Array, factor = 1): Float32Array =>
  factor === 1 ? x : x.map((value) => factor * value);

type Lookup = (name: string) => Float32Array;
type OptionalLookup = (name: string) => Float32Array | undefined;

/** The norm of what a block adds, where it has one. */
const normAfter = (
  { hiddenSize, rmsNormEps }: ModelSpec,
  x: Float32Array,
  { normAfter: gain }: { normAfter?: string },
  get: Lookup,
): Float32Array => (gain === undefined ? x : rmsNorm(x, hiddenSize, get(gain), rmsNormEps));

/** Output of a block's attention without the residual; x `(tokens, hidden)` is the block's input. */
function selfAttention(
  spec: ModelSpec,
  mixer: AttentionMixer,
  context: number,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array {
  const { hiddenSize: d, rmsNormEps: eps } = spec;
  const { heads, kvHeads, headDim, qkNorm } = mixer;
  const positions = Array.from({ length: x.length / d }, (_, i) => i);
  const n = mixer.norm === undefined ? x : rmsNorm(x, d, get(mixer.norm), eps);
  const project = ({ name }: Matrix): Float32Array =>
    linear(n, get(`${name}.weight`), d, find(`${name}.bias`));
  let q = project(mixer.q);
  let k = project(mixer.k);
  const v = project(mixer.v);
  if (typeof qkNorm === 'object') {
    q = rmsNorm(q, qkNorm.whole ? heads * headDim : headDim, get(qkNorm.q), eps);
    k = rmsNorm(k, qkNorm.whole ? kvHeads * headDim : headDim, get(qkNorm.k), eps);
  }
  q = rotate(q, heads, mixer, context);
  k = rotate(k, kvHeads, mixer, context);
  if (qkNorm === 'weightless') {
    q = rmsNorm(q, headDim, undefined, eps);
    k = rmsNorm(k, headDim, undefined, eps);
  }
  // Attention divides scores by the root of the head's size.
  const asked = mixer.scoreScale === undefined ? 1 : mixer.scoreScale * Math.sqrt(headDim);
  const mixed = attention(scaled(q, asked), k, v, positions, mixer);
  const { name } = mixer.out;
  return normAfter(
    spec,
    linear(mixed, get(`${name}.weight`), heads * headDim, find(`${name}.bias`)),
    mixer,
    get,
  );
}

/** Output of a block's short convolution without the residual. */
function shortConv(
  { hiddenSize: d, rmsNormEps: eps }: ModelSpec,
  mixer: ConvMixer,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array {
  const n = rmsNorm(x, d, get(mixer.norm), eps);
  const all = linear(n, get(`${mixer.in.name}.weight`), d, find(`${mixer.in.name}.bias`));
  const [weight, bias] = [get(`${mixer.conv.name}.weight`), find(`${mixer.conv.name}.bias`)];
  const mixed = x.map((_, i) => {
    const [position, channel] = [Math.floor(i / d), i % d];
    let sum = bias ? bias[channel]! : 0;
    for (let back = 0; back < Math.min(mixer.taps, position + 1); back++) {
      const from = 3 * d * (position - back) + channel;
      sum += weight[channel * mixer.taps + mixer.taps - 1 - back]! * all[from]! * all[from + 2 * d]!;
    }
    return sum * all[3 * d * position + d + channel]!;
  });
  return linear(mixed, get(`${mixer.out.name}.weight`), d, find(`${mixer.out.name}.bias`));
}

/** Tensors whose values are gains less an offset. */
function gainsOf({ gainOffset, norm, blocks }: ModelSpec): ReadonlySet<string | undefined> {
  if (!gainOffset) return new Set();
  const ofBlocks = blocks.flatMap(({ mixer, feedForward }) => [
    ...(mixer.kind === 'attention' ? [mixer.norm, mixer.normAfter] : []),
    ...(mixer.kind === 'attention' && typeof mixer.qkNorm === 'object'
      ? [mixer.qkNorm.q, mixer.qkNorm.k]
      : []),
    feedForward.norm,
    feedForward.normAfter,
  ]);
  return new Set([norm, ...ofBlocks]);
}

/** What a block adds to x before its MLP half, or nothing; `kinds` says for each position what stands there. */
function mixing(
  spec: ModelSpec,
  kinds: readonly Block['kind'][],
  layer: number,
  context: number,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array | undefined {
  const { hiddenSize: d, rmsNormEps: eps } = spec;
  const at = `model.layers.${layer}`;
  const some = (kind: Block['kind']): boolean => kinds.includes(kind);
  const { mixer } = spec.blocks[layer]!;
  if (mixer.kind === 'conv') return scaled(shortConv(spec, mixer, x, get, find), spec.scales?.residual);
  if (!some('attention') && !some('linear')) return undefined;
  if (kinds.lastIndexOf('attention') >= 0 && !kinds.slice(0, kinds.lastIndexOf('attention')).every(attends))
    throw new Error(`a position of layer ${layer} attends to one that wrote no K and V`);
  const attended =
    mixer.kind === 'attention' && some('attention')
      ? selfAttention(spec, mixer, context, x, get, find)
      : undefined;
  const inputs = mixer.kind === 'linear' ? mixer.inputs : 1;
  const mapped = some('linear')
    ? linearMap(d, `${at}.linear_attn`, lastInputs(rmsNorm(x, d, undefined, eps), d, inputs), get, find)
    : undefined;
  // A map gives what is added as it is.
  const of = {
    attention: attended && scaled(attended, spec.scales?.residual),
    linear: mapped,
    conv: undefined,
    mlp: undefined,
  };
  return x.map((_, i) => of[kinds[Math.floor(i / d)]!]?.[i] ?? 0);
}

/** Each row behind itself as many earlier ones as make `inputs`; zeros where there are none. */
function lastInputs(z: Float32Array, d: number, inputs = 1): Float32Array {
  const rows = new Float32Array(z.length * inputs);
  for (let position = 0; position < z.length / d; position++)
    for (let back = 0; back < Math.min(inputs, position + 1); back++)
      rows.set(z.subarray((position - back) * d, (position - back + 1) * d), (position * inputs + back) * d);
  return rows;
}

/** `W z + b` of z `(tokens, inputs * hidden)`; W whole, or two factors. */
function linearMap(d: number, at: string, z: Float32Array, get: Lookup, find: OptionalLookup): Float32Array {
  const columns = (matrix: Float32Array, rows: number): number => matrix.length / rows;
  const down = find(`${at}.down.weight`);
  const up = get(down ? `${at}.up.weight` : `${at}.weight`);
  const bias = get(down ? `${at}.up.bias` : `${at}.bias`);
  const rank = columns(up, d);
  return linear(down ? linear(z, down, columns(down, rank)) : z, up, rank, bias);
}

const attends = (kind: Block['kind']): boolean => kind === 'attention';

/** Output of a block's MLP without the residual. */
function mlpHalf(
  spec: ModelSpec,
  block: Block,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array {
  const { feedForward } = spec.blocks[block.mlp]!;
  const { norm, gate, up, down, activation } = feedForward;
  const n = norm === undefined ? x : rmsNorm(x, spec.hiddenSize, get(norm), spec.rmsNormEps);
  const weights = {
    gate: get(`${gate.name}.weight`),
    up: get(`${up.name}.weight`),
    down: get(`${down.name}.weight`),
    gateBias: find(`${gate.name}.bias`),
    upBias: find(`${up.name}.bias`),
    downBias: find(`${down.name}.bias`),
  };
  return normAfter(spec, swiglu(n, spec.hiddenSize, weights, activation), feedForward, get);
}

/**
 * Logits of every position of one sequence, all positions at once and no cache: `(tokens, vocab)`.
 * `plan` may be a pruned one (attention blocks turned linear or MLP-only); default: the checkpoint's own.
 */
export function referenceLogits(
  spec: ModelSpec,
  tensors: ReferenceTensors,
  tokens: readonly number[],
  plan: Plan = planOf(spec),
  context = tokens.length,
): Float32Array {
  return referenceScheduled(
    spec,
    tensors,
    tokens,
    tokens.map(() => plan),
    context,
  );
}

/**
 * Logits where each position runs in a plan of its own; K and V of a position are those that its plan makes.
 * @throws Error where a position attends to one whose plan makes none
 */
export function referenceScheduled(
  spec: ModelSpec,
  tensors: ReferenceTensors,
  tokens: readonly number[],
  plans: readonly Plan[],
  context = tokens.length,
): Float32Array {
  const { hiddenSize: d } = spec;
  const find: OptionalLookup = (name) => tensors.get(name)?.data;
  const gains = gainsOf(spec);
  const get: Lookup = (name) => {
    const data = find(name);
    if (!data) throw new Error(`the reference has no tensor ${name}`);
    return gains.has(name) ? data.map((gain) => gain + spec.gainOffset!) : data;
  };
  const table = get(`${spec.embedding.name}.weight`);
  const scales = spec.scales ?? {};
  let x = scaled(embed(table, d, tokens), scales.embedding);
  for (const [i, block] of plans[0]!.entries()) {
    const kinds = plans.map((plan) => plan[i]!.kind);
    const mixed = mixing(spec, kinds, block.layer, context, x, get, find);
    if (mixed) x = add(x, mixed);
    x = add(x, scaled(mlpHalf(spec, block, x, get, find), scales.residual));
  }
  const n = rmsNorm(x, d, get(spec.norm), spec.rmsNormEps);
  return scaled(linear(n, spec.tied ? table : get(`${spec.head.name}.weight`), d), scales.logits);
}

/** The likeliest continuation of `count` tokens, everything computed anew for each; stop tokens are not obeyed. */
export function referenceGreedy(
  spec: ModelSpec,
  tensors: ReferenceTensors,
  prompt: readonly number[],
  count: number,
): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = referenceLogits(spec, tensors, tokens);
    tokens.push(argmax(logits.subarray(logits.length - spec.vocabSize)));
  }
  return tokens.slice(prompt.length);
}
