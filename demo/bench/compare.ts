// Results that are there, kept ones and files, and two of them side by side.
import {
  type BenchResult,
  COMPARED_HEAD,
  type ComparedRow,
  type ComparedValue,
  comparedText,
  compareResults,
  comparisonMarkdown,
  figure,
  resultFromJson,
  resultText,
  type Which,
} from '../../src/bench.ts';
import { ShishuError } from '../../src/errors.ts';
import { announce, byId, el } from '../chat/dom.ts';
import { listenForDrops } from '../chat/drop.ts';
import { attempt, showError } from '../chat/notices.ts';
import { download } from '../save.ts';
import { tableOf } from '../table.ts';
import { forgetResults, keptResults } from './kept.ts';
import { lines, type PlotPoint } from './plots.ts';

/** What the list asks of the page. */
export interface ResultEvents {
  show(result: BenchResult): void;
  compare(first: BenchResult, second: BenchResult): void;
}

const dateText = (result: BenchResult): string => new Date(result.date).toLocaleString();

/** The list of results that this browser keeps, and the files that are compared. */
export class ResultList {
  readonly #place = byId('results-list', HTMLUListElement);
  readonly #section = byId('results', HTMLElement);
  readonly #compare = byId('compare-two', HTMLButtonElement);
  readonly #events: ResultEvents;
  #kept: BenchResult[] = [];
  /** Results of files; as long as the page is open. */
  #files: { name: string; result: BenchResult }[] = [];
  /** Results to compare, in the order in which they were marked. */
  #marked: BenchResult[] = [];

  constructor(events: ResultEvents) {
    this.#events = events;
    const input = byId('result-files', HTMLInputElement);
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])];
      input.value = '';
      void attempt(() => this.#take(files));
    });
    listenForDrops((_, source) => {
      void attempt(() => this.#take(Array.isArray(source) ? (source as File[]) : []));
    }, showError);
    this.#compare.addEventListener('click', () => this.#compareMarked());
    byId('forget-results', HTMLButtonElement).addEventListener('click', () =>
      attempt(async () => {
        await forgetResults();
        await this.refresh();
        announce('All kept results are deleted.');
      }),
    );
    void this.refresh();
  }

  async refresh(): Promise<void> {
    this.#kept = await keptResults();
    const dates = new Set([...this.#kept, ...this.#files.map(({ result }) => result)]);
    // What was read anew is another object.
    this.#marked = this.#marked.flatMap(
      (marked) => [...dates].find(({ date }) => date === marked.date) ?? [],
    );
    this.#draw();
  }

  /** Two files are compared at once; one is listed. */
  async #take(files: readonly File[]): Promise<void> {
    if (files.length === 0)
      throw new ShishuError('bad-argument', 'That is no file.', {
        mend: 'Drop files that “Save JSON” wrote.',
      });
    const taken = await Promise.all(
      files.map(async (file) => ({ name: file.name, result: resultFromJson(file.name, await file.text()) })),
    );
    const names = new Set(taken.map(({ name }) => name));
    this.#files = [...this.#files.filter(({ name }) => !names.has(name)), ...taken];
    this.#marked = [...this.#marked, ...taken.map(({ result }) => result)].slice(-2);
    this.#draw();
    if (taken.length > 1) this.#compareMarked();
  }

  #compareMarked(): void {
    const [first, second] = this.#marked;
    if (first && second) this.#events.compare(first, second);
  }

  #draw(): void {
    this.#section.hidden = this.#kept.length + this.#files.length === 0;
    byId('forget-results', HTMLButtonElement).hidden = this.#kept.length === 0;
    this.#compare.disabled = this.#marked.length !== 2;
    const forgetFile = (name: string) => async (): Promise<void> => {
      this.#files = this.#files.filter((file) => file.name !== name);
      await this.refresh();
    };
    const forgetKept = (date: string) => async (): Promise<void> => {
      await forgetResults(date);
      await this.refresh();
    };
    this.#place.replaceChildren(
      ...this.#files.map(({ name, result }) => this.#row(result, `file ${name}`, forgetFile(name))),
      ...this.#kept.map((result) => this.#row(result, 'kept here', forgetKept(result.date))),
    );
  }

  #row(result: BenchResult, from: string, forget: () => Promise<void>): HTMLElement {
    const at = this.#marked.indexOf(result);
    const text = `${resultText(result)}, ${dateText(result)}`;
    const mark = el('input', {
      type: 'checkbox',
      'aria-label': `Compare ${text}`,
      change: () => {
        // The third drops the first.
        this.#marked = mark.checked
          ? [...this.#marked, result].slice(-2)
          : this.#marked.filter((other) => other !== result);
        this.#draw();
      },
    });
    mark.checked = at >= 0;
    const button = (label: string, run: () => Promise<void> | void): HTMLElement =>
      el(
        'button',
        { type: 'button', class: 'quiet', 'aria-label': `${label}: ${text}`, click: () => void attempt(run) },
        label,
      );
    return el(
      'li',
      {},
      mark,
      el('span', { dir: 'auto' }, at < 0 ? '' : `${'AB'[at]}: `, resultText(result)),
      el('small', { dir: 'auto' }, `${dateText(result)}, ${from}`),
      button('Show', () => this.#events.show(result)),
      el('a', { href: `#${new URLSearchParams(result.settings)}` }, 'Its settings'),
      button('Delete', forget),
    );
  }
}

