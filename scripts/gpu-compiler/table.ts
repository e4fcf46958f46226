// Tables of what compilers made of kernels: the one that is printed, and the one that the repository keeps of gates that are missed.
import type { Compiled } from './driver.ts';
import { type Figure, GATED, GATES, gateOf, passes, worseOf } from './gates.ts';

/** Figures that have an order. */
type Ordered = Omit<Compiled, 'loop'>;

/** By kernel and GPU; of texts that differ by a model's sizes alone, the worst. */
export type Results = Map<string, Map<string, Compiled>>;

const larger = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : b === undefined ? a : Math.max(a, b);
const smaller = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);

/** Figures of which less is worse. */
const LESS_IS_WORSE: readonly (keyof Ordered)[] = ['flight', 'flightBytes', 'waves', 'perSharedRead', 'wide'];

/** The worse of two in each figure. */
function worse({ loop: _, ...a }: Compiled, { loop: __, ...b }: Compiled): Compiled {
  const most: Ordered = { ...a };
  for (const key of Object.keys(b) as (keyof Ordered)[])
    most[key] = (LESS_IS_WORSE.includes(key) ? smaller : larger)(a[key], b[key])!;
  return most;
}

export function addResult(results: Results, kernel: string, gpu: string, compiled: Compiled): void {
  const row = results.get(kernel) ?? new Map<string, Compiled>();
  results.set(kernel, row);
  const before = row.get(gpu);
  row.set(gpu, before ? worse(before, compiled) : compiled);
}

/** Registers, vector instructions a multiply-add, loads in flight; then what did not fit. */
function cell(compiled: Compiled | undefined): string {
  if (!compiled) return '';
  const { registers, perMultiplyAdd, flight, spills, scratch } = compiled;
  const usual = `${registers} ${perMultiplyAdd?.toFixed(1) ?? '-'} ${flight}`;
  return spills === 0 && scratch === 0 ? usual : `${usual} !${spills}/${scratch}`;
}

/** Lines of a table, columns below each other. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}

/** Lines of a table, kernel by GPU. */
export const printed = (results: Results, gpus: readonly string[]): string[] =>
  aligned([
    ['kernel', ...gpus],
    ...[...results].map(([kernel, row]) => [kernel, ...gpus.map((gpu) => cell(row.get(gpu)))]),
  ]);

/** How many kernels of a row miss a gate on a GPU, and the worst figure of them. */
export interface Missed {
  count: number;
  worst: number;
}

/** Gates that are missed, by `gate | row of kernels` and GPU. */
export type Misses = Map<string, Map<string, Missed>>;

const keyOf = (gate: string, kernel: string): string => `${gate} | ${kernel}`;
const gateIn = (key: string): string => key.slice(0, key.indexOf(' | '));

/** One figure of each kernel: launches of several models share a kernel's row, and each counts. */
export function missesOf(figures: readonly Figure[]): Misses {
  const misses: Misses = new Map();
  for (const figure of figures) {
    if (passes(figure)) continue;
    const { gate, gpu, value } = figure;
    const key = keyOf(gate, figure.kernel);
    const row = misses.get(key) ?? new Map<string, Missed>();
    misses.set(key, row);
    const before = row.get(gpu);
    row.set(gpu, {
      count: (before?.count ?? 0) + 1,
      worst: before ? worseOf(gate, before.worst, value) : value,
    });
  }
  return misses;
}

const round = (value: number): number => Number(value.toFixed(2));
const limitText = (gate: string): string => {
  const { limit, least } = gateOf(gate);
  return `${least ? 'least' : 'most'} ${limit}`;
};
const missedText = (missed: Missed | undefined): string =>
  missed ? `${missed.count} x ${round(missed.worst)}` : '';

/** Rows of cells: gate, limit, kernels, then a cell for each GPU; gates in their order, each said once. */
function rowsOf(misses: Misses, gpus: readonly string[]): string[][] {
  const order = Object.keys(GATES);
  const keys = [...misses.keys()].sort((a, b) => {
    const [first, second] = [order.indexOf(gateIn(a)), order.indexOf(gateIn(b))];
    return first - second || (a < b ? -1 : 1);
  });
  return keys.map((key) => {
    const gate = gateIn(key);
    return [
      gate,
      limitText(gate),
      key.slice(gate.length + 3),
      ...gpus.map((gpu) => missedText(misses.get(key)!.get(gpu))),
    ];
  });
}

export const printedMisses = (misses: Misses, gpus: readonly string[]): string[] =>
  aligned([['gate', 'limit', 'kernel', ...gpus], ...rowsOf(misses, gpus)]);

const HEAD = `# Gates that kernels miss

Written by \`npm run check:gpu -- --write\` ([what this is](gpu-compilers.md)): for each gate, row of kernels and GPU, how many
kernels or launches miss the gate, and the worst figure. What is not here passes. Nothing can be added to this list, and no figure
of it may become worse: the command fails then.
`;

export function keptText(misses: Misses): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const head = ['gate', 'limit', 'kernel', ...GATED];
  return `${[HEAD, row(head), row(head.map(() => '---')), ...rowsOf(misses, GATED).map(row)].join('\n')}\n`;
}

export function readKept(text: string): Misses {
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((part) => part.trim()),
    );
  const [[, , , ...gpus] = [], , ...body] = rows;
  const kept: Misses = new Map();
  for (const [gate, , kernel, ...cells] of body) {
    const found = cells.flatMap((figures, i) => {
      const [count, worst] = figures.split(' x ').map(Number);
      return figures === '' ? [] : [[gpus[i]!, { count: count!, worst: worst! }] as const];
    });
    kept.set(keyOf(gate!, kernel!), new Map(found));
  }
  return kept;
}

/** What is not as it was kept. */
export interface Change {
  key: string;
  gpu: string;
  before: string;
  now: string;
  worse: boolean;
}

/** Changes of gates on the GPUs that were asked; without `all` kernels, only what became worse. */
export function changes(found: Misses, kept: Misses, gpus: readonly string[], all: boolean): Change[] {
  const list: Change[] = [];
  for (const key of new Set([...found.keys(), ...(all ? kept.keys() : [])]))
    for (const gpu of gpus) {
      const [before, now] = [kept.get(key)?.get(gpu), found.get(key)?.get(gpu)];
      if (missedText(before) === missedText(now)) continue;
      const gate = gateIn(key);
      const worse =
        now !== undefined &&
        (!before ||
          now.count > before.count ||
          worseOf(gate, round(now.worst), before.worst) !== before.worst);
      if (worse || all) list.push({ key, gpu, before: missedText(before), now: missedText(now), worse });
    }
  return list;
}

/** What is kept from now on: of what is missed, what was kept before, at its best. */
export function shrunk(found: Misses, kept: Misses): Misses {
  const rows = [...found].map(([key, row]): [string, Map<string, Missed>] => {
    const cells = [...row].flatMap(([gpu, now]): [string, Missed][] => {
      const before = kept.get(key)?.get(gpu);
      if (!before) return [];
      const count = Math.min(now.count, before.count);
      const better = worseOf(gateIn(key), now.worst, before.worst) === before.worst;
      return [[gpu, { count, worst: better ? now.worst : before.worst }]];
    });
    return [key, new Map(cells)];
  });
  return new Map(rows.filter(([, row]) => row.size > 0));
}
