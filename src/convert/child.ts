import { ShishuError } from '../errors.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { bytesToF32, firstF16Overflow } from '../formats/float.ts';
import type { Json } from '../formats/json.ts';
import { type NamedTensor, tensorBytes } from '../formats/safetensors.ts';
import { type ModelConfig, parseConfig } from '../model/config.ts';
import { kvBytesPerToken, mlpWidth, ownSpecs, parameterCount, planOf } from '../model/plan.ts';
import type { CpuWeights } from '../train/weights.ts';
import type { LinearMap } from './linear-map.ts';
import { type Mlp, type Share, shareMlp } from './share.ts';

/** Which blocks of a parent lose their attention, and how. */
export interface ChildShape {
  /** Blocks `front .. front + mlpOnly - 1` have no attention. */
  front: number;
  mlpOnly: number;
  /** Pairs, from the first of those blocks, that share one MLP. */
  sharedPairs: number;
  /** Linear maps stand in for the attention. */
  linear: boolean;
  /** Rank that they are bound to; they are stored as two factors where that takes less. */
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
];

/** What a child's sums depend on and takes over from its parent; biases that it alone has are zeros. */
const KEPT = [
  'hiddenSize',
  'intermediateSize',
  'heads',
  'kvHeads',
  'headDim',
  'vocabSize',
  'maxPositions',
  'rmsNormEps',
  'ropeTheta',
  'ropeScaling',
  'tied',
  'mlpBias',
  'qkNorm',
  'bosTokenId',
  'eosTokenIds',
] as const satisfies readonly (keyof ModelConfig)[];

/** Refuses a child that would be read as another model than its parent. */
function checkKept(parent: ModelConfig, child: ModelConfig): void {
  const lost = KEPT.find((name) => JSON.stringify(child[name]) !== JSON.stringify(parent[name]));
  if (lost !== undefined)
    throw new ShishuError('unsupported', `shishu-llama has no place for the parent's ${lost}.`, {
      details: {
        field: lost,
        parent: JSON.stringify(parent[lost]) ?? null,
        child: JSON.stringify(child[lost]) ?? null,
      },
      mend: 'Prune this model as it runs instead, with setModes.',
    });
}

/**
 * The child's `config.json`, in the public layout; linear maps add the fields `linear_layers` and `linear_rank`.
 * @throws ShishuError `unsupported` for a parent that the layout cannot express
 */
export function childConfig(parentJson: Json, parent: ModelConfig, shape: ChildShape): Json {
  if (parent.qkNorm === 'weighted')
    throw new ShishuError(
      'unsupported',
      'The norms of q and k have weights, which shishu-llama has no place for.',
      {
        details: { modelType: parent.modelType },
        mend: 'Prune this model as it runs instead, with setModes.',
      },
    );
  const { front, mlpOnly, sharedPairs, linear, rank } = shape;
  const kept = Object.fromEntries(Object.entries(parentJson).filter(([name]) => !DROPPED.includes(name)));
  const json: Json = {
    ...kept,
    model_type: 'shishu-llama',
    num_hidden_layers: parent.layers,
    num_decoder_front: front,
    num_mlp: mlpOnly,
    num_mlp_shared: sharedPairs,
    num_decoder_end: parent.layers - front - mlpOnly,
    // What a file leaves out is another value in each family.
    num_key_value_heads: parent.kvHeads,
    head_dim: parent.headDim,
    max_position_embeddings: parent.maxPositions,
    rms_norm_eps: parent.rmsNormEps,
    mlp_bias: parent.mlpBias,
    use_qk_norm: parent.qkNorm === 'weightless',
    tie_word_embeddings: parent.tied,
    attention_bias: parent.qkvBias || parent.attentionOutBias,
  };
  if (linear) json.linear_layers = Array.from({ length: mlpOnly }, (_, i) => front + i);
  if (linear && rank !== undefined && 2 * rank < parent.hiddenSize) json.linear_rank = rank;
  checkKept(parent, parseConfig(json));
  return json;
}

/** Bytes of a model as stored, with K and V (f32) of `context` tokens. */
export function modelBytes(config: ModelConfig, storedBytes: number, context: number): number {
  return parameterCount(config) * storedBytes + context * kvBytesPerToken(config, planOf(config), 4);
}

/** A tensor of the child; `read` makes its bytes when they are to be written. */
export type ChildTensor = Omit<NamedTensor, 'data'> & { read(): Promise<Uint8Array> };

