// The config of a child: in the public layout where it fits, else in that of any parent and any blocks.
import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { CHILD_FIELDS, parentTypes } from '../families/shishu.ts';
import type { Json } from '../formats/json.ts';
import { isPlain } from '../model/fold.ts';
import { type AttentionMixer, attentionOf, type ModelSpec } from '../model/spec.ts';

/** Neighbours without attention that share one MLP. */
export type Pair = readonly [number, number];

/** Which blocks of a parent lose their attention, and how. */
export interface ChildShape {
  /** Blocks that lose their attention, ascending. */
  layers: readonly number[];
  /** Pairs of them that share one MLP, ascending. */
  pairs: readonly Pair[];
  /** Linear maps stand in for the attention. */
  linear: boolean;
  /** Most that their rank may be; they are stored as two factors where that takes less. */
  rank?: number | undefined;
  /** Positions that each map sees (default 1). */
  inputs?: number | undefined;
}

/** The file of Python beside the weights of a child, for transformers. */
export const MODELING_FILE = 'modeling_shishu.py';

/** Fields of a parent's config that mean nothing to shishu-llama, or that it would read in another way. */
const DROPPED = [
  'architectures',
  'sliding_window',
  'use_sliding_window',
  'max_window_layers',
  'layer_types',
  'auto_map',
  'intermediate_size_mlp',
  'linear_layers',
  'linear_rank',
  'shared_mlps',
  'num_decoder_front',
  'num_mlp',
  'num_mlp_shared',
  'num_decoder_end',
  'no_rope_layers',
  'no_rope_layer_interval',
  // Of Llama 4.
  'moe_layers',
  'interleave_moe_layer_step',
  'num_local_experts',
  'router_jitter_noise',
  'attention_chunk_size',
  'attn_temperature_tuning',
  'floor_scale',
  'attn_scale',
];

/** What a child computes with and takes over from its parent; biases that it alone has are zeros. */
function factsOf(spec: ModelSpec, layers: readonly number[]): unknown[] {
  const { hiddenSize, vocabSize, maxPositions, rmsNormEps, tied, bosTokenId, eosTokenIds } = spec;
  const facts: unknown[] = [hiddenSize, vocabSize, maxPositions, rmsNormEps, tied, bosTokenId, eosTokenIds];
  for (const [layer, { mixer, feedForward }] of spec.blocks.entries()) {
    facts.push(feedForward.width, feedForward.gate.bias);
    if (mixer.kind !== 'attention' || layers.includes(layer)) continue;
    const { heads, kvHeads, headDim, rope, qkNorm } = mixer;
    // Rows of q and k are put in the order of pairs that all others have.
    facts.push(heads, kvHeads, headDim, qkNorm, rope && { ...rope, interleaved: undefined });
  }
  return facts;
}

/** Pairs of neighbours among layers that ascend, from the first. */
export function pairsOf(layers: readonly number[]): Pair[] {
  const pairs: Pair[] = [];
  for (let i = 0; i + 1 < layers.length; i++)
    if (layers[i + 1] === layers[i]! + 1) {
      pairs.push([layers[i]!, layers[i + 1]!]);
      i++;
    }
  return pairs;
}

/** Whether a child is of the kind that the public layout has: a run without maps, of whose pairs the first ones share. */
function isPublicShape({ layers, pairs, linear }: ChildShape): boolean {
  const first = pairsOf(layers).slice(0, pairs.length);
  return !linear && layers.at(-1)! - layers[0]! + 1 === layers.length && String(first) === String(pairs);
}

/** The config in the public layout `shishu-llama`, unless it would be read as another model. */
function publicConfig(parentJson: Json, parent: ModelSpec, shape: ChildShape): Json | undefined {
  const mixers = [...attentionOf(parent).values()];
  const weighted = mixers.some(({ qkNorm }) => typeof qkNorm === 'object');
  if (!isPublicShape(shape) || weighted || !isPlain(parent)) return undefined;
  const { layers, pairs } = shape;
  const kept = Object.fromEntries(Object.entries(parentJson).filter(([name]) => !DROPPED.includes(name)));
  const [{ kvHeads, headDim }] = mixers as [AttentionMixer];
  const json: Json = {
    ...kept,
    model_type: 'shishu-llama',
    num_hidden_layers: parent.blocks.length,
    num_decoder_front: layers[0]!,
    num_mlp: layers.length,
    num_mlp_shared: pairs.length,
    num_decoder_end: parent.blocks.length - layers[0]! - layers.length,
    // Their defaults differ from family to family.
    num_key_value_heads: kvHeads,
    intermediate_size: parent.blocks[0]!.feedForward.width,
    head_dim: headDim,
    max_position_embeddings: parent.maxPositions,
    rms_norm_eps: parent.rmsNormEps,
    mlp_bias: parent.blocks.some(({ feedForward }) => feedForward.gate.bias),
    use_qk_norm: mixers.some(({ qkNorm }) => qkNorm === 'weightless'),
    tie_word_embeddings: parent.tied,
    attention_bias: mixers.some(({ q, out }) => q.bias || out.bias),
  };
  const [before, after] = [factsOf(parent, layers), factsOf(specOf(json), layers)];
  return JSON.stringify(before) === JSON.stringify(after) ? json : undefined;
}

/** The config that keeps the parent's fields; the parent's own family reads them. */
function fullConfig(parentJson: Json, parent: ModelSpec, shape: ChildShape): Json {
  const { layers, pairs, linear, rank, inputs = 1 } = shape;
  const { layer_types: listed, ...kept } = parentJson;
  for (const name of CHILD_FIELDS) delete kept[name];
  // Two factors where they take less.
  const factored = linear && rank !== undefined && rank * (1 + inputs) < inputs * parent.hiddenSize;
  const types = parentTypes(parent, Array.isArray(listed) ? listed : undefined);
  return {
    ...kept,
    model_type: 'shishu',
    architectures: ['ShishuForCausalLM'],
    auto_map: {
      AutoConfig: 'modeling_shishu.ShishuConfig',
      AutoModelForCausalLM: 'modeling_shishu.ShishuForCausalLM',
    },
    parent_model_type: parentJson.model_type,
    ...(Array.isArray(listed) && { parent_layer_types: listed }),
    layer_types: types.map((type, layer) => (layers.includes(layer) ? (linear ? 'linear' : 'mlp') : type)),
    ...(pairs.length > 0 && { shared_mlps: pairs }),
    ...(factored && { linear_rank: rank }),
    ...(linear && inputs > 1 && { linear_inputs: inputs }),
  };
}

/**
 * The child's `config.json`.
 * @throws ShishuError `unsupported` for a parent whose blocks do not all attend
 */
export function childConfig(parentJson: Json, parent: ModelSpec, shape: ChildShape): Json {
  const odd = parent.blocks.findIndex(({ mixer }) => mixer.kind !== 'attention');
  if (odd >= 0)
    throw new ShishuError(
      'unsupported',
      `Block ${odd} of the parent has ${MIXERS[parent.blocks[odd]!.mixer.kind]} where others have attention.`,
      {
        details: { modelType: parent.modelType, layer: odd },
        mend: 'Prune this model as it runs instead, with setModes.',
      },
    );
  return publicConfig(parentJson, parent, shape) ?? fullConfig(parentJson, parent, shape);
}

const MIXERS = {
  attention: 'attention',
  linear: 'a linear map',
  conv: 'a short convolution',
  none: 'nothing',
} as const;
