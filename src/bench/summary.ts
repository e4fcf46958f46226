import type { BenchResult, ProfilePoint } from './result.ts';

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

/** Context for which weights + KV are set beside each other, in tokens, where the models go so far. */
const REFERENCE_CONTEXT = 2048;

interface Timed {
  model: 0 | 1;
  ms: { median: number; q1: number; q3: number };
}

const both = <T extends Timed>(points: readonly T[], at: (point: T) => boolean): [T, T] | undefined => {
  const [parent, child] = ([0, 1] as const).map((model) => points.find((p) => p.model === model && at(p)));
  return parent && child && [parent, child];
};

/** All of a result that parent and child both have, in the order of the page. */
export function summaryOf(result: BenchResult): SummaryRow[] {
  const rows: SummaryRow[] = [];
  const [parent, child] = result.models;
  const counted = (what: string, unit: SummaryRow['unit'], a: number, b: number): void => {
    rows.push({ what, unit, kind: 'counted', parent: a, child: b, ratio: b / a });
  };
  if (parent && child) {
    counted('Parameters', 'count', parent.parameters, child.parameters);
    counted('Weights on the GPU', 'bytes', parent.bytes.weights, child.bytes.weights);
    counted(`KV cache, ${parent.context} tokens`, 'bytes', parent.bytes.kv, child.bytes.kv);
    counted('Scratch', 'bytes', parent.bytes.scratch, child.bytes.scratch);
    const context = Math.min(REFERENCE_CONTEXT, parent.maxPositions, child.maxPositions);
    counted(
      `Weights + KV at ${context} tokens`,
      'bytes',
      ...([parent, child].map(({ bytes, kvBytesPerToken }) => bytes.weights + context * kvBytesPerToken) as [
        number,
        number,
      ]),
    );
    // A long context takes more: attention is split there.
    counted(
      'Dispatches a token, short context',
      'count',
      parent.dispatchesPerToken,
      child.dispatchesPerToken,
    );
  }
  const measured = (
    what: string,
    unit: SummaryRow['unit'],
    pair: [Timed, Timed] | undefined,
    value: (ms: number) => number,
  ): void => {
    if (!pair) return;
    const [a, b] = pair.map(({ ms }) => value(ms.median)) as [number, number];
    const [parent, child] = pair.map(({ ms }) =>
      [value(ms.q1), value(ms.q3)].sort((low, high) => low - high),
    ) as [[number, number], [number, number]];
    rows.push({
      what,
      unit,
      kind: 'measured',
      parent: a,
      child: b,
      quartiles: { parent, child },
      ratio: b / a,
    });
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
    const [a, b] = pair.map(({ gigabytesPerSecond }) => gigabytesPerSecond) as [number, number];
    const what = `Read at position ${position}`;
    rows.push({ what, unit: 'GB/s', kind: 'measured', parent: a, child: b, ratio: b / a });
  }
  for (const batch of new Set(result.batches.map((point) => point.batch))) {
    const pair = both(result.batches, (point) => point.batch === batch);
    rate(`Batch of ${batch}`, pair, batch);
  }
  timed(
    'Training step',
    both(result.training, () => true),
  );
  return rows;
}

/** Whether the two models differ by more than the noise of the run: their quartiles lie apart. */
export function differ({ parent, child, quartiles }: SummaryRow): boolean {
  if (!quartiles) return Math.abs(child / parent - 1) >= 0.005;
  const { parent: a, child: b } = quartiles;
  return a[1] < b[0] || b[1] < a[0];
}

/** A model without attention has no KV to set another's beside. */
export const ratioText = ({ ratio }: SummaryRow): string => (Number.isFinite(ratio) ? ratio.toFixed(3) : '–');

/** A number of a row, for people. */
export function figure(value: number, unit: SummaryRow['unit']): string {
  if (unit === 'bytes') return `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} MB`;
  if (unit === 'count') return value.toLocaleString('en');
  return `${value >= 1000 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
}

/** Microseconds of GPU time of both models, summed by what `key` takes of a point. */
function gpuTimes<K>(
  { profile }: BenchResult,
  phase: ProfilePoint['phase'],
  key: (point: ProfilePoint) => K,
): [K, [number, number]][] {
  const sums = new Map<K, [number, number]>();
  for (const point of profile) {
    if (point.phase !== phase) continue;
    const pair = sums.get(key(point)) ?? [0, 0];
    pair[point.model] += point.microseconds;
    sums.set(key(point), pair);
  }
  return [...sums];
}

/** GPU time by kernel, largest first. */
export const kernelTimes = (result: BenchResult, phase: ProfilePoint['phase']) =>
  gpuTimes(result, phase, ({ kernel }) => kernel)
    .map(([kernel, pair]) => ({ kernel, pair }))
    .sort((a, b) => Math.max(...b.pair) - Math.max(...a.pair));

/** GPU time by block; `block` null is what stands outside the blocks. */
export const blockTimes = (result: BenchResult, phase: ProfilePoint['phase']) =>
  gpuTimes(result, phase, ({ block }) => block)
    .map(([block, pair]) => ({ block, pair }))
    .sort((a, b) => (a.block ?? -1) - (b.block ?? -1));

/** The adapter in words that tell it from others. */
export function adapterText({ adapter }: BenchResult): string {
  const { name, vendor, architecture, software } = adapter;
  const words = [name, vendor, architecture].filter((word, i, all) => word && all.indexOf(word) === i);
  return `${words.join(' ')}${software ? ' (software)' : ''}`;
}
