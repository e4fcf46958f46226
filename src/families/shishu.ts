import type { BlockSpec, ModelSpec } from '../model/spec.ts';
import {
  attention,
  checkBlocks,
  type Family,
  feedForward,
  linearMap,
  model,
  type Sizes,
  sizesOf,
} from './decoder.ts';
import { count, fail, field, flag, isCount, type Json, size } from './fields.ts';
import { layerTypesOf, refuseUnsupported } from './refusals.ts';

/** What stands before a block's feed-forward, in the words of `layer_types`. */
export type LayerType = 'full_attention' | 'linear_map' | 'mlp_only';

const LAYER_TYPES: readonly LayerType[] = ['full_attention', 'linear_map', 'mlp_only'];

const FIELDS = [
  'use_qk_norm',
  'num_decoder_front',
  'num_mlp',
  'num_mlp_shared',
  'num_decoder_end',
  'intermediate_size_mlp',
  'linear_layers',
  'linear_rank',
  'shared_mlps',
];

/** The stack: each block's type, and the layer whose MLP it uses. */
interface Stack {
  types: readonly LayerType[];
  owners: readonly number[];
}

const isList = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);
const isGroups = (value: unknown): value is number[][] => Array.isArray(value) && value.every(isList);

/** Refuses what belongs to the other of the two ways to describe the stack. */
function refuseOther(json: Json, names: readonly string[], way: string): void {
  for (const name of names) {
    const { [name]: value } = json;
    // A count of none says nothing.
    if (value !== undefined && value !== null && value !== 0)
      fail(`"${name}" says nothing of a stack by ${way}.`, 'Describe the stack in one way.');
  }
}

/** The public layout: attention blocks, MLP-only blocks (pairs that share an MLP first), attention blocks. */
function runOf(json: Json): Stack {
  refuseOther(json, ['shared_mlps'], '"num_decoder_front" and "num_mlp"');
  const needed = (name: string): number => count(json, name) ?? fail(`"${name}" is missing.`);
  const front = needed('num_decoder_front');
  const mlpOnly = needed('num_mlp');
  const end = count(json, 'num_decoder_end') ?? 0;
  const sharedPairs = count(json, 'num_mlp_shared') ?? 0;
  if (2 * sharedPairs > mlpOnly)
    fail(
      `"num_mlp_shared" ${sharedPairs} pairs need ${2 * sharedPairs} MLP-only blocks, "num_mlp" is ${mlpOnly}.`,
      'Lower num_mlp_shared: it counts pairs.',
    );
  const layers = checkBlocks(front + mlpOnly + end);
  if (layers === 0) fail('the model has no blocks.');
  const declared = count(json, 'num_hidden_layers');
  if (declared !== undefined && declared !== layers)
    fail(`"num_hidden_layers" ${declared} is not front + mlp + end = ${front} + ${mlpOnly} + ${end}.`);
  const inRun = (layer: number): boolean => layer >= front && layer < front + mlpOnly;
  const linear = field(json, 'linear_layers', 'a list of layer indices', isList) ?? [];
  for (const layer of linear)
    if (!inRun(layer)) fail(`"linear_layers" names block ${layer}, which is not an MLP-only block.`);
  const all = Array.from({ length: layers }, (_, layer) => layer);
  return {
    types: all.map((layer) => {
      if (!inRun(layer)) return 'full_attention';
      return linear.includes(layer) ? 'linear_map' : 'mlp_only';
    }),
    owners: all.map((layer) => {
      const at = layer - front;
      return at >= 0 && at < 2 * sharedPairs ? layer - (at % 2) : layer;
    }),
  };
}

/** Blocks of any type in any order: `layer_types` names them, and `shared_mlps` the groups that use the MLP of their first. */
function listedStack(json: Json, types: readonly LayerType[]): Stack {
  const layers = types.length;
  const declared = count(json, 'num_hidden_layers');
  if (declared !== undefined && declared !== layers)
    fail(`"num_hidden_layers" is ${declared}, "layer_types" lists ${layers}.`);
  refuseOther(json, ['linear_layers', 'num_mlp_shared', 'num_decoder_end'], '"layer_types"');
  const owners = types.map((_, layer) => layer);
  const grouped = new Set<number>();
  for (const group of field(json, 'shared_mlps', 'a list of lists of layer indices', isGroups) ?? [])
    for (const layer of group) {
      if (layer >= layers || grouped.has(layer) || layer < group[0]!)
        fail(`"shared_mlps" holds ${JSON.stringify(group)}: a group lists blocks once, the first one first.`);
      grouped.add(layer);
      owners[layer] = group[0]!;
    }
  return { types, owners };
}

function stackOf(json: Json): Stack {
  const listed = layerTypesOf(json) as readonly LayerType[] | undefined;
  const inRun = 'num_decoder_front' in json || 'num_mlp' in json;
  // A list of attention alone says nothing of what replaced it.
  if (!listed || listed.length === 0 || (inRun && listed.every((type) => type === 'full_attention')))
    return runOf(json);
  if (inRun) fail('"layer_types" and "num_decoder_front" both describe the stack.', 'Leave one of them out.');
  return listedStack(json, listed);
}

/** ShishuLM: some blocks have no attention, or a linear map in its place, and may share an MLP. */
export const SHISHU: Family = {
  modelTypes: ['shishu-llama'],
  read(json) {
    refuseUnsupported(json, { fields: FIELDS, layerTypes: LAYER_TYPES });
    const sizes = sizesOf(json, { maxPositions: 2048 });
    const stack = stackOf(json);
    const rank = size(json, 'linear_rank');
    if (rank !== undefined && rank > sizes.hiddenSize)
      fail(`"linear_rank" ${rank} is above "hidden_size" ${sizes.hiddenSize}.`);
    const spec = (width: number): ModelSpec => model(json, sizes, blocksOf(json, sizes, stack, rank, width));
    const { intermediateSize } = sizes;
    const declared = size(json, 'intermediate_size_mlp') ?? intermediateSize;
    // Public code declares one width for MLP-only blocks and uses another.
    return declared === intermediateSize
      ? [spec(intermediateSize)]
      : [spec(declared), spec(intermediateSize)];
  },
};

/** @param width of the MLPs of blocks without attention */
function blocksOf(
  json: Json,
  sizes: Sizes,
  { types, owners }: Stack,
  rank: number | undefined,
  width: number,
): BlockSpec[] {
  const qkvBias = flag(json, 'attention_bias') ?? false;
  const bias = flag(json, 'mlp_bias') ?? false;
  const qkNorm = flag(json, 'use_qk_norm') ? 'weightless' : undefined;
  return types.map((type, layer) => {
    const owner = owners[layer]!;
    const mixer =
      type === 'full_attention'
        ? attention(sizes, layer, { qkvBias, outBias: qkvBias, qkNorm })
        : type === 'linear_map'
          ? linearMap(sizes.hiddenSize, layer, rank)
          : { kind: 'none' as const };
    const own = types[owner] === 'full_attention' ? {} : { width };
    return { mixer, feedForward: feedForward(sizes, layer, { ...own, bias, owner }) };
  });
}
