import { type AttentionMixer, type Block, type ModelSpec, type Plan, planOf } from '../../src/model/spec.ts';
import { add, argmax, attention, embed, linear, rmsNorm, rope, swiglu } from './kernels.ts';

/** A tensor of a checkpoint: row-major, widened to f32. */
export interface ReferenceTensor {
  shape: readonly number[];
  data: Float32Array;
}
export type ReferenceTensors = ReadonlyMap<string, ReferenceTensor>;

type Lookup = (name: string) => Float32Array;
type OptionalLookup = (name: string) => Float32Array | undefined;

/** Output of a block's attention without the residual; x `(tokens, hidden)` is the block's input. */
function selfAttention(
  spec: ModelSpec,
  mixer: AttentionMixer,
  at: string,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array {
  const { hiddenSize: d, rmsNormEps: eps } = spec;
  const { heads, kvHeads, headDim, qkNorm } = mixer;
  const positions = Array.from({ length: x.length / d }, (_, i) => i);
  const n = rmsNorm(x, d, get(`${at}.input_layernorm.weight`), eps);
  const project = (part: string): Float32Array =>
    linear(n, get(`${at}.self_attn.${part}.weight`), d, find(`${at}.self_attn.${part}.bias`));
  let q = project('q_proj');
  let k = project('k_proj');
  const v = project('v_proj');
  if (typeof qkNorm === 'object') {
    q = rmsNorm(q, headDim, get(`${at}.self_attn.q_norm.weight`), eps);
    k = rmsNorm(k, headDim, get(`${at}.self_attn.k_norm.weight`), eps);
  }
  q = rope(q, heads, mixer, positions);
  k = rope(k, kvHeads, mixer, positions);
  if (qkNorm === 'weightless') {
    q = rmsNorm(q, headDim, undefined, eps);
    k = rmsNorm(k, headDim, undefined, eps);
  }
  const mixed = attention(q, k, v, positions, mixer);
  return linear(
    mixed,
    get(`${at}.self_attn.o_proj.weight`),
    heads * headDim,
    find(`${at}.self_attn.o_proj.bias`),
  );
}

/** What a block adds to x before its MLP half, or nothing; `kinds` says for each position what stands there. */
function mixing(
  spec: ModelSpec,
  kinds: readonly Block['kind'][],
  layer: number,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array | undefined {
  const { hiddenSize: d, rmsNormEps: eps } = spec;
  const at = `model.layers.${layer}`;
  const some = (kind: Block['kind']): boolean => kinds.includes(kind);
  if (!some('attention') && !some('linear')) return undefined;
  if (kinds.lastIndexOf('attention') >= 0 && !kinds.slice(0, kinds.lastIndexOf('attention')).every(attends))
    throw new Error(`a position of layer ${layer} attends to one that wrote no K and V`);
  const { mixer } = spec.blocks[layer]!;
  const attended =
    mixer.kind === 'attention' && some('attention')
      ? selfAttention(spec, mixer, at, x, get, find)
      : undefined;
  const mapped = some('linear')
    ? linearMap(d, `${at}.linear_attn`, rmsNorm(x, d, undefined, eps), get, find)
    : undefined;
  const of = { attention: attended, linear: mapped, mlp: undefined };
  return x.map((_, i) => of[kinds[Math.floor(i / d)]!]?.[i] ?? 0);
}

/** `W z + b` of z `(tokens, hidden)`; W whole, or two factors. */
function linearMap(d: number, at: string, z: Float32Array, get: Lookup, find: OptionalLookup): Float32Array {
  const down = find(`${at}.down.weight`);
  if (!down) return linear(z, get(`${at}.weight`), d, get(`${at}.bias`));
  return linear(linear(z, down, d), get(`${at}.up.weight`), down.length / d, get(`${at}.up.bias`));
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
  const at = `model.layers.${block.mlp}`;
  const n = rmsNorm(x, spec.hiddenSize, get(`${at}.post_attention_layernorm.weight`), spec.rmsNormEps);
  return swiglu(n, spec.hiddenSize, {
    gate: get(`${at}.mlp.gate_proj.weight`),
    up: get(`${at}.mlp.up_proj.weight`),
    down: get(`${at}.mlp.down_proj.weight`),
    gateBias: find(`${at}.mlp.gate_proj.bias`),
    upBias: find(`${at}.mlp.up_proj.bias`),
    downBias: find(`${at}.mlp.down_proj.bias`),
  });
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
): Float32Array {
  return referenceScheduled(
    spec,
    tensors,
    tokens,
    tokens.map(() => plan),
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
): Float32Array {
  const { hiddenSize: d } = spec;
  const find: OptionalLookup = (name) => tensors.get(name)?.data;
  const get: Lookup = (name) => {
    const data = find(name);
    if (!data) throw new Error(`the reference has no tensor ${name}`);
    return data;
  };
  const table = get('model.embed_tokens.weight');
  let x = embed(table, d, tokens);
  for (const [i, block] of plans[0]!.entries()) {
    const kinds = plans.map((plan) => plan[i]!.kind);
    const mixed = mixing(spec, kinds, block.layer, x, get, find);
    if (mixed) x = add(x, mixed);
    x = add(x, mlpHalf(spec, block, x, get, find));
  }
  const n = rmsNorm(x, d, get('model.norm.weight'), spec.rmsNormEps);
  return linear(n, spec.tied ? table : get('lm_head.weight'), d);
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
