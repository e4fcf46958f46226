// What families that descend from Llama have in common: how their configs name sizes, and their checkpoints tensors.
import { LARGEST_HEAD } from '../kernels/tensor.ts';
import type {
  AttentionMixer,
  BlockSpec,
  FeedForward,
  LinearMixer,
  Matrix,
  ModelSpec,
  Rope,
} from '../model/spec.ts';
import { fail, flag, isCount, type Json, need, positive, refuse, size } from './fields.ts';
import { ropeOf } from './rope.ts';

/** A family of models: which configs are its own, and what they say. */
export interface Family {
  /** Values of `model_type`. */
  modelTypes: readonly string[];
  /**
   * What a config says, the likeliest reading first: where a config leaves a shape open, the tensors of the checkpoint decide.
   * @throws ShishuError `bad-config` for what cannot be, `unsupported` (by name) for what this engine does not run
   */
  read(json: Json): readonly [ModelSpec, ...ModelSpec[]];
}

/** Sizes that all configs of these families name alike. */
export interface Sizes {
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabSize: number;
  maxPositions: number;
  rope: Rope | undefined;
}

/** @param absent what a family's configs leave out where it is so; `partialRotary`: a part of each head may rotate */
export function sizesOf(
  json: Json,
  absent: {
    maxPositions: number;
    originalMaxPositions?: number;
    headDim?: number;
    theta?: number;
    partialRotary?: boolean;
  },
): Sizes {
  const hiddenSize = need(json, 'hidden_size');
  const heads = need(json, 'num_attention_heads');
  const kvHeads = size(json, 'num_key_value_heads') ?? heads;
  const headDim =
    size(json, 'head_dim') ??
    // The family's own where the field is absent; null asks for the division.
    ('head_dim' in json ? undefined : absent.headDim) ??
    (hiddenSize % heads === 0
      ? hiddenSize / heads
      : fail(`"hidden_size" ${hiddenSize} does not divide into ${heads} heads and "head_dim" is missing.`));
  if (heads % kvHeads !== 0) fail(`${heads} heads do not divide into ${kvHeads} KV heads.`);
  if (headDim % 4 !== 0) refuse(`"head_dim" ${headDim} is not a multiple of 4.`);
  if (headDim > LARGEST_HEAD) refuse(`"head_dim" ${headDim} is above ${LARGEST_HEAD}.`);
  const maxPositions = size(json, 'max_position_embeddings') ?? absent.maxPositions;
  return {
    hiddenSize,
    heads,
    kvHeads,
    headDim,
    intermediateSize: need(json, 'intermediate_size'),
    vocabSize: need(json, 'vocab_size'),
    maxPositions,
    rope: ropeOf(json, {
      headDim,
      maxPositions,
      originalMaxPositions: absent.originalMaxPositions,
      theta: absent.theta,
      partial: absent.partialRotary,
    }),
  };
}

const layerName = (layer: number): string => `model.layers.${layer}`;

/** A layer's attention. */
export function attention(
  { hiddenSize, heads, kvHeads, headDim, rope }: Sizes,
  layer: number,
  {
    qkvBias = false,
    outBias = false,
    qkNorm,
    window,
  }: {
    qkvBias?: boolean;
    outBias?: boolean;
    qkNorm?: 'weighted' | 'weightless' | undefined;
    window?: number | undefined;
  } = {},
): AttentionMixer {
  const at = `${layerName(layer)}.self_attn`;
  const projection = (name: string, rows: number, cols: number, bias: boolean) => ({
    name: `${at}.${name}_proj`,
    rows,
    cols,
    bias,
  });
  return {
    kind: 'attention',
    heads,
    kvHeads,
    headDim,
    rope,
    window,
    qkNorm: qkNorm === 'weighted' ? { q: `${at}.q_norm.weight`, k: `${at}.k_norm.weight` } : qkNorm,
    norm: `${layerName(layer)}.input_layernorm.weight`,
    q: projection('q', heads * headDim, hiddenSize, qkvBias),
    k: projection('k', kvHeads * headDim, hiddenSize, qkvBias),
    v: projection('v', kvHeads * headDim, hiddenSize, qkvBias),
    out: projection('o', hiddenSize, heads * headDim, outBias),
  };
}

/** Matrices that are stored as one, one after the other. */
function fused(name: string, matrices: readonly Matrix[]): Matrix[] {
  const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
  let row = 0;
  return matrices.map((matrix) => {
    const part = { ...matrix, within: { name, row, rows } };
    row += matrix.rows;
    return part;
  });
}

