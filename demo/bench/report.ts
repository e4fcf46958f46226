import { quartilesText } from '../../src/bench/summary.ts';
import {
  adapterText,
  type BenchResult,
  blockTimes,
  cautions,
  comparedWith,
  compareWith,
  differ,
  figure,
  GPUS,
  KERNEL_HEAD,
  kernelCells,
  kernelRows,
  kernelTimes,
  PHASES,
  ratioText,
  type SummaryRow,
  summaryOf,
  toCsv,
  toJson,
  toMarkdown,
} from '../../src/bench.ts';
import { el } from '../chat/dom.ts';
import { download } from '../save.ts';
import { tableOf } from '../table.ts';
import { bars, clearPlots, lines, type PlotPoint } from './plots.ts';

/** Kernels that have a bar. */
const MOST_BARS = 8;

/** Shows a result, whole or in the making, in place of what was shown before. */
export function showReport(place: HTMLElement, result: BenchResult): void {
  clearPlots();
  place.hidden = false;
  const notes = cautions(result);
  place.replaceChildren(
    heading(result),
    ...(notes.length ? [el('ul', { class: 'cautions' }, ...notes.map((note) => el('li', {}, note)))] : []),
    el('div', { class: 'plots' }, ...plots(result)),
    ...(result.models.length ? [table(result)] : []),
    ...kernelTables(result, () => showReport(place, result)),
    exportButtons(result),
  );
}

function heading(result: BenchResult): HTMLElement {
  const { adapter } = result;
  const copy = adapter.copyGigabytesPerSecond;
  const facts = [
    adapterText(result),
    browserName(result.runtime),
    new Date(result.date).toLocaleString(),
    `weights ${result.settings.dtype}, KV ${result.settings.kv}`,
    ...(copy === null ? [] : [`plain copy of buffers ${figure(copy, 'GB/s')}`]),
  ];
  // A run that ends early may not have opened its models.
  const names = (['parent', 'child'] as const).map((which, i) =>
    el('span', { class: `key ${which}` }, result.models[i]?.label ?? result.settings[which]),
  );
  return el(
    'div',
    {},
    el('h2', {}, 'Results'),
    el('div', { class: 'facts' }, ...names),
    el('div', { class: 'facts' }, ...facts.map((fact) => el('span', {}, fact))),
  );
}

/** The browser of a user agent, in short. */
function browserName(agent: string): string {
  const [, name, version] = /(Firefox|Edg|HeadlessChrome|Chrome|Version)\/(\d+)/.exec(agent) ?? [];
  if (name === undefined) return agent;
  return `${name === 'Version' ? 'Safari' : name === 'Edg' ? 'Edge' : name} ${version}`;
}

function plots(result: BenchResult): HTMLElement[] {
  const [parent, child] = result.models;
  const out: HTMLElement[] = [];
  const spread = <T extends { model: 0 | 1; ms: { median: number; q1: number; q3: number } }>(
    points: readonly T[],
    x: (point: T) => number,
  ): PlotPoint[] =>
    points.map((point) => ({
      model: point.model,
      x: x(point),
      y: point.ms.median,
      low: point.ms.q1,
      high: point.ms.q3,
    }));
  const quartiles = 'median and quartiles';
  if (result.decode.length > 0)
    out.push(
      lines(
        'Latency of a token against context',
        quartiles,
        'position in the context',
        'ms a token',
        spread(result.decode, ({ position }) => position),
      ),
    );
  if (result.prompts.length > 0)
    out.push(
      lines(
        'Time to the first token',
        quartiles,
        'prompt, tokens',
        'ms',
        spread(result.prompts, ({ tokens }) => tokens),
      ),
    );
  if (parent && child)
    out.push(
      bars(
        'Memory on the GPU',
        `counted; KV cache for ${parent.context} tokens`,
        'MB',
        [
          { label: 'weights', pair: [parent.bytes.weights / 1e6, child.bytes.weights / 1e6] },
          { label: 'KV cache', pair: [parent.bytes.kv / 1e6, child.bytes.kv / 1e6] },
          { label: 'scratch', pair: [parent.bytes.scratch / 1e6, child.bytes.scratch / 1e6] },
        ],
        'what it is for',
      ),
    );
  if (result.batches.length > 0)
    out.push(
      lines(
        'Throughput against batch',
        `of all sequences, at position ${result.batchPosition}; ${quartiles}`,
        'sequences at once',
        'tokens/s',
        result.batches.map(({ model, batch, ms }) => ({
          model,
          x: batch,
          y: (1000 * batch) / ms.median,
          low: (1000 * batch) / ms.q3,
          high: (1000 * batch) / ms.q1,
        })),
      ),
    );
  for (const [phase, words] of [
    ['decode', 'of a token'],
    ['prompt', 'of a prompt'],
  ] as const) {
    const kernels = kernelTimes(result, phase);
    if (kernels.length === 0) continue;
    const milli = (pair: [number, number]): [number, number] => [pair[0] / 1000, pair[1] / 1000];
    out.push(
      bars(
        `GPU time ${words} by kernel`,
        'each kernel in a pass of its own',
        'ms',
        few(kernels).map(({ kernel, pair }) => ({ label: kernel, pair: milli(pair) })),
        'kernel',
      ),
      bars(
        `GPU time ${words} by block`,
        'each kernel in a pass of its own; – is outside the blocks',
        'ms',
        blockTimes(result, phase).map(({ block, pair }) => ({
          label: block === null ? '–' : String(block),
          pair: milli(pair),
        })),
        'block',
      ),
    );
  }
  return out;
}

