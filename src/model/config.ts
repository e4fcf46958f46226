import { ShishuError } from '../errors.ts';
import { LARGEST_HEAD } from '../kernels/tensor.ts';

/** How rotary frequencies are scaled for contexts longer than those of training. */
export type RopeScaling =
  | { type: 'none' }
  | { type: 'linear'; factor: number }
  | {
      type: 'llama3';
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositions: number;
    };

export type ModelType = 'llama' | 'qwen2' | 'qwen3' | 'shishu-llama';

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

type Json = Record<string, unknown>;

const fail = (message: string, mend?: string): never => {
  throw new ShishuError('bad-config', `config.json: ${message}`, { details: { file: 'config.json' }, mend });
};
const refuse = (message: string, mend?: string): never => {
  throw new ShishuError('unsupported', `config.json: ${message}`, { details: { file: 'config.json' }, mend });
};

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads a field that may be absent or null; `check` says whether a present value is of the right kind. */
function field<T>(
  json: Json,
  name: string,
  kind: string,
  check: (value: unknown) => value is T,
): T | undefined {
  const value = json[name];
  if (value === undefined || value === null) return undefined;
  return check(value) ? value : fail(`"${name}" is ${JSON.stringify(value)}, expected ${kind}.`);
}

const MAX_SIZE = 2 ** 31 - 1;
const isSize = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) <= MAX_SIZE;
const isCount = (value: unknown): value is number => value === 0 || isSize(value);
const isPositive = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0;
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isString = (value: unknown): value is string => typeof value === 'string';

const size = (json: Json, name: string): number | undefined =>
  field(json, name, 'a positive whole number', isSize);
const count = (json: Json, name: string): number | undefined => field(json, name, 'a whole number', isCount);
const flag = (json: Json, name: string): boolean | undefined => field(json, name, 'true or false', isBoolean);

const need = (json: Json, name: string): number =>
  size(json, name) ?? fail(`"${name}" is missing.`, 'The folder may not hold a Llama-family model.');

function ropeOf(json: Json): { ropeTheta: number; ropeScaling: RopeScaling } {
  const parameters = field(json, 'rope_parameters', 'an object', isObject);
  const theta = (from: Json): number | undefined =>
    field(from, 'rope_theta', 'a positive number', isPositive);
  const ropeTheta = (parameters && theta(parameters)) ?? theta(json) ?? 10000;
  const scaling = parameters ?? field(json, 'rope_scaling', 'an object', isObject);
  if (!scaling) return { ropeTheta, ropeScaling: { type: 'none' } };
  const type =
    field(scaling, 'rope_type', 'a string', isString) ?? field(scaling, 'type', 'a string', isString);
  const number = (name: string): number =>
    field(scaling, name, 'a positive number', isPositive) ?? fail(`the rope scaling has no "${name}".`);
  switch (type) {
    case undefined:
    case 'default':
      return { ropeTheta, ropeScaling: { type: 'none' } };
    case 'linear':
      return { ropeTheta, ropeScaling: { type: 'linear', factor: number('factor') } };
    case 'llama3': {
      const lowFreqFactor = number('low_freq_factor');
      const highFreqFactor = number('high_freq_factor');
      if (highFreqFactor <= lowFreqFactor)
        fail(`rope "high_freq_factor" ${highFreqFactor} is not above "low_freq_factor" ${lowFreqFactor}.`);
      const originalMaxPositions = number('original_max_position_embeddings');
      const factor = number('factor');
      return {
        ropeTheta,
        ropeScaling: { type: 'llama3', factor, lowFreqFactor, highFreqFactor, originalMaxPositions },
      };
    }
    default:
      return refuse(`rope type "${type}" is not supported.`, 'Supported: default, linear, llama3.');
  }
}

const MODEL_TYPES: readonly ModelType[] = ['llama', 'qwen2', 'qwen3', 'shishu-llama'];

function refuseWhatIsNotSupported(json: Json, type: ModelType): void {
  if (json.quantization_config !== undefined && json.quantization_config !== null) {
    const method = isObject(json.quantization_config) ? json.quantization_config.quant_method : undefined;
    refuse(
      `the checkpoint is quantized (${JSON.stringify(method ?? 'unknown method')}).`,
      'Use the unquantized one (F32, F16 or BF16).',
    );
  }
  const activation = field(json, 'hidden_act', 'a string', isString) ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish')
    refuse(`activation "${activation}" is not supported.`, 'Supported: silu.');
  // Qwen's configs carry a window that is off unless use_sliding_window says otherwise.
  const window = count(json, 'sliding_window');
  const used = flag(json, 'use_sliding_window') ?? (type !== 'qwen2' && type !== 'qwen3');
  if (window !== undefined && window > 0 && used) refuse(`a sliding window (${window}) is not supported.`);
  if (json.layer_types !== undefined && json.layer_types !== null) {
    const types = field(json, 'layer_types', 'a list', (v): v is unknown[] => Array.isArray(v)) ?? [];
    const odd = types.find((t) => t !== 'full_attention');
    if (odd !== undefined) refuse(`layer type ${JSON.stringify(odd)} is not supported.`);
  }
  if ((field(json, 'num_experts', 'a number', isCount) ?? 0) > 0)
    refuse('mixtures of experts are not supported.');
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
  const type = field(json, 'model_type', 'a string', isString) ?? fail('"model_type" is missing.');
  const modelType =
    MODEL_TYPES.find((known) => known === type) ??
    refuse(`model type "${type}" is not supported.`, `Supported: ${MODEL_TYPES.join(', ')}.`);
  refuseWhatIsNotSupported(json, modelType);

  const hiddenSize = need(json, 'hidden_size');
  const heads = need(json, 'num_attention_heads');
  const kvHeads = size(json, 'num_key_value_heads') ?? heads;
  const headDim =
    size(json, 'head_dim') ??
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
    maxPositions: size(json, 'max_position_embeddings') ?? 2048,
    rmsNormEps: field(json, 'rms_norm_eps', 'a positive number', isPositive) ?? 1e-6,
    ...ropeOf(json),
    tied: [
      flag(json, 'tie_word_embeddings'),
      flag(json, 'share_embedding'),
      flag(json, 'share_embeddings'),
    ].some((v) => v === true),
    qkvBias: modelType === 'qwen2' || bias,
    attentionOutBias: modelType !== 'qwen2' && bias,
    mlpBias: flag(json, 'mlp_bias') ?? false,
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
