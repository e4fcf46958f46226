import { MOST_INPUTS } from '../kernels/inputs.ts';
import type { BlockSpec, Mixer, ModelSpec } from '../model/spec.ts';
import { type Family, linearMap } from './decoder.ts';
import { fail, field, isCounts, type Json, refuse, size, text } from './fields.ts';
import { layerTypesOf } from './refusals.ts';

/** Fields of a child that its parent does not have, or means otherwise. */
export const CHILD_FIELDS = [
  'parent_model_type',
  'parent_layer_types',
  'shared_mlps',
  'linear_rank',
  'linear_inputs',
] as const;

/** What stands in the place of attention, in words of `layer_types`. */
export const REPLACED = ['linear', 'mlp'] as const;

const isGroups = (value: unknown): value is number[][] => Array.isArray(value) && value.every(isCounts);

/**
 * The word of `layer_types` for each block as the parent has it: the parent's own where it lists them.
 * @param listed the parent's `layer_types`
 */
export const parentTypes = ({ blocks }: ModelSpec, listed: readonly unknown[] | undefined): unknown[] =>
  blocks.map(({ mixer }, layer) => {
    if (listed) return listed[layer];
    if (mixer.kind !== 'attention') return mixer.kind;
    return mixer.window === undefined ? 'full_attention' : 'sliding_attention';
  });

const isList = (value: unknown): value is unknown[] => Array.isArray(value);

/** The parent's `layer_types`, where it lists them. */
const listedOf = (json: Json): readonly unknown[] | undefined =>
  field(json, 'parent_layer_types', 'a list', isList);

/** The parent's config of a child's. */
function parentOf(json: Json, type: string): Json {
  const { layer_types: _, ...parent }: Json = { ...json, model_type: type };
  for (const name of CHILD_FIELDS) delete parent[name];
  const listed = listedOf(json);
  return listed ? { ...parent, layer_types: listed } : parent;
}

/** The layer whose MLP each block uses: groups of blocks use that of their first. */
function ownersOf(json: Json, layers: number): number[] {
  const owners = Array.from({ length: layers }, (_, layer) => layer);
  const grouped = new Set<number>();
  for (const group of field(json, 'shared_mlps', 'a list of lists of layer indices', isGroups) ?? [])
    for (const layer of group) {
      if (layer >= layers || grouped.has(layer) || layer < group[0]!)
        fail(`"shared_mlps" holds ${JSON.stringify(group)}: a group lists blocks once, the first one first.`);
      grouped.add(layer);
      owners[layer] = group[0]!;
    }
  return owners;
}

/** What stands before each block's feed-forward. */
function mixersOf(json: Json, parent: ModelSpec): Mixer[] {
  const { blocks, hiddenSize } = parent;
  const types = layerTypesOf(json) ?? fail('"layer_types" is missing.', 'It names what each block has.');
  if (types.length !== blocks.length) fail(`"layer_types" lists ${types.length} of ${blocks.length} layers.`);
  const inputs = size(json, 'linear_inputs') ?? 1;
  if (inputs > MOST_INPUTS) refuse(`"linear_inputs" is ${inputs}: up to ${MOST_INPUTS} are supported.`);
  const rank = size(json, 'linear_rank');
  if (rank !== undefined && rank > hiddenSize)
    fail(`"linear_rank" ${rank} is above "hidden_size" ${hiddenSize}.`);
  const listed = listedOf(json);
  if (listed && listed.length !== blocks.length)
    fail(`"parent_layer_types" lists ${listed.length} of ${blocks.length} layers.`);
  const kept = parentTypes(parent, listed);
  return blocks.map(({ mixer }, layer): Mixer => {
    const type = types[layer];
    if (type === kept[layer]) return mixer;
    if (mixer.kind === 'attention' && type === 'linear')
      return linearMap(hiddenSize, layer, { rank, inputs });
    if (mixer.kind === 'attention' && type === 'mlp') return { kind: 'none' };
    const words = [kept[layer], ...(mixer.kind === 'attention' ? REPLACED : [])].map((word) => `"${word}"`);
    return refuse(
      `"layer_types" has ${JSON.stringify(type)} for block ${layer}, which is not supported.`,
      `Supported there: ${words.join(', ')}.`,
    );
  });
}

/** A ShishuLM of any parent: any blocks have no attention, or a linear map in its place, and may share MLPs. */
export const shishu = (parents: readonly Family[]): Family => ({
  modelTypes: ['shishu'],
  read(json) {
    const type = text(json, 'parent_model_type') ?? fail('"parent_model_type" is missing.');
    const family =
      parents.find(({ modelTypes }) => modelTypes.includes(type)) ??
      refuse(`"parent_model_type" "${type}" is not supported.`);
    const child = (parent: ModelSpec): ModelSpec => {
      const mixers = mixersOf(json, parent);
      const owners = ownersOf(json, parent.blocks.length);
      const blocks = parent.blocks.map(
        ({ feedForward }, layer): BlockSpec => ({
          mixer: mixers[layer]!,
          feedForward: { ...feedForward, owner: owners[layer]! },
        }),
      );
      return { ...parent, modelType: 'shishu', blocks };
    };
    const [first, ...others] = family.read(parentOf(json, type));
    return [child(first), ...others.map(child)];
  },
});
