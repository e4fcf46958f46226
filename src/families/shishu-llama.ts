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
import { count, fail, field, flag, isCounts, type Json, size } from './fields.ts';
import { refuseUnsupported } from './refusals.ts';

/** What stands before a block's feed-forward. */
type Kind = 'attention' | 'linear' | 'mlp';

const FIELDS = [
  'use_qk_norm',
  'num_decoder_front',
  'num_mlp',
  'num_mlp_shared',
  'num_decoder_end',
  'intermediate_size_mlp',
  'linear_layers',
  'linear_rank',
];

/** The stack: each block's kind, and the layer whose MLP it uses. */
interface Stack {
  kinds: readonly Kind[];
  owners: readonly number[];
}

/** The public layout: attention blocks, MLP-only blocks (pairs that share an MLP first), attention blocks. */
function stackOf(json: Json): Stack {
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
  const linear = field(json, 'linear_layers', 'a list of layer indices', isCounts) ?? [];
  for (const layer of linear)
    if (!inRun(layer)) fail(`"linear_layers" names block ${layer}, which is not an MLP-only block.`);
  const all = Array.from({ length: layers }, (_, layer) => layer);
  return {
    kinds: all.map((layer) => {
      if (!inRun(layer)) return 'attention';
      return linear.includes(layer) ? 'linear' : 'mlp';
    }),
    owners: all.map((layer) => {
      const at = layer - front;
      return at >= 0 && at < 2 * sharedPairs ? layer - (at % 2) : layer;
    }),
  };
}

/** A ShishuLM in the public layout: a run of blocks has no attention, or a linear map in its place, and may share MLPs. */
export const SHISHU_LLAMA: Family = {
  modelTypes: ['shishu-llama'],
  read(json) {
    refuseUnsupported(json, { fields: FIELDS });
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
  { kinds, owners }: Stack,
  rank: number | undefined,
  width: number,
): BlockSpec[] {
  const qkvBias = flag(json, 'attention_bias') ?? false;
  const bias = flag(json, 'mlp_bias') ?? false;
  const qkNorm = flag(json, 'use_qk_norm') ? 'weightless' : undefined;
  return kinds.map((kind, layer) => {
    const owner = owners[layer]!;
    const mixer =
      kind === 'attention'
        ? attention(sizes, layer, { qkvBias, outBias: qkvBias, qkNorm })
        : kind === 'linear'
          ? linearMap(sizes.hiddenSize, layer, { rank })
          : { kind: 'none' as const };
    const own = kinds[owner] === 'attention' ? {} : { width };
    return { mixer, feedForward: feedForward(sizes, layer, { ...own, bias, owner }) };
  });
}