/** Shows two results side by side, in place of what was shown before. */
export function showComparison(place: HTMLElement, first: BenchResult, second: BenchResult): void {
  const { rows, only } = compareResults(first, second);
  const both = [first, second] as const;
  const names = both.map((result, i) =>
    el(
      'span',
      { class: `key ${['parent', 'child'][i]}`, dir: 'auto' },
      `${'AB'[i]}: ${resultText(result)}, ${dateText(result)}`,
    ),
  );
  const missing = (['first', 'second'] as const).flatMap((which, i) =>
    only[which].length > 0 ? [`Only ${'AB'[i]} has: ${only[which].join('; ')}.`] : [],
  );
  const click = (): void =>
    void download([
      new File([comparisonMarkdown(first, second)], 'shishulm-bench-comparison.md', {
        type: 'text/markdown',
      }),
    ]);
  place.hidden = false;
  place.replaceChildren(
    el('div', {}, el('h2', {}, 'A against B'), el('div', { class: 'facts' }, ...names)),
    ...(missing.length > 0
      ? [el('ul', { class: 'cautions' }, ...missing.map((text) => el('li', {}, text)))]
      : []),
    el('div', { class: 'plots' }, ...comparedPlots(first, second)),
    el(
      'div',
      { class: 'table', tabindex: '0', role: 'region', 'aria-label': 'A against B' },
      tableOf(
        COMPARED_HEAD.map((text) => text.charAt(0).toUpperCase() + text.slice(1)),
        rows.map((row) => [row.what, ...cells(row, row.parent), ...cells(row, row.child)]),
        'Medians; a ratio is in colour where the quartiles of the two lie apart: of A’s colour where A is better, of B’s where B is.',
      ),
    ),
    el(
      'div',
      { class: 'exports' },
      el('button', { type: 'button', id: 'save-comparison', click }, 'Save Markdown'),
    ),
  );
}

function cells({ unit }: ComparedRow, value: ComparedValue): HTMLTableCellElement[] {
  const less = unit === 'ms' || unit === 'bytes' || unit === 'count';
  const better = value.ratio < 1 === less;
  const shown = value.differ ? (better ? 'less' : 'more-than') : '';
  return [
    el('td', {}, figure(value.first, unit)),
    el('td', {}, figure(value.second, unit)),
    el('td', { class: shown }, comparedText(value)),
  ];
}

/** Latency and throughput of each model, A in the first colour and B in the second. */
function comparedPlots(first: BenchResult, second: BenchResult): HTMLElement[] {
  const pointsOf = <T extends { model: Which; ms: { median: number; q1: number; q3: number } }>(
    list: (result: BenchResult) => readonly T[],
    model: Which,
    x: (point: T) => number,
  ): PlotPoint[] =>
    [first, second].flatMap((result, i) =>
      list(result)
        .filter((point) => point.model === model)
        .map((point) => ({
          model: i as Which,
          x: x(point),
          y: point.ms.median,
          low: point.ms.q1,
          high: point.ms.q3,
        })),
    );
  const note = 'A and B, median and quartiles';
  return ([0, 1] as const).flatMap((model) => {
    const name = ['the parent', 'the child'][model];
    const decode = pointsOf(
      ({ decode }) => decode,
      model,
      ({ position }) => position,
    );
    const prompts = pointsOf(
      ({ prompts }) => prompts,
      model,
      ({ tokens }) => tokens,
    );
    return [
      ...(decode.length > 0
        ? [lines(`A token of ${name}`, note, 'position in the context', 'ms a token', decode)]
        : []),
      ...(prompts.length > 0 ? [lines(`First token of ${name}`, note, 'prompt, tokens', 'ms', prompts)] : []),
    ];
  });
}
