import { refuseOption } from '../errors.ts';
import { type Mode, type Modes, pruned } from '../model/prune.ts';
import type { Plan } from '../model/spec.ts';

/**
 * Layers from the first to lose their attention to the last, or an analysis that says so (`shishulm analyze --out`). Layers
 * that are left out follow from the top down.
 */
export type PruneOrder =
  | readonly number[]
  | { order: { skip: readonly number[]; linear: readonly number[] } };

/**
 * How the attention blocks run: a mode for each layer (those left out keep their attention), or the share of them that keeps
 * attention, 0 to 1. By level, blocks lose it in `order` (default: `setPruneOrder`'s, else from the top down), and run their
 * linear map where they have one.
 */
export type ModeSetting = Modes | { level: number; order?: PruneOrder };

/** Layers that have a linear map. */
type Maps = ReadonlyMap<number, unknown>;

const attentionLayers = (plan: Plan): number[] =>
  plan.flatMap(({ kind, layer }) => (kind === 'attention' ? [layer] : []));

/** The whole order: what is given, then the rest from the top down. @throws ShishuError `bad-argument` */
export function completeOrder(plan: Plan, order: PruneOrder | undefined, maps: Maps): number[] {
  const analysed = (order as { order?: Record<'skip' | 'linear', readonly number[]> } | undefined)?.order;
  const given = analysed ? analysed[maps.size > 0 ? 'linear' : 'skip'] : (order ?? []);
  if (!Array.isArray(given)) return refuseOption('order', given, 'a list of layers, or an analysis');
  // Also refuses what is no attention block.
  pruned(plan, Object.fromEntries(given.map((layer) => [layer, 'skip' as const])), maps);
  if (new Set(given).size < given.length) refuseOption('order', given.join(), 'each layer once');
  const rest = attentionLayers(plan).filter((layer) => !given.includes(layer));
  return [...given, ...rest.reverse()];
}

/**
 * The plan of a setting.
 * @param plan as loaded
 * @throws ShishuError `bad-argument`: a layer that is not an attention block, `linear` without a map, a level out of range
 */
export function planInModes(
  plan: Plan,
  setting: ModeSetting,
  defaultOrder: PruneOrder | undefined,
  maps: Maps,
): Plan {
  if (typeof setting !== 'object' || setting === null)
    return refuseOption('modes', setting, '{ layer: mode } or { level }');
  if (!('level' in setting)) return pruned(plan, setting, maps);
  const { level, order = defaultOrder, ...others } = setting as { level: unknown; order?: PruneOrder };
  for (const name of Object.keys(others))
    refuseOption(`modes.${name}`, Reflect.get(others, name), 'to be left out beside "level"');
  if (typeof level !== 'number' || !(level >= 0 && level <= 1))
    return refuseOption('level', level, 'a number from 0 to 1');
  const layers = completeOrder(plan, order, maps);
  const dropped = layers.slice(0, layers.length - Math.round(level * layers.length));
  const mode = (layer: number): Mode => (maps.has(layer) ? 'linear' : 'skip');
  return pruned(plan, Object.fromEntries(dropped.map((layer) => [layer, mode(layer)])), maps);
}

/** The mode of each attention block of the loaded plan in another. */
export function modesOf(loaded: Plan, plan: Plan): Record<number, Mode> {
  return Object.fromEntries(
    attentionLayers(loaded).map((layer): [number, Mode] => {
      const { kind } = plan[layer]!;
      return [layer, kind === 'attention' || kind === 'linear' ? kind : 'skip'];
    }),
  );
}
