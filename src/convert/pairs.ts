// Which neighbours share an MLP: those of which it costs least, each pair measured on the GPU.
import { throwIfAborted } from '../errors.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { bytesToF32 } from '../formats/float.ts';
import { openSource } from '../formats/open-source.ts';
import { encodeSafetensors, type NamedTensor } from '../formats/safetensors.ts';
import { fillFromCheckpoint } from '../model/load.ts';
import type { FeedForward } from '../model/spec.ts';
import type { FillPlan } from '../model/weights.ts';
import { type LoadedModel, perplexity } from './calibrate.ts';
import type { Pair } from './child-config.ts';
import type { Log } from './healing-run.ts';
import { mlpTensors, readMlp } from './mlps.ts';
import type { OnGpu } from './on-gpu.ts';
import { type Mlp, type Share, shareMlp } from './share.ts';
import { timeLeft } from './time-left.ts';
import type { TokenWindows } from './windows.ts';

/** What it costs when two neighbours share an MLP, nats a token over the model where none do. */
export interface PairCost {
  layers: Pair;
  nats: number;
}

/** Neighbours among layers that ascend. */
export const neighboursOf = (layers: readonly number[]): Pair[] =>
  layers.flatMap((layer, i): Pair[] => (layers[i + 1] === layer + 1 ? [[layer, layer + 1]] : []));

/** As many pairs that have no block in common as are asked for, of which the sum of costs is least; ascending. */
export function cheapestPairs(costs: readonly PairCost[], count: number): PairCost[] {
  const ascending = [...costs].sort((a, b) => a.layers[0] - b.layers[0]);
  const kept = new Map<string, { nats: number; pairs: PairCost[] } | undefined>();
  /** Of the pairs from one on. */
  const best = (from: number, left: number): { nats: number; pairs: PairCost[] } | undefined => {
    if (left === 0) return { nats: 0, pairs: [] };
    const own = ascending[from];
    if (!own) return undefined;
    const key = `${from} ${left}`;
    if (kept.has(key)) return kept.get(key);
    const without = best(from + 1, left);
    const next = ascending.findIndex(({ layers }) => layers[0] > own.layers[1]);
    const rest = best(next < 0 ? ascending.length : next, left - 1);
    const sum = rest && { nats: own.nats + rest.nats, pairs: [own, ...rest.pairs] };
    const found = sum && without && without.nats <= sum.nats ? without : (sum ?? without);
    kept.set(key, found);
    return found;
  };
  return best(0, count)?.pairs ?? [];
}

type Parent = Pick<OnGpu, 'spec' | 'checkpoint' | 'runner' | 'fill'>;

/** Where the tensors of an MLP are on the GPU. */
function filledBy(fill: FillPlan, own: FeedForward): FillPlan {
  const names = new Set(mlpTensors(own).map(([, name]) => name));
  const of = <T extends { tensor: string }>(places: readonly T[]): T[] =>
    places.filter(({ tensor }) => names.has(tensor));
  return {
    matrices: of(fill.matrices),
    biases: of(fill.biases),
    gains: of(fill.gains),
    plain: of(fill.plain),
  };
}

/** Puts an MLP in the place of a block's own. */
async function putMlp({ runner, fill }: Parent, own: FeedForward, mlp: Mlp): Promise<void> {
  const { width, down } = own;
  const shapeOf = {
    norm: [down.rows],
    normAfter: [down.rows],
    gate: [width, mlp.d],
    up: [width, mlp.d],
    down: [mlp.d, width],
  };
  const tensors = mlpTensors(own).map(([which, name]): NamedTensor => {
    const data = mlp[which]!;
    return { name, dtype: 'F32', shape: shapeOf[which as keyof typeof shapeOf] ?? [data.length], data };
  });
  const bytes = encodeSafetensors(tensors);
  const source = openSource({
    name: 'an MLP',
    read: (file, start, end) => (file === 'model.safetensors' ? bytes.slice(start, end) : undefined),
    size: (file) => (file === 'model.safetensors' ? bytes.length : null),
  });
  const checkpoint = await openCheckpoint(source, tensors);
  await fillFromCheckpoint(runner.parts.gpu, filledBy(fill, own), checkpoint, []);
}

/**
 * Measures each pair alone: both blocks get the MLP that they would share, and their own ones back.
 * @param model how the blocks run
 * @throws ShishuError `aborted`
 */
export async function pairCosts(
  parent: Parent,
  model: LoadedModel,
  pairs: readonly Pair[],
  windows: TokenWindows,
  share: Share,
  {
    signal,
    onProgress,
  }: {
    signal?: AbortSignal | undefined;
    onProgress?: ((done: number, total: number) => void) | undefined;
  } = {},
): Promise<PairCost[]> {
  const { spec, checkpoint, fill, runner } = parent;
  const values = async (name: string): Promise<Float32Array> =>
    bytesToF32(await checkpoint.read(name), checkpoint.tensors.get(name)!.dtype);
  const nats = async (): Promise<number> => Math.log(await perplexity(model, windows, signal));
  const alone = await nats();
  const costs: PairCost[] = [];
  for (const layers of pairs) {
    throwIfAborted(signal);
    const [first, second] = layers.map((layer) => spec.blocks[layer]!.feedForward) as [
      FeedForward,
      FeedForward,
    ];
    const mlp = shareMlp(await readMlp(spec, first, values), await readMlp(spec, second, values), share);
    try {
      for (const own of [first, second]) await putMlp(parent, own, mlp);
      costs.push({ layers, nats: (await nats()) - alone });
    } finally {
      for (const own of [first, second])
        await fillFromCheckpoint(runner.parts.gpu, filledBy(fill, own), checkpoint, []);
    }
    onProgress?.(costs.length, pairs.length);
  }
  return costs;
}

/**
 * The pairs that share an MLP, of which it costs least.
 * @param model how the blocks run
 * @param windows of text that nothing is fitted to
 */
export async function choosePairs(
  parent: Parent,
  model: LoadedModel,
  layers: readonly number[],
  windows: TokenWindows,
  { count, share, log, signal }: { count: number; share: Share; log: Log; signal?: AbortSignal | undefined },
): Promise<PairCost[]> {
  if (count === 0) return [];
  const onProgress = timeLeft(log, 'measuring pairs that may share');
  const costs = await pairCosts(parent, model, neighboursOf(layers), windows, share, { signal, onProgress });
  const chosen = cheapestPairs(costs, count);
  for (const { layers, nats } of chosen)
    log(`blocks ${layers.join(' and ')} share an MLP: ${nats.toFixed(3)} nats`);
  return chosen;
}
