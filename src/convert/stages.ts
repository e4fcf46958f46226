// A conversion's stages side by side: what the model is worth at each, and what it takes.
import type { Spread } from '../bench/stats.ts';
import { markdownTable } from '../markdown.ts';
import { kvBytesPerToken, type ModelSpec, parameterCount, planOf } from '../model/spec.ts';
import type { Quality } from './quality.ts';

/** What a model takes. */
export interface ModelSize {
  parameters: number;
  /** As stored. */
  weightBytes: number;
  /** f32. */
  kvBytesPerToken: number;
}

/** A model on the way from the parent, the first, to the child, the last; as in `report.json`. */
export interface StageReport extends ModelSize {
  step: string;
  /** Of the held-out text. */
  perplexity: number;
  quality: Quality;
  /** ms of a decoded token on this machine, where it was measured. */
  decode?: Spread;
}

/** What a model takes whose weights are stored in so many bytes each. */
export function modelSize(spec: ModelSpec, bytesOfWeight: number): ModelSize {
  const parameters = parameterCount(spec);
  return {
    parameters,
    weightBytes: bytesOfWeight * parameters,
    kvBytesPerToken: kvBytesPerToken(spec, planOf(spec), 4),
  };
}

const MEGABYTE = 1e6;

/** A change in percent, with its sign. */
export const percentText = (from: number, to: number): string => {
  const percent = (100 * (to - from)) / from;
  return `${percent > 0 ? '+' : ''}${percent.toFixed(1)} %`;
};

/** Columns: their heads, and their cells against the parent's. */
const COLUMNS: readonly [head: string, cell: (stage: StageReport, parent: StageReport) => string][] = [
  ['perplexity', (stage, parent) => changed(stage.quality.heldOut, parent.quality.heldOut, stage === parent)],
  ['other text', (stage, parent) => changed(stage.quality.other, parent.quality.other, stage === parent)],
  ['recall', ({ quality: { recall } }) => (recall ? recall.accuracy.toFixed(3) : '')],
  ['recall, nats', ({ quality: { recall } }) => (recall ? recall.nats.toFixed(3) : '')],
  ["parent's tokens", ({ quality: { agreement } }) => (agreement ? agreement.same.toFixed(3) : '')],
  ['answers, nats', ({ quality: { agreement } }) => (agreement ? agreement.nats.toFixed(3) : '')],
  ['MB', ({ weightBytes }) => (weightBytes / MEGABYTE).toFixed(1)],
  ['KV bytes a token', ({ kvBytesPerToken }) => String(kvBytesPerToken)],
  ['ms a token', ({ decode }) => (decode ? decode.median.toFixed(2) : '')],
];

function changed(
  { perplexity }: { perplexity: number },
  parent: { perplexity: number },
  alone: boolean,
): string {
  return alone
    ? perplexity.toFixed(2)
    : `${perplexity.toFixed(2)} (${percentText(parent.perplexity, perplexity)})`;
}

/** The stages as a table in Markdown; columns of which nothing is known are left out. */
export function stageTable(stages: readonly StageReport[]): string {
  const [parent] = stages;
  if (!parent) return '';
  const cells = COLUMNS.map(([head, cell]) => [head, ...stages.map((stage) => cell(stage, parent))]).filter(
    ([, ...column]) => column.some((text) => text !== ''),
  );
  return markdownTable(
    ['', ...cells.map(([head]) => head!)],
    stages.map(({ step }, i) => [step, ...cells.map((column) => column[i + 1]!)]),
  ).join('\n');
}

/** What the columns of the table are. */
export function stageNotes([parent]: readonly StageReport[]): string {
  if (!parent) return '';
  const { heldOut, other, recall, agreement } = parent.quality;
  return [
    `perplexity: on ${heldOut.tokens} tokens of held-out text; other text: on ${other.tokens} tokens of text of another kind.`,
    ...(recall
      ? [
          `Recall: lists of words that come twice; the share of ${recall.tokens} tokens of the second time that are the likeliest, and their nats.`,
        ]
      : []),
    ...(agreement
      ? [
          `Answers: the parent's greedy ones to ${agreement.questions} questions, ${agreement.tokens} tokens; the share that is the likeliest here too, and their nats.`,
        ]
      : []),
  ].join('\n');
}