/** Every tensor of the child, in the parent's dtype; weights that do not change are the parent's own bytes. */
export function childTensors(
  parent: { config: ModelConfig; checkpoint: Checkpoint; dtype: NamedTensor['dtype'] },
  child: ModelConfig,
  maps: ReadonlyMap<number, LinearMap>,
  share: Share,
): ChildTensor[] {
  const { checkpoint, dtype } = parent;
  const values = async (name: string): Promise<Float32Array<ArrayBuffer>> =>
    bytesToF32(await checkpoint.read(name), checkpoint.tensors.get(name)!.dtype);

  const readMlp = async (layer: number): Promise<Mlp> => {
    const at = `model.layers.${layer}`;
    const part = (name: string): Promise<Float32Array<ArrayBuffer>> => values(`${at}.mlp.${name}`);
    return {
      d: child.hiddenSize,
      width: mlpWidth(parent.config, layer),
      norm: await values(`${at}.post_attention_layernorm.weight`),
      gate: await part('gate_proj.weight'),
      up: await part('up_proj.weight'),
      down: await part('down_proj.weight'),
      biases: child.mlpBias
        ? {
            gate: await part('gate_proj.bias'),
            up: await part('up_proj.bias'),
            down: await part('down_proj.bias'),
          }
        : undefined,
    };
  };
  // The tensors of a pair are written one after the other: only the last pair is kept.
  let merged: { layer: number; mlp: Promise<Mlp> } | undefined;
  const mergedMlp = (layer: number): Promise<Mlp> => {
    if (merged?.layer !== layer) {
      const merge = async (): Promise<Mlp> => shareMlp(await readMlp(layer), await readMlp(layer + 1), share);
      merged = { layer, mlp: merge() };
    }
    return merged.mlp;
  };

  const made = (name: string): (() => Promise<Float32Array>) | undefined => {
    const [, index, part] = /^model\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
    const layer = Number(index);
    const pairEnd = child.front + 2 * child.sharedPairs;
    if (part?.startsWith('linear_attn.'))
      return async () => Float32Array.from(linearPart(maps.get(layer)!, part)!);
    if (part && layer >= child.front && layer < pairEnd && share !== 'keep-first')
      return async () => mlpPart(await mergedMlp(layer), part);
    return undefined;
  };

  return ownSpecs(child).map(({ name, shape }): ChildTensor => {
    const make = made(name);
    const stored = checkpoint.tensors.get(name);
    if (!make && stored) return { name, dtype: stored.dtype, shape, read: () => checkpoint.read(name) };
    // A bias that the parent lacks and the child's config implies (Qwen2's output projection).
    const zeros = async (): Promise<Float32Array> => new Float32Array(shape.reduce((a, b) => a * b, 1));
    return {
      name,
      dtype,
      shape,
      read: async () => checkedBytes(name, dtype, shape, await (make ?? zeros)()),
    };
  });
}

/** Tensors with these weights, to be stored in this dtype. */
export const healedTensors = (weights: CpuWeights, dtype: NamedTensor['dtype']): ChildTensor[] =>
  Object.entries(weights).map(([name, { shape, data }]) => ({
    name,
    dtype,
    shape,
    read: async () => checkedBytes(name, dtype, shape, data),
  }));

function linearPart({ W, b, factors }: LinearMap, part: string): Float64Array | undefined {
  const of: Record<string, Float64Array | undefined> = {
    'linear_attn.weight': W,
    'linear_attn.bias': b,
    'linear_attn.down.weight': factors?.down,
    'linear_attn.up.weight': factors?.up,
    'linear_attn.up.bias': b,
  };
  return of[part];
}

function mlpPart(mlp: Mlp, part: string): Float32Array {
  const of: Record<string, Float32Array | undefined> = {
    'post_attention_layernorm.weight': mlp.norm,
    'mlp.gate_proj.weight': mlp.gate,
    'mlp.up_proj.weight': mlp.up,
    'mlp.down_proj.weight': mlp.down,
    'mlp.gate_proj.bias': mlp.biases?.gate,
    'mlp.up_proj.bias': mlp.biases?.up,
    'mlp.down_proj.bias': mlp.biases?.down,
  };
  return of[part]!;
}

function checkedBytes(
  name: string,
  dtype: NamedTensor['dtype'],
  shape: readonly number[],
  data: Float32Array,
): Uint8Array {
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
}
