import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { bytesToF32, firstF16Overflow } from '../formats/float.ts';
import type { Json } from '../formats/json.ts';
import { type NamedTensor, tensorBytes } from '../formats/safetensors.ts';
import { isPlain } from '../model/fold.ts';
import {
  type AttentionMixer,
  attentionOf,
  convOf,
  elements,
  type FeedForward,
  kvBytesPerToken,
  type LinearMixer,
  type ModelSpec,
  ownTensors,
  parameterCount,
  planOf,
  type TensorSpec,
} from '../model/spec.ts';
import type { CpuWeights } from '../train/weights.ts';
import type { LinearMap } from './linear-map.ts';
import { parentTensors, placeRows } from './parent-tensors.ts';
import { type Mlp, type MlpTensors, type Share, shareMlp } from './share.ts';

/** Which blocks of a parent lose their attention, and how. */
export interface ChildShape {
  /** Blocks that lose their attention, ascending. */
  layers: readonly number[];
  /** Pairs of neighbours among those blocks, from the first, that share one MLP. */
  sharedPairs: number;
  /** Linear maps stand in for the attention. */
  linear: boolean;
  /** Most that their rank may be; they are stored as two factors where that takes less. */
  rank?: number | undefined;
}

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
function factsOf(spec: ModelSpec, layers: readonly number[]): Record<string, unknown> {
  const { hiddenSize, vocabSize, maxPositions, rmsNormEps, tied, bosTokenId, eosTokenIds } = spec;
  const facts: Record<string, unknown> = { hiddenSize, vocabSize, maxPositions, rmsNormEps, tied };
  Object.assign(facts, { bosTokenId, eosTokenIds });
  for (const [layer, { mixer, feedForward }] of spec.blocks.entries()) {
    facts[`MLP of block ${layer}`] = [feedForward.width, feedForward.gate.bias];
    if (mixer.kind !== 'attention' || layers.includes(layer)) continue;
    const { heads, kvHeads, headDim, rope, qkNorm } = mixer;
    facts[`attention of block ${layer}`] = [heads, kvHeads, headDim, qkNorm];
    // Rows of q and k are put in the order of pairs that all others have.
    facts[`rotary embeddings of block ${layer}`] = rope && { ...rope, interleaved: undefined };
  }
  return facts;
}

/** Refuses a child that would be read as another model than its parent. */
function checkKept(parent: ModelSpec, child: ModelSpec, layers: readonly number[]): void {
  const [before, after] = [factsOf(parent, layers), factsOf(child, layers)];
  const json = (value: unknown): string => JSON.stringify(value) ?? 'null';
  const lost = Object.keys(before).find((name) => json(before[name]) !== json(after[name]));
  if (lost === undefined) return;
  throw new ShishuError('unsupported', `shishu-llama has no place for the parent's ${lost}.`, {
    details: { field: lost, parent: json(before[lost]), child: json(after[lost]) },
    mend: 'Prune this model as it runs instead, with setModes.',
  });
}

/** Pairs of neighbours among layers that ascend, from the first. */
export function pairsOf(layers: readonly number[]): [number, number][] {
  const pairs: [number, number][] = [];
  for (let i = 0; i + 1 < layers.length; i++)
    if (layers[i + 1] === layers[i]! + 1) {
      pairs.push([layers[i]!, layers[i + 1]!]);
      i++;
    }
  return pairs;
}

/** The stack in the public layout where the blocks are one run, else by a list of types. */
function stackOf(blocks: number, { layers, sharedPairs, linear }: ChildShape): Json {
  const front = layers[0]!;
  if (layers.at(-1)! - front + 1 === layers.length)
    return {
      num_decoder_front: front,
      num_mlp: layers.length,
      num_mlp_shared: sharedPairs,
      num_decoder_end: blocks - front - layers.length,
      ...(linear && { linear_layers: layers }),
    };
  const without = linear ? 'linear_map' : 'mlp_only';
  return {
    layer_types: Array.from({ length: blocks }, (_, layer) =>
      layers.includes(layer) ? without : 'full_attention',
    ),
    ...(sharedPairs > 0 && { shared_mlps: pairsOf(layers).slice(0, sharedPairs) }),
  };
}

/**
 * The child's `config.json`; linear maps add the fields `linear_layers` and `linear_rank`, blocks that are not one run
 * `layer_types` and `shared_mlps`.
 * @throws ShishuError `unsupported` for a parent that the layout cannot express
 */
