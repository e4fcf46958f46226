import { ShishuError } from '../errors.ts';
import { specOf } from '../families/index.ts';
import { MOST_INPUTS } from '../kernels/inputs.ts';
import type { ModelSpec } from '../model/spec.ts';
import { modelBytes } from './child.ts';
import { childConfig, pairsOf } from './child-config.ts';
import type { ConvertOptions } from './convert.ts';
import { bytesOf, type OnGpu, refuseChild } from './on-gpu.ts';
import { targetOf } from './target.ts';

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
