import type { ModelConfig } from '../../src/model/config.ts';
import { type Block, type Plan, planOf } from '../../src/model/plan.ts';
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
  config: ModelConfig,
  at: string,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array {
  const { hiddenSize: d, heads, kvHeads, headDim, rmsNormEps: eps } = config;
  const positions = Array.from({ length: x.length / d }, (_, i) => i);
  const n = rmsNorm(x, d, get(`${at}.input_layernorm.weight`), eps);
  const project = (part: string): Float32Array =>
    linear(n, get(`${at}.self_attn.${part}.weight`), d, find(`${at}.self_attn.${part}.bias`));
  let q = project('q_proj');
  let k = project('k_proj');
  const v = project('v_proj');
  if (config.qkNorm === 'weighted') {
    q = rmsNorm(q, headDim, get(`${at}.self_attn.q_norm.weight`), eps);
    k = rmsNorm(k, headDim, get(`${at}.self_attn.k_norm.weight`), eps);
  }
  q = rope(q, heads, config, positions);
  k = rope(k, kvHeads, config, positions);
  if (config.qkNorm === 'weightless') {
    q = rmsNorm(q, headDim, undefined, eps);
    k = rmsNorm(k, headDim, undefined, eps);
  }
  const mixed = attention(q, k, v, positions, config);
  return linear(
    mixed,
    get(`${at}.self_attn.o_proj.weight`),
    heads * headDim,
    find(`${at}.self_attn.o_proj.bias`),
  );
}

/** What a block adds to x before its MLP half, or nothing; `kinds` says for each position what stands there. */
function mixing(
  config: ModelConfig,
  kinds: readonly Block['kind'][],
  layer: number,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array | undefined {
  const { hiddenSize: d, rmsNormEps: eps } = config;
  const at = `model.layers.${layer}`;
  const some = (kind: Block['kind']): boolean => kinds.includes(kind);
  if (!some('attention') && !some('linear')) return undefined;
  if (kinds.lastIndexOf('attention') >= 0 && !kinds.slice(0, kinds.lastIndexOf('attention')).every(attends))
    throw new Error(`a position of layer ${layer} attends to one that wrote no K and V`);
  const attended = some('attention') ? selfAttention(config, at, x, get, find) : undefined;
  const mapped = some('linear')
    ? linearMap(config, `${at}.linear_attn`, rmsNorm(x, d, undefined, eps), get)
    : undefined;
  const of = { attention: attended, linear: mapped, mlp: undefined };
  return x.map((_, i) => of[kinds[Math.floor(i / d)]!]?.[i] ?? 0);
}

/** `W z + b` of z `(tokens, hidden)`; W whole, or two factors. */
function linearMap(
  { hiddenSize: d, linearRank: rank }: ModelConfig,
  at: string,
  z: Float32Array,
  get: Lookup,
): Float32Array {
  if (rank === undefined) return linear(z, get(`${at}.weight`), d, get(`${at}.bias`));
  return linear(linear(z, get(`${at}.down.weight`), d), get(`${at}.up.weight`), rank, get(`${at}.up.bias`));
}

const attends = (kind: Block['kind']): boolean => kind === 'attention';

/** Output of a block's MLP without the residual. */
function mlpHalf(
  config: ModelConfig,
  block: Block,
  x: Float32Array,
  get: Lookup,
  find: OptionalLookup,
): Float32Array {
  const at = `model.layers.${block.mlp}`;
  const n = rmsNorm(x, config.hiddenSize, get(`${at}.post_attention_layernorm.weight`), config.rmsNormEps);
  return swiglu(n, config.hiddenSize, {
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
  config: ModelConfig,
  tensors: ReferenceTensors,
  tokens: readonly number[],
  plan: Plan = planOf(config),
): Float32Array {
  return referenceScheduled(
    config,
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
  config: ModelConfig,
  tensors: ReferenceTensors,
  tokens: readonly number[],
  plans: readonly Plan[],
): Float32Array {
  const { hiddenSize: d } = config;
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
    const mixed = mixing(config, kinds, block.layer, x, get, find);
    if (mixed) x = add(x, mixed);
    x = add(x, mlpHalf(config, block, x, get, find));
  }
  const n = rmsNorm(x, d, get('model.norm.weight'), config.rmsNormEps);
  return linear(n, config.tied ? table : get('lm_head.weight'), d);
}

/** The likeliest continuation of `count` tokens, everything computed anew for each; stop tokens are not obeyed. */
export function referenceGreedy(
  config: ModelConfig,
  tensors: ReferenceTensors,
  prompt: readonly number[],
  count: number,
): number[] {
  const tokens = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = referenceLogits(config, tensors, tokens);
    tokens.push(argmax(logits.subarray(logits.length - config.vocabSize)));
  }
  return tokens.slice(prompt.length);
}
