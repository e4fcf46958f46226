// Two results side by side: of two machines, two browsers, or before and after a change.
import { ShishuError } from '../errors.ts';
import { isObject } from '../formats/json.ts';
import { markdownTable } from '../markdown.ts';
import type { BenchResult } from './result.ts';
import { adapterText, figure, type SummaryRow, summaryOf } from './summary.ts';

/** One model's value in both results. */
export interface ComparedValue {
  first: number;
  second: number;
  /** second / first. */
  ratio: number;
  /** They differ by more than the noise of the runs: their quartiles lie apart. */
  differ: boolean;
}

/** A quantity that both results have. */
export interface ComparedRow extends Pick<SummaryRow, 'what' | 'unit'> {
  parent: ComparedValue;
  child: ComparedValue;
}

export interface Comparison {
  rows: ComparedRow[];
  /** Quantities that one result alone has. */
  only: { first: string[]; second: string[] };
}

const LISTS = ['models', 'prompts', 'decode', 'batches', 'profile', 'training', 'disturbed'] as const;

/** A result from the JSON that it was saved as. @throws ShishuError `bad-argument` for what is none */
export function resultFromJson(name: string, text: string): BenchResult {
  const refuse = (what: string, cause?: unknown): never => {
    throw new ShishuError('bad-argument', `${name} is no saved result of the benchmark: ${what}.`, {
      details: { file: name },
      mend: 'Choose a file that “Save JSON” wrote.',
      cause,
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return refuse((cause as Error).message, cause);
  }
  if (!isObject(value) || value.format !== 'shishulm-bench-1') return refuse('its format is another');
  const { adapter, settings } = value;
  const missing = LISTS.find((list) => !Array.isArray(value[list]));
  if (missing !== undefined || !isObject(adapter) || !isObject(settings))
    return refuse(`it has no ${missing ?? 'adapter or settings'}`);
  const result = value as unknown as BenchResult;
  if (!result.models.every((model) => isObject(model) && typeof model.label === 'string'))
    return refuse('figures are missing');
  try {
    adapterText(result);
    for (const row of summaryOf(result)) figure(row.parent + row.child, row.unit);
  } catch (cause) {
    return refuse('figures are missing', cause);
  }
  return result;
}

/** Which models and machine a result is of, for people. */
export const resultText = (result: BenchResult): string => {
  const { models, settings } = result;
  const [parent, child] = [models[0]?.label ?? settings.parent, models[1]?.label ?? settings.child];
  return `${parent} against ${child}, ${adapterText(result)}`;
};

const apart = (a: readonly [number, number], b: readonly [number, number]): boolean =>
  a[1] < b[0] || b[1] < a[0];

function compared(a: SummaryRow, b: SummaryRow, which: 'parent' | 'child'): ComparedValue {
  const [first, second] = [a[which], b[which]];
  const ratio = second / first;
  const differ =
    a.quartiles && b.quartiles ? apart(a.quartiles[which], b.quartiles[which]) : Math.abs(ratio - 1) >= 0.005;
  return { first, second, ratio, differ };
}

/** What two results both have, in the order of the first. */
export function compareResults(first: BenchResult, second: BenchResult): Comparison {
  const [ours, theirs] = [first, second].map((result) => {
    const rows = summaryOf(result);
    return new Map(rows.map((row) => [row.what, row]));
  }) as [Map<string, SummaryRow>, Map<string, SummaryRow>];
  const rows = [...ours.values()].flatMap((row): ComparedRow[] => {
    const other = theirs.get(row.what);
    if (other?.unit !== row.unit) return [];
    const { what, unit } = row;
    return [{ what, unit, parent: compared(row, other, 'parent'), child: compared(row, other, 'child') }];
  });
  const missing = (from: Map<string, SummaryRow>, other: Map<string, SummaryRow>): string[] =>
    [...from.keys()].filter((what) => !other.has(what));
  return { rows, only: { first: missing(ours, theirs), second: missing(theirs, ours) } };
}

/** second / first, for people. */
export const comparedText = ({ ratio }: ComparedValue): string =>
  Number.isFinite(ratio) ? ratio.toFixed(3) : '–';

export const COMPARED_HEAD = [
  '',
  'parent, A',
  'parent, B',
  'B / A',
  'child, A',
  'child, B',
  'B / A',
] as const;

/** The comparison as a table to paste. */
export function comparisonMarkdown(first: BenchResult, second: BenchResult): string {
  const { rows } = compareResults(first, second);
  const cells = (value: ComparedValue, unit: SummaryRow['unit']): string[] => [
    figure(value.first, unit),
    figure(value.second, unit),
    `${comparedText(value)}${value.differ ? '' : ' (no difference)'}`,
  ];
  return `${[
    `- A: ${resultText(first)}, ${first.date}`,
    `- B: ${resultText(second)}, ${second.date}`,
    '',
    ...markdownTable(
      [...COMPARED_HEAD],
      rows.map(({ what, unit, parent, child }) => [what, ...cells(parent, unit), ...cells(child, unit)]),
    ),
  ].join('\n')}\n`;
}
