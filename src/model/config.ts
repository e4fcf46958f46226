import { LARGEST_HEAD } from '../kernels/tensor.ts';
import {
  count,
  fail,
  field,
  flag,
  isCount,
  isObject,
  type Json,
  type ModelType,
  need,
  positive,
  refuse,
  size,
  text,
} from './config-fields.ts';
import { refuseWhatIsNotSupported } from './config-refusals.ts';
import { type RopeScaling, ropeOf } from './config-rope.ts';

export type { ModelType } from './config-fields.ts';
export type { RopeScaling } from './config-rope.ts';

/** What the engine needs of a `config.json`, checked once. Sizes are counts of elements. */
export interface ModelConfig {
  modelType: ModelType;
  hiddenSize: number;
  /** Width of the MLP of attention blocks. */
  intermediateSize: number;
  /** Width of the MLP of MLP-only blocks. */
  mlpOnlyIntermediateSize: number;
  /** Blocks in the stack: front + mlpOnly + end. */
  layers: number;
  /** Attention blocks before the MLP-only ones (all blocks of a parent). */
  front: number;
  /** Blocks without attention. */
  mlpOnly: number;
  /** Pairs of adjacent MLP-only blocks, counted from the first, that share one set of weights. */
  sharedPairs: number;
  /** Attention blocks after the MLP-only ones. */
  end: number;
  /** MLP-only blocks whose attention was replaced by a linear map (an extension of the public layout). */
  linearLayers: readonly number[];
  /** Rank of those maps, which are two factors then; without it each is one whole matrix. */
  linearRank: number | undefined;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabSize: number;
  maxPositions: number;
  rmsNormEps: number;
  ropeTheta: number;
  ropeScaling: RopeScaling;
  /** The logits use the embedding matrix. */
  tied: boolean;
  qkvBias: boolean;
  attentionOutBias: boolean;
  mlpBias: boolean;
  /** RMS norm of each head of q and k: with weights before RoPE (Qwen3), or without weights (ShishuLM). */
  qkNorm: 'none' | 'weighted' | 'weightless';
  bosTokenId: number | undefined;
  eosTokenIds: readonly number[];
}

const MODEL_TYPES: readonly ModelType[] = ['llama', 'qwen2', 'qwen3', 'shishu-llama'];
/** Names under which Llama's layout is published too. */
const LLAMAS = ['mobilellm'];

/** What a family's files leave out where it is so. */
const DEFAULTS: Record<ModelType, { maxPositions: number; headDim?: number }> = {
  llama: { maxPositions: 2048 },
  'shishu-llama': { maxPositions: 2048 },
  qwen2: { maxPositions: 32768 },
  qwen3: { maxPositions: 32768, headDim: 128 },
};

function tokenIds(json: Json, name: string, vocabSize: number): number[] {
  const value = json[name];
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value) ? value : [value];
  for (const id of list)
    if (!isCount(id) || id >= vocabSize)
      fail(`"${name}" holds ${JSON.stringify(id)}, expected token ids below ${vocabSize}.`);
  return list as number[];
}

function stackOf(
  json: Json,
  type: ModelType,
): Pick<ModelConfig, 'layers' | 'front' | 'mlpOnly' | 'sharedPairs' | 'end'> {
  if (type !== 'shishu-llama') {
    const layers = need(json, 'num_hidden_layers');
    return { layers, front: layers, mlpOnly: 0, sharedPairs: 0, end: 0 };
  }
  const part = (name: string): number => count(json, name) ?? fail(`"${name}" is missing.`);
  const front = part('num_decoder_front');
  const mlpOnly = part('num_mlp');
  const end = count(json, 'num_decoder_end') ?? 0;
  const sharedPairs = count(json, 'num_mlp_shared') ?? 0;
  if (2 * sharedPairs > mlpOnly)
    fail(
      `"num_mlp_shared" ${sharedPairs} pairs need ${2 * sharedPairs} MLP-only blocks, "num_mlp" is ${mlpOnly}.`,
      'Lower num_mlp_shared: it counts pairs.',
    );
  const layers = front + mlpOnly + end;
  if (layers === 0) fail('the model has no blocks.');
  const declared = count(json, 'num_hidden_layers');
  if (declared !== undefined && declared !== layers)
    fail(`"num_hidden_layers" ${declared} is not front + mlp + end = ${front} + ${mlpOnly} + ${end}.`);
  return { layers, front, mlpOnly, sharedPairs, end };
}