/** Attention whose q, k and v are stored as one. */
export function fusedQkv(mixer: AttentionMixer, name: string): AttentionMixer {
  const [q, k, v] = fused(name, [mixer.q, mixer.k, mixer.v]) as [Matrix, Matrix, Matrix];
  return { ...mixer, q, k, v };
}

/** A feed-forward whose gate and up are stored as one. */
export function fusedGateUp(of: FeedForward, names: { gateUp: string; down: string }): FeedForward {
  const [gate, up] = fused(names.gateUp, [of.gate, of.up]) as [Matrix, Matrix];
  return { ...of, gate, up, down: { ...of.down, name: names.down } };
}

/** A layer's linear map of the last `inputs` positions; of two factors with a `rank`. */
export function linearMap(
  hiddenSize: number,
  layer: number,
  { rank, inputs = 1 }: { rank?: number | undefined; inputs?: number | undefined } = {},
): LinearMixer {
  const name = `${layerName(layer)}.linear_attn`;
  const cols = inputs * hiddenSize;
  const kind = 'linear';
  const seen = inputs > 1 ? { inputs } : {};
  if (rank === undefined)
    return { kind, ...seen, down: undefined, up: { name, rows: hiddenSize, cols, bias: true } };
  return {
    kind,
    ...seen,
    down: { name: `${name}.down`, rows: rank, cols, bias: false },
    up: { name: `${name}.up`, rows: hiddenSize, cols: rank, bias: true },
  };
}

/** A layer's MLP, or its copy of the one of `owner`. */
export function feedForward(
  { hiddenSize, intermediateSize }: Sizes,
  layer: number,
  {
    width = intermediateSize,
    bias = false,
    owner = layer,
    module = 'mlp',
  }: { width?: number; bias?: boolean; owner?: number; module?: string } = {},
): FeedForward {
  const at = layerName(layer);
  return {
    owner,
    width,
    norm: `${at}.post_attention_layernorm.weight`,
    gate: { name: `${at}.${module}.gate_proj`, rows: width, cols: hiddenSize, bias },
    up: { name: `${at}.${module}.up_proj`, rows: width, cols: hiddenSize, bias },
    down: { name: `${at}.${module}.down_proj`, rows: hiddenSize, cols: width, bias },
  };
}

function tokenIds(json: Json, name: string, vocabSize: number): number[] {
  const value = json[name];
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value) ? value : [value];
  for (const id of list)
    if (!isCount(id) || id >= vocabSize)
      fail(`"${name}" holds ${JSON.stringify(id)}, expected token ids below ${vocabSize}.`);
  return list as number[];
}

/** The whole model of its blocks. @param tied whether the embedding is the head where the config does not say */
export function model(
  json: Json,
  { hiddenSize, vocabSize, maxPositions }: Sizes,
  blocks: readonly BlockSpec[],
  tied = false,
): ModelSpec {
  const said = ['tie_word_embeddings', 'share_embedding', 'share_embeddings']
    .map((name) => flag(json, name))
    .filter((value) => value !== undefined);
  const table = (name: string) => ({ name, rows: vocabSize, cols: hiddenSize, bias: false });
  return {
    modelType: json.model_type as string,
    hiddenSize,
    vocabSize,
    maxPositions,
    rmsNormEps: positive(json, 'rms_norm_eps') ?? 1e-6,
    embedding: table('model.embed_tokens'),
    blocks,
    norm: 'model.norm.weight',
    head: table('lm_head'),
    tied: said.length === 0 ? tied : said.includes(true),
    bosTokenId: tokenIds(json, 'bos_token_id', vocabSize)[0],
    eosTokenIds: tokenIds(json, 'eos_token_id', vocabSize),
  };
}

/** Far more than any model has: nothing is made for blocks that cannot be there. */
const MOST_BLOCKS = 10_000;

/** @throws ShishuError `bad-config` for more blocks than any model has */
export const checkBlocks = (count: number): number =>
  count > MOST_BLOCKS ? fail(`it tells of ${count} blocks, expected at most ${MOST_BLOCKS}.`) : count;

/** One block a layer, as many as the config says. */
export const stack = (json: Json, block: (layer: number) => BlockSpec): BlockSpec[] =>
  Array.from({ length: checkBlocks(need(json, 'num_hidden_layers')) }, (_, layer) => block(layer));