export function childConfig(parentJson: Json, parent: ModelSpec, shape: ChildShape): Json {
  if (convOf(parent).size > 0)
    throw new ShishuError('unsupported', 'Short convolutions: shishu-llama has no place for them.', {
      details: { modelType: parent.modelType },
      mend: 'Prune this model as it runs instead, with setModes.',
    });
  const mixers = [...attentionOf(parent).values()];
  if (mixers.some(({ qkNorm }) => typeof qkNorm === 'object'))
    throw new ShishuError(
      'unsupported',
      'The norms of q and k have weights, which shishu-llama has no place for.',
      {
        details: { modelType: parent.modelType },
        mend: 'Prune this model as it runs instead, with setModes.',
      },
    );
  if (!isPlain(parent))
    throw new ShishuError(
      'unsupported',
      'Scaled weights, windows, norms after or another activation than silu: shishu-llama has no place for them.',
      {
        details: { modelType: parent.modelType },
        mend: 'Prune this model as it runs instead, with setModes.',
      },
    );
  const { layers, linear, rank } = shape;
  const kept = Object.fromEntries(Object.entries(parentJson).filter(([name]) => !DROPPED.includes(name)));
  const [{ kvHeads, headDim }] = mixers as [AttentionMixer];
  const json: Json = {
    ...kept,
    model_type: 'shishu-llama',
    num_hidden_layers: parent.blocks.length,
    ...stackOf(parent.blocks.length, shape),
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
  if (linear && rank !== undefined && 2 * rank < parent.hiddenSize) json.linear_rank = rank;
  checkKept(parent, specOf(json), layers);
  return json;
}

/** Bytes of a model as stored, with K and V (f32) of `context` tokens. */
export function modelBytes(spec: ModelSpec, storedBytes: number, context: number): number {
  return parameterCount(spec) * storedBytes + context * kvBytesPerToken(spec, planOf(spec), 4);
}

/** A tensor of the child; `read` makes its bytes when they are to be written. */
export type ChildTensor = Omit<NamedTensor, 'data'> & { read(): Promise<Uint8Array> };

/** Every tensor of the child, in the parent's dtype; weights that do not change are the parent's own bytes. */
export function childTensors(
  parent: { spec: ModelSpec; checkpoint: Checkpoint; dtype: NamedTensor['dtype'] },
  child: ModelSpec,
  maps: ReadonlyMap<number, LinearMap>,
  share: Share,
): ChildTensor[] {
  const { checkpoint, dtype } = parent;
  const elsewhere = parentTensors(parent.spec, child);
  const nameOf = (name: string): string => elsewhere.get(name)?.name ?? name;
  const values = async (name: string): Promise<Float32Array<ArrayBuffer>> =>
    bytesToF32(await checkpoint.read(nameOf(name)), checkpoint.tensors.get(nameOf(name))!.dtype);

  const readMlp = async (from: FeedForward): Promise<Mlp> => {
    const tensors: Partial<MlpTensors> = {};
    for (const [tensor, name] of mlpTensors(from)) tensors[tensor] = await values(name);
    return { d: child.hiddenSize, width: from.width, ...(tensors as MlpTensors) };
  };

  // Values of the tensors that are not the parent's own, by name.
  const computed = new Map<string, () => Promise<Float32Array>>();
  for (const [layer, { mixer, feedForward }] of child.blocks.entries()) {
    if (mixer.kind === 'linear')
      for (const [name, data] of linearTensors(mixer, maps.get(layer)!))
        computed.set(name, async () => Float32Array.from(data));
    if (feedForward.owner === layer || share === 'keep-first') continue;
    const own = child.blocks[feedForward.owner]!.feedForward;
    // The tensors of a pair are written one after the other: only the last pair is kept.
    const merge = (): Promise<Mlp> => {
      if (merged?.layer !== layer)
        merged = {
          layer,
          mlp: (async () => shareMlp(await readMlp(own), await readMlp(feedForward), share))(),
        };
      return merged.mlp;
    };
    for (const [tensor, name] of mlpTensors(own)) computed.set(name, async () => (await merge())[tensor]!);
  }
  let merged: { layer: number; mlp: Promise<Mlp> } | undefined;

  return ownTensors(child).map((tensor): ChildTensor => {
    const { name, shape } = tensor;
    const data = computed.get(name);
    const stored = checkpoint.tensors.get(nameOf(name));
    const place = elsewhere.get(name)?.place;
    const read = async (): Promise<Uint8Array> => {
      const bytes = await checkpoint.read(nameOf(name));
      return place ? placeRows(bytes, shape[0]!, place) : bytes;
    };
    if (!data && stored) return { name, dtype: stored.dtype, shape, read };
    // A bias that the parent lacks and the child's config implies (Qwen2's output projection).
    return tensorOf(tensor, dtype, data ?? (async () => new Float32Array(elements(tensor))));
  });
}

/** Tensors with these weights, to be stored in this dtype. */
export const healedTensors = (weights: CpuWeights, dtype: NamedTensor['dtype']): ChildTensor[] =>
  Object.entries(weights).map(([name, { shape, data }]) =>
    tensorOf({ name, shape }, dtype, async () => data),
  );

/** Tensors of a linear map by name. */
const linearTensors = ({ down, up }: LinearMixer, { W, b, factors }: LinearMap): [string, Float64Array][] => [
  ...(down ? [[`${down.name}.weight`, factors!.down] as [string, Float64Array]] : []),
  [`${up.name}.weight`, down ? factors!.up : W],
  [`${up.name}.bias`, b],
];

/** What the tensors of a feed-forward are, and their names. */
function mlpTensors(own: FeedForward): [keyof MlpTensors, string][] {
  const tensors: [keyof MlpTensors, string][] = [['norm', own.norm!]];
  for (const which of ['gate', 'up', 'down'] as const) {
    const { name, bias } = own[which];
    tensors.push([which, `${name}.weight`]);
    if (bias) tensors.push([`${which}Bias`, `${name}.bias`]);
  }
  return tensors;
}

/** A tensor of values that are computed when it is to be written. */
function tensorOf(
  { name, shape }: TensorSpec,
  dtype: NamedTensor['dtype'],
  values: () => Promise<Float32Array>,
): ChildTensor {
  const read = async (): Promise<Uint8Array> => {
    const data = await values();
    const over = dtype === 'F16' ? firstF16Overflow(data) : -1;
    if (over >= 0)
      throw new ShishuError(
        'unsupported',
        `Tensor "${name}" holds ${data[over]}, which the parent's F16 cannot.`,
        {
          details: { tensor: name, value: data[over]! },
          mend: 'Convert from a BF16 or F32 copy of the parent.',
        },
      );
    return tensorBytes({ name, dtype, shape, data });
  };
  return { name, dtype, shape, read };
}