/**
 * Checks a parsed `config.json` and keeps what the engine needs.
 * @throws ShishuError `bad-config` for what cannot be, `unsupported` (by name) for what this engine does not run.
 */
export function parseConfig(json: unknown): ModelConfig {
  if (!isObject(json)) return fail('expected an object.');
  const type = text(json, 'model_type') ?? fail('"model_type" is missing.');
  const modelType =
    MODEL_TYPES.find((known) => known === (LLAMAS.includes(type) ? 'llama' : type)) ??
    refuse(`model type "${type}" is not supported.`, `Supported: ${[...MODEL_TYPES, ...LLAMAS].join(', ')}.`);
  refuseWhatIsNotSupported(json, modelType);

  const hiddenSize = need(json, 'hidden_size');
  const heads = need(json, 'num_attention_heads');
  const kvHeads = size(json, 'num_key_value_heads') ?? heads;
  const headDim =
    size(json, 'head_dim') ??
    // An own default where the field is absent; null asks for the division.
    ('head_dim' in json ? undefined : DEFAULTS[modelType].headDim) ??
    (hiddenSize % heads === 0
      ? hiddenSize / heads
      : fail(`"hidden_size" ${hiddenSize} does not divide into ${heads} heads and "head_dim" is missing.`));
  if (heads % kvHeads !== 0) fail(`${heads} heads do not divide into ${kvHeads} KV heads.`);
  if (headDim % 4 !== 0) refuse(`"head_dim" ${headDim} is not a multiple of 4.`);
  if (headDim > LARGEST_HEAD) refuse(`"head_dim" ${headDim} is above ${LARGEST_HEAD}.`);
  const intermediateSize = need(json, 'intermediate_size');
  const vocabSize = need(json, 'vocab_size');
  const stack = stackOf(json, modelType);
  const shishu = modelType === 'shishu-llama';
  const linearLayers =
    field(
      json,
      'linear_layers',
      'a list of layer indices',
      (v): v is number[] => Array.isArray(v) && v.every(isCount),
    ) ?? [];
  for (const layer of linearLayers)
    if (layer < stack.front || layer >= stack.front + stack.mlpOnly)
      fail(`"linear_layers" names block ${layer}, which is not an MLP-only block.`);
  const linearRank = size(json, 'linear_rank');
  if (linearRank !== undefined && linearRank > hiddenSize)
    fail(`"linear_rank" ${linearRank} is above "hidden_size" ${hiddenSize}.`);
  const bias = flag(json, 'attention_bias') ?? false;
  const maxPositions = size(json, 'max_position_embeddings') ?? DEFAULTS[modelType].maxPositions;
  const llama = modelType === 'llama' || shishu;
  const shared = ['tie_word_embeddings', 'share_embedding', 'share_embeddings']
    .map((name) => flag(json, name))
    .filter((value) => value !== undefined);
  return {
    modelType,
    hiddenSize,
    intermediateSize,
    mlpOnlyIntermediateSize: (shishu ? size(json, 'intermediate_size_mlp') : undefined) ?? intermediateSize,
    ...stack,
    linearLayers,
    linearRank,
    heads,
    kvHeads,
    headDim,
    vocabSize,
    maxPositions,
    rmsNormEps: positive(json, 'rms_norm_eps') ?? 1e-6,
    ...ropeOf(json, maxPositions),
    // MobileLLM's embedding is its head unless the config says otherwise.
    tied: shared.length === 0 ? LLAMAS.includes(type) : shared.includes(true),
    qkvBias: modelType === 'qwen2' || bias,
    attentionOutBias: modelType !== 'qwen2' && bias,
    mlpBias: llama && (flag(json, 'mlp_bias') ?? false),
    qkNorm:
      modelType === 'qwen3'
        ? 'weighted'
        : shishu && flag(json, 'use_qk_norm') === true
          ? 'weightless'
          : 'none',
    bosTokenId: tokenIds(json, 'bos_token_id', vocabSize)[0],
    eosTokenIds: tokenIds(json, 'eos_token_id', vocabSize),
  };
}