type KernelTimes = ReturnType<typeof kernelTimes>;

/** As many kernels as there is room for; the last stands for those that take least. */
function few(kernels: KernelTimes): KernelTimes {
  if (kernels.length <= MOST_BARS) return kernels;
  const shown = kernels.slice(0, MOST_BARS - 1);
  const rest = kernels.slice(MOST_BARS - 1);
  const sum = (which: 0 | 1): number => rest.reduce((total, { pair }) => total + pair[which], 0);
  return [...shown, { kernel: `${rest.length} others`, pair: [sum(0), sum(1)] }];
}

/** Whether a smaller value of a row is the better one. */
const lessIsBetter = ({ unit }: SummaryRow): boolean => unit === 'ms' || unit === 'bytes' || unit === 'count';

function table(result: BenchResult): HTMLElement {
  const value = (row: SummaryRow, which: 'parent' | 'child'): HTMLTableCellElement => {
    const range = quartilesText(row, which, ' – ');
    return el('td', {}, figure(row[which], row.unit), ...(range ? [el('small', {}, range)] : []));
  };
  const ratio = (row: SummaryRow): HTMLTableCellElement => {
    const plain = row.unit === 'GB/s' || !differ(row);
    const better = row.ratio < 1 === lessIsBetter(row);
    return el('td', { class: plain ? '' : better ? 'less' : 'more-than' }, ratioText(row));
  };
  return el(
    'div',
    { class: 'table' },
    tableOf(
      ['', 'Parent', 'Child', 'Child / parent'],
      summaryOf(result).map((row) => [row.what, value(row, 'parent'), value(row, 'child'), ratio(row)]),
      `Times are medians, quartiles below; a ratio is in colour where the quartiles lie apart. Memory and counts are counted, not timed. GPU time by kernel: ${result.profileNote} Training: ${result.trainingNote}`,
    ),
  );
}

/** What each kernel took against what it should, on a GPU that the browser tells or its user chooses. */
function kernelTables(result: BenchResult, changed: () => void): HTMLElement[] {
  if (result.profile.length === 0) return [];
  const { gpu } = result.adapter;
  const names = ['', ...GPUS.map(({ name }) => name)];
  const choose = el(
    'select',
    {
      id: 'compare',
      change: () => {
        compareWith(result, choose.value || null);
        changed();
      },
    },
    ...names.map((name) =>
      el('option', { value: name, selected: name === (gpu ?? '') }, name || 'none: not in this list'),
    ),
  );
  const tables = PHASES.flatMap(([phase, words]) => {
    const rows = kernelRows(result, phase);
    if (rows.length === 0) return [];
    const head = KERNEL_HEAD.map((text) => text[0]!.toUpperCase() + text.slice(1));
    return [tableOf(head, rows.map(kernelCells), `GPU time of ${words} by kernel, parent / child.`)];
  });
  return [
    el(
      'div',
      { class: 'kernels' },
      el('h3', {}, 'Kernels, measured against expected'),
      el('label', { class: 'field' }, el('span', {}, 'This GPU is '), choose),
      el(
        'p',
        {},
        `${comparedWith(result)} Bytes and sums are counted; each kernel ran in a pass of its own.`,
      ),
      ...tables,
    ),
  ];
}

function exportButtons(result: BenchResult): HTMLElement {
  const name = `shishulm-bench-${result.date.slice(0, 19).replaceAll(':', '-')}`;
  const button = (
    label: string,
    id: string,
    ending: string,
    type: string,
    text: (of: BenchResult) => string,
  ): HTMLElement => {
    const click = (): void => void download([new File([text(result)], `${name}.${ending}`, { type })]);
    return el('button', { type: 'button', id, click }, label);
  };
  return el(
    'div',
    { class: 'exports' },
    button('Save JSON', 'save-json', 'json', 'application/json', toJson),
    button('Save CSV', 'save-csv', 'csv', 'text/csv', toCsv),
    button('Save Markdown', 'save-markdown', 'md', 'text/markdown', toMarkdown),
  );
}
