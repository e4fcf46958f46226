import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { MOST_INPUTS } from '../kernels/inputs.ts';
import type { ModelSpec } from '../model/spec.ts';
import type { AnalysedOrder } from './analysis-file.ts';
import { modelBytes } from './child.ts';
import { childConfig, pairsOf } from './child-config.ts';
import type { ChoosingOptions } from './choose-layers.ts';
import type { OnEvent } from './events.ts';
import type { HealOptions } from './heal-plan.ts';
import type { Log } from './healing-run.ts';
import { bytesOf, type OnGpu, refuseChild } from './on-gpu.ts';
import type { Share } from './share.ts';
import { type Target, targetOf } from './target.ts';

/** What a conversion was asked for. */
export interface ConvertOptions extends Target {
  /** Keep a linear map where attention was, as extra tensors. */
  linear?: boolean;
  /** Most that the maps' rank may be (default the hidden size). Below half the hidden size they are stored as two factors. */
  rank?: number | undefined;
  /** Positions that each map sees, its own and those before it (default 1). */
  inputs?: number | undefined;
  /** Pairs of MLP-only blocks that share one MLP (default 0). */
  sharePairs?: number;
  /** How a pair's MLPs become one (default `average`). */
  share?: Share;
  /** Questions to which the child's answers are compared with its parent's (default 50, as many as there are). */
  questions?: number | undefined;
  /** What the report calls the parent (default: where it is read). */
  parentName?: string | undefined;
  /** Distil the child to its parent after that. */
  heal?: HealOptions | undefined;
  /** How blocks are chosen, where the target does not name them. */
  choosing?: ChoosingOptions | undefined;
  /** The parent's analysed order: where blocks are named, the child's folder gets what is left of it. */
  order?: AnalysedOrder;
  log?: Log;
  /** Gets what is found as it is found, also what was kept of an earlier try. */
  onEvent?: OnEvent | undefined;
  signal?: AbortSignal | undefined;
}

/** Context for which `saveMemory` counts K and V. */
const MEMORY_CONTEXT = 2048;

/**
 * How many blocks lose their attention, or which.
 * @throws ShishuError `bad-argument`, `unsupported` for what cannot be had of this parent
 */
export function checkTarget(parent: OnGpu, options: ConvertOptions): ReturnType<typeof targetOf> {
  refuseChild(parent);
  const { spec, configJson, dtype } = parent;
  const { sharePairs = 0, linear = false, rank, inputs } = options;
  const childSpec = (layers: readonly number[], sharedPairs: number): ModelSpec =>
    specOf(
      childConfig(configJson, spec, {
        layers,
        pairs: pairsOf(layers).slice(0, sharedPairs),
        linear,
        rank,
        inputs,
      }),
    );
  const first = (count: number): number[] => Array.from({ length: count }, (_, layer) => layer);
  const bytesAt = (mlpOnly: number): number => {
    const pairs = Math.min(sharePairs, Math.floor(mlpOnly / 2));
    const child = mlpOnly === 0 ? spec : childSpec(first(mlpOnly), pairs);
    return modelBytes(child, bytesOf(dtype), Math.min(MEMORY_CONTEXT, spec.maxPositions));
  };
  const target = targetOf(options, spec.blocks.length, bytesAt);
  // As many pairs as there can be; which blocks these are is not known yet.
  const layers = target.layers ?? first(target.count ?? spec.blocks.length);
  checkPairs(layers, sharePairs);
  for (const [name, value] of Object.entries({ rank, inputs }))
    if (value !== undefined && !linear)
      throw new ShishuError('bad-argument', `${NAMES[name]} given, but no linear maps are asked for.`, {
        details: { [name]: value },
        mend: 'Ask for linear maps too.',
      });
  if (inputs !== undefined && !(Number.isInteger(inputs) && inputs >= 1 && inputs <= MOST_INPUTS))
    throw new ShishuError('bad-argument', `Maps are to see ${inputs} positions.`, {
      details: { inputs, limit: MOST_INPUTS },
      mend: `Give a whole number from 1 to ${MOST_INPUTS}.`,
    });
  if (rank !== undefined && !(Number.isInteger(rank) && rank >= 1 && rank <= spec.hiddenSize))
    throw new ShishuError('bad-argument', `The rank of maps is ${rank}.`, {
      details: { rank, limit: spec.hiddenSize },
      mend: `Give a whole number from 1 to the hidden size, ${spec.hiddenSize}.`,
    });
  // Also refuses what the layout cannot express.
  childSpec(layers, sharePairs);
  return target;
}

const NAMES: Readonly<Record<string, string>> = { rank: 'A rank was', inputs: 'Inputs were' };

/** @throws ShishuError `bad-argument` when so many pairs of neighbours are not among these layers */
export function checkPairs(layers: readonly number[], sharePairs: number): void {
  const pairs = pairsOf(layers).length;
  if (Number.isInteger(sharePairs) && sharePairs >= 0 && sharePairs <= pairs) return;
  throw new ShishuError(
    'bad-argument',
    `${sharePairs} pairs cannot share among ${layers.length} MLP-only blocks.`,
    { details: { sharePairs, mlpOnly: layers.length }, mend: `Give at most ${pairs} pairs.` },
  );
}
