import type { BenchResult, ModelFacts, ProfilePoint, Which } from './result.ts';
import type { Spread } from './stats.ts';

/** A line of the table: one quantity of parent and child. */
export interface SummaryRow {
  what: string;
  unit: 'ms' | 'tokens/s' | 'bytes' | 'count' | 'GB/s';
  /** Counted from shapes or buffers, or timed. */
  kind: 'counted' | 'measured';
  parent: number;
  child: number;
  /** Of timed rows. */
  quartiles?: { parent: [number, number]; child: [number, number] };
  /** child / parent. */
  ratio: number;
}

/** Context for which weights + KV are compared, in tokens, or the longest of the models. */
const REFERENCE_CONTEXT = 2048;

type Pair = [parent: number, child: number];

interface Timed {
  model: Which;
  ms: Spread;
}

const both = <T extends Timed>(points: readonly T[], at: (point: T) => boolean): [T, T] | undefined => {
  const [parent, child] = ([0, 1] as const).map((model) => points.find((p) => p.model === model && at(p)));
  return parent && child && [parent, child];
};

/** Bytes of KV of so many tokens. */
const kvBytesAt = ({ kvBytesPerToken, kvWindows }: ModelFacts, context: number): number =>
  kvWindows.reduce(
    (sum, { bytesPerToken, tokens }) => sum - bytesPerToken * Math.max(0, context - tokens),
    context * kvBytesPerToken,
  );

/** All of a result that parent and child both have, in the order of the page. */
export function summaryOf(result: BenchResult): SummaryRow[] {
  const rows: SummaryRow[] = [];
  const add = (row: Omit<SummaryRow, 'parent' | 'child' | 'ratio'>, [parent, child]: Pair): void => {
    rows.push({ ...row, parent, child, ratio: child / parent });
  };
  const [parent, child] = result.models;
  if (parent && child) {
    const counted = (what: string, unit: SummaryRow['unit'], of: (model: ModelFacts) => number): void =>
      add({ what, unit, kind: 'counted' }, [of(parent), of(child)]);
    counted('Parameters', 'count', ({ parameters }) => parameters);
    counted('Weights on the GPU', 'bytes', ({ bytes }) => bytes.weights);
    counted(`KV cache, ${parent.context} tokens`, 'bytes', ({ bytes }) => bytes.kv);
    counted('Scratch', 'bytes', ({ bytes }) => bytes.scratch);
    const context = Math.min(REFERENCE_CONTEXT, parent.maxPositions, child.maxPositions);
    counted(
      `Weights + KV at ${context} tokens`,
      'bytes',
      (model) => model.bytes.weights + kvBytesAt(model, context),
    );
    // A long context takes more: attention is split there.
    counted('Dispatches a token, short context', 'count', ({ dispatchesPerToken }) => dispatchesPerToken);
  }
  const measured = (
    what: string,
    unit: SummaryRow['unit'],
    pair: [Timed, Timed] | undefined,
    value: (ms: number) => number,
  ): void => {
    if (!pair) return;
    const [a, b] = pair.map(({ ms }) => ms) as [Spread, Spread];
    const range = ({ q1, q3 }: Spread): Pair =>
      [value(q1), value(q3)].sort((low, high) => low - high) as Pair;
    const quartiles = { parent: range(a), child: range(b) };
    add({ what, unit, kind: 'measured', quartiles }, [value(a.median), value(b.median)]);
  };
  const timed = (what: string, pair: [Timed, Timed] | undefined): void =>
    measured(what, 'ms', pair, (ms) => ms);
  const rate = (what: string, pair: [Timed, Timed] | undefined, tokens: number): void =>
    measured(what, 'tokens/s', pair, (ms) => (1000 * tokens) / ms);
  for (const tokens of new Set(result.prompts.map((point) => point.tokens))) {
    const pair = both(result.prompts, (point) => point.tokens === tokens);
    timed(`First token, prompt of ${tokens}`, pair);
    rate(`Prompt of ${tokens}`, pair, tokens);
  }
  for (const position of new Set(result.decode.map((point) => point.position))) {
    const pair = both(result.decode, (point) => point.position === position);
    timed(`A token at position ${position}`, pair);
    if (!pair) continue;
    const read = pair.map(({ gigabytesPerSecond }) => gigabytesPerSecond) as Pair;
    add({ what: `Read at position ${position}`, unit: 'GB/s', kind: 'measured' }, read);
  }
  for (const batch of new Set(result.batches.map((point) => point.batch))) {
    const pair = both(result.batches, (point) => point.batch === batch);
    rate(`Batch of ${batch}`, pair, batch);
    if (!pair) continue;
    const read = pair.map(({ weightBytesPerToken }) => weightBytesPerToken) as Pair;
    add({ what: `Weights read a token, batch of ${batch}`, unit: 'bytes', kind: 'counted' }, read);
  }
  const trained = both(result.training, () => true);
  timed('Training step', trained);
  return rows;
}

/** Whether the two models differ by more than the noise of the run: their quartiles lie apart. */
export function differ({ parent, child, quartiles }: SummaryRow): boolean {
  if (!quartiles) return Math.abs(child / parent - 1) >= 0.005;
  const { parent: a, child: b } = quartiles;
  return a[1] < b[0] || b[1] < a[0];
}

/** child / parent; there is none where the parent has zero, as the KV of a model without attention. */
export const ratioText = ({ ratio }: SummaryRow): string => (Number.isFinite(ratio) ? ratio.toFixed(3) : '–');

/** A number of a row, for people. */
export function figure(value: number, unit: SummaryRow['unit']): string {
  if (unit === 'bytes') return `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} MB`;
  if (unit === 'count') return value.toLocaleString('en');
  return `${value >= 1000 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
}

type Phase = ProfilePoint['phase'];

/** Quartiles of a row without their unit, for people; undefined where it has none. */
export const quartilesText = (
  { quartiles, unit }: SummaryRow,
  which: 'parent' | 'child',
  between: string,
): string | undefined =>
  quartiles?.[which].map((value) => figure(value, unit).replace(` ${unit}`, '')).join(between);

/** GPU time of parent and child, microseconds, summed by what `of` gives of a launch. */
function gpuTimes<K>(result: BenchResult, phase: Phase, of: (point: ProfilePoint) => K): [K, Pair][] {
  const sums = new Map<K, Pair>();
  for (const point of result.profile) {
    if (point.phase !== phase) continue;
    const pair = sums.get(of(point)) ?? [0, 0];
    pair[point.model] += point.microseconds;
    sums.set(of(point), pair);
  }
  return [...sums];
}

/** GPU time by kernel, microseconds, largest first. */
export const kernelTimes = (result: BenchResult, phase: Phase): { kernel: string; pair: Pair }[] =>
  gpuTimes(result, phase, ({ kernel }) => kernel)
    .map(([kernel, pair]) => ({ kernel, pair }))
    .sort((a, b) => Math.max(...b.pair) - Math.max(...a.pair));

/** GPU time by block, microseconds; `block` null is what stands outside the blocks. */
export const blockTimes = (result: BenchResult, phase: Phase): { block: number | null; pair: Pair }[] =>
  gpuTimes(result, phase, ({ block }) => block)
    .map(([block, pair]) => ({ block, pair }))
    .sort((a, b) => (a.block ?? -1) - (b.block ?? -1));

/** The adapter's name for people. */
export function adapterText({ adapter }: BenchResult): string {
  const { name, vendor, architecture, software } = adapter;
  const words = [name, vendor, architecture].filter((word, i, all) => word && all.indexOf(word) === i);
  return `${words.join(' ')}${software ? ' (software)' : ''}`;
}
