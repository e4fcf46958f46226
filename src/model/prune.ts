import { ShishuError } from '../errors.ts';
import type { Block, Plan } from './spec.ts';

/** What stands in an attention block's first half. */
export type Mode = 'attention' | 'linear' | 'skip';

/** Modes by layer; layers that are left out keep their attention. */
export type Modes = Readonly<Record<number, Mode>>;

const KINDS = { attention: 'attention', linear: 'linear', skip: 'mlp' } as const;

/**
 * The plan with its attention blocks in these modes.
 * @param plan as loaded, all of whose attention is there
 * @param maps layers that have a linear map
 * @throws ShishuError `bad-argument` for a layer that is not an attention block, or has no map for `linear`
 */
export function pruned(
  plan: Plan,
  modes: Modes,
  maps: ReadonlySet<number> | ReadonlyMap<number, unknown>,
): Plan {
  for (const [key, mode] of Object.entries(modes)) {
    const layer = Number(key);
    if (plan[layer]?.kind !== 'attention')
      throw new ShishuError('bad-argument', `Layer ${key} is not an attention block.`, {
        details: { layer: key, layers: plan.length },
        mend: 'Give modes only to layers of kind attention in info.plan.',
      });
    if (!Object.hasOwn(KINDS, mode))
      throw new ShishuError('bad-argument', `The mode of layer ${key} is ${JSON.stringify(mode)}.`, {
        details: { layer },
        mend: `Modes: ${Object.keys(KINDS).join(', ')}.`,
      });
    if (mode === 'linear' && !maps.has(layer))
      throw new ShishuError('bad-argument', `Layer ${key} has no linear map.`, {
        details: { layer },
        mend: 'Load linear maps first, or use the mode skip.',
      });
  }
  return plan.map((block): Block => ({ ...block, kind: kindOf(block, modes) }));
}

const kindOf = ({ kind, layer }: Block, modes: Modes): Block['kind'] => {
  const mode = modes[layer];
  return mode ? KINDS[mode] : kind;
};
