// Tables of what compilers made of kernels: the one that is printed, and the one of spills that the repository keeps.
import type { Compiled } from './driver.ts';

/** By kernel and GPU; of texts that differ by a model's sizes alone, the worst. */
export type Results = Map<string, Map<string, Compiled>>;

const larger = (a: number | undefined, b: number | undefined) =>
  a === undefined ? b : b === undefined ? a : Math.max(a, b);

/** The worse of two in each figure. */
function worse(a: Compiled, b: Compiled): Compiled {
  const most = { ...a };
  for (const key of Object.keys(b) as (keyof Compiled)[]) most[key] = larger(a[key], b[key])!;
  most.flight = Math.min(a.flight, b.flight);
  if (a.waves !== undefined && b.waves !== undefined) most.waves = Math.min(a.waves, b.waves);
  return most;
}

export function addResult(results: Results, kernel: string, gpu: string, compiled: Compiled): void {
  const row = results.get(kernel) ?? new Map<string, Compiled>();
  results.set(kernel, row);
  const before = row.get(gpu);
  row.set(gpu, before ? worse(before, compiled) : compiled);
}

const fits = ({ spills, scratch }: Compiled): boolean => spills === 0 && scratch === 0;

/** Registers, vector instructions a multiply-add, loads in flight; then what did not fit. */
function cell(compiled: Compiled | undefined): string {
  if (!compiled) return '';
  const { registers, perMultiplyAdd, flight, spills, scratch } = compiled;
  const usual = `${registers} ${perMultiplyAdd?.toFixed(1) ?? '-'} ${flight}`;
  return fits(compiled) ? usual : `${usual} !${spills}/${scratch}`;
}

/** Lines of a table, kernel by GPU. */
export function printed(results: Results, gpus: readonly string[]): string[] {
  const rows = [
    ['kernel', ...gpus],
    ...[...results].map(([kernel, row]) => [kernel, ...gpus.map((gpu) => cell(row.get(gpu)))]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}

/** Spills and scratch, by kernel and GPU, of kernels that have any. */
export type Kept = Map<string, Map<string, { spills: number; scratch: number }>>;

export function spilling(results: Results): Kept {
  const kept: Kept = new Map();
  for (const [kernel, row] of results) {
    const bad = [...row].filter(([, compiled]) => !fits(compiled));
    if (bad.length > 0)
      kept.set(kernel, new Map(bad.map(([gpu, { spills, scratch }]) => [gpu, { spills, scratch }])));
  }
  return kept;
}

const HEAD = `# Kernels that do not fit in registers

Written by \`npm run check:gpu -- --write\`: for each kernel and GPU, registers spilled / bytes of scratch memory a thread
([what this is](gpu-compilers.md)). A kernel that is not here keeps all that it computes with in registers, on every GPU.
`;

export function keptText(kept: Kept, gpus: readonly string[]): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const sorted = [...kept].sort(([a], [b]) => (a < b ? -1 : 1));
  const figures = (found: { spills: number; scratch: number } | undefined): string =>
    found ? `${found.spills} / ${found.scratch}` : '';
  return `${[
    HEAD,
    row(['kernel', ...gpus]),
    row(['---', ...gpus.map(() => '---')]),
    ...sorted.map(([kernel, found]) => row([kernel, ...gpus.map((gpu) => figures(found.get(gpu)))])),
  ].join('\n')}\n`;
}

export function readKept(text: string): Kept {
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((part) => part.trim()),
    );
  const [[, ...gpus] = [], , ...body] = rows;
  const kept: Kept = new Map();
  for (const [kernel, ...cells] of body) {
    const found = cells.flatMap((figures, i) => {
      const [spills, scratch] = figures.split(' / ').map(Number);
      return figures === '' ? [] : [[gpus[i]!, { spills: spills!, scratch: scratch! }] as const];
    });
    kept.set(kernel!, new Map(found));
  }
  return kept;
}

/** A kernel that fits worse, or better, than it did on a GPU. */
export interface Change {
  kernel: string;
  gpu: string;
  before: string;
  now: string;
  worse: boolean;
}

const NONE = { spills: 0, scratch: 0 };

/** What is not as it was kept, of the kernels and GPUs that there are results of. */
export function changes(results: Results, kept: Kept): Change[] {
  const found: Change[] = [];
  for (const [kernel, row] of results)
    for (const [gpu, compiled] of row) {
      const before = kept.get(kernel)?.get(gpu) ?? NONE;
      const { spills, scratch } = compiled;
      if (spills === before.spills && scratch === before.scratch) continue;
      const text = (of: typeof NONE): string => `${of.spills} / ${of.scratch}`;
      const worse = spills > before.spills || scratch > before.scratch;
      found.push({ kernel, gpu, before: text(before), now: text(compiled), worse });
    }
  return found;
}
