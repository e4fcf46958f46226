import { type Analysis, type BlockReport, columnsOf } from '../../src/convert/analyze.ts';
import { type ConvertReport, healingText, speedText, stackText } from '../../src/convert/report.ts';
import { percentText, type StageReport, stageNotes } from '../../src/convert/stages.ts';
import { layersText } from '../../src/convert/target.ts';
import { bars, clearPlots, lines, type PlotPoint } from '../bench/plots.ts';
import { el } from '../chat/dom.ts';
import { bytes } from '../chat/format.ts';
import { tableOf } from '../table.ts';
import type { Analysed } from './worker.ts';

const table = (caption: string, ...of: Parameters<typeof tableOf>): HTMLElement =>
  el(
    'div',
    { class: 'table', tabindex: '0', role: 'region', 'aria-label': caption },
    tableOf(of[0], of[1], caption),
  );

/** Two bars with the names of their colours. */
const key = (first: string, second: string): HTMLElement =>
  el(
    'span',
    { class: 'facts' },
    el('span', { class: 'key parent' }, first),
    el('span', { class: 'key child' }, second),
  );

function pictures({ perplexity, blocks }: Analysis): HTMLElement {
  const rows = (pair: (block: BlockReport) => readonly [number] | readonly [number, number]) =>
    blocks.map((block) => ({ label: String(block.layer), pair: pair(block) }));
  const more = (value: number): number => (100 * (value - perplexity)) / perplexity;
  return el(
    'div',
    { class: 'plots' },
    bars(
      'How linear a block’s attention is',
      key('R² of the linear map', 'cosine to the attention'),
      'R², cosine',
      rows(({ r2, cosine }) => [r2, cosine]),
      'block',
    ),
    bars(
      'What is lost without it',
      key('dropped', 'with the linear map'),
      '% more perplexity',
      rows(({ perplexity: { skip, linear } }) => [more(skip), more(linear)]),
      'block',
    ),
    bars(
      'How much it changes its input',
      '1 - cos(x, x + attention)',
      'block influence',
      rows(({ blockInfluence }) => [blockInfluence]),
      'block',
    ),
    ...(blocks.some(({ time }) => time)
      ? [
          bars(
            'GPU time of one token',
            key('attention', 'linear map'),
            'µs',
            rows(({ time }) => [time!.attention, time!.map]),
            'block',
          ),
        ]
      : []),
    bars(
      'Bytes it takes',
      key('weights of the attention', 'of the linear map'),
      'kB',
      rows(({ bytes: { attention, map } }) => [attention / 1000, map / 1000]),
      'block',
    ),
  );
}

/** Shows an analysis: figures, a picture and a row for each block. */
export function showAnalysis(place: HTMLElement, label: string, found: Analysed): void {
  const { analysis, layers, hiddenSize, dtype } = found;
  const { tokens, window, timeNote, perplexity, blocks, order } = analysis;
  const facts = [
    `${layers} blocks`,
    `hidden size ${hiddenSize}`,
    `stored as ${dtype}`,
    `perplexity ${perplexity.toFixed(3)} on ${tokens.test} test tokens in windows of ${window}`,
    `maps fitted to ${tokens.calibration} tokens, chosen by ${tokens.choosing}`,
  ];
  const columns = columnsOf(analysis, bytes);
  clearPlots();
  place.replaceChildren(
    el(
      'div',
      {},
      el('h2', { dir: 'auto' }, label),
      el('div', { class: 'facts' }, ...facts.map((fact) => el('span', {}, fact))),
    ),
    pictures(analysis),
    table(
      'On text that nothing was fitted to. R² leaves the residual out; “from n” is of tokens at that place of their window and after.',
      columns.map(([name]) => name),
      blocks.map((block) => columns.map(([, cell]) => cell(block))),
    ),
    el(
      'p',
      { class: 'hint' },
      `${timeNote} From the least missed to the most: dropped ${order.skip.join(' ')}; linear ${order.linear.join(' ')}.`,
    ),
  );
  place.hidden = false;
}

/** Cells of the table of stages: a head, and what is in it of a stage. */
const COLUMNS: readonly [head: string, cell: (stage: StageReport, parent: StageReport) => string][] = [
  ['Perplexity, text', ({ quality }, { quality: parent }) => against(quality.heldOut, parent.heldOut)],
  ['Other text', ({ quality }, { quality: parent }) => against(quality.other, parent.other)],
  ['Recall', ({ quality: { recall } }) => (recall ? recall.accuracy.toFixed(3) : '')],
  ['Agreement', ({ quality: { agreement } }) => (agreement ? agreement.same.toFixed(3) : '')],
  ['Weights', ({ weightBytes }) => bytes(weightBytes)],
  ['KV a token', ({ kvBytesPerToken }) => bytes(kvBytesPerToken)],
  ['ms a token', ({ decode }) => (decode ? decode.median.toFixed(2) : '')],
];

/** Of text that a model has never seen the like of, perplexity is of no use but for its size. */
const short = (perplexity: number): string =>
  perplexity < 1e5 ? perplexity.toFixed(2) : perplexity.toExponential(1);

const against = (stage: { perplexity: number }, parent: { perplexity: number }): string =>
  stage === parent
    ? short(stage.perplexity)
    : `${short(stage.perplexity)} (${percentText(parent.perplexity, stage.perplexity)})`;

function stageTable(steps: readonly StageReport[]): HTMLElement {
  const parent = steps[0]!;
  const columns = COLUMNS.filter(([, cell]) => steps.some((step) => cell(step, parent) !== ''));
  return table(
    stageNotes(steps).replaceAll('\n', ' '),
    ['Stage', ...columns.map(([head]) => head)],
    steps.map((stage) => [stage.step, ...columns.map(([, cell]) => cell(stage, parent))]),
  );
}

/** What was found on the way, as plots; colours are those of this moment. */
function resultPlots({ choice, healing, steps }: ConvertReport): HTMLElement {
  const child = (xs: readonly (readonly [number, number])[]): PlotPoint[] =>
    xs.map(([x, y]) => ({ model: 1, x, y, low: y, high: y }));
  const curve = healing?.curve ?? [];
  const held = curve.flatMap(({ tokens, heldOut }): [number, number][] =>
    heldOut === undefined ? [] : [[tokens, heldOut]],
  );
  return el(
    'div',
    { class: 'plots' },
    bars(
      'Perplexity at each stage',
      'on text that nothing was fitted to or trained on',
      'perplexity',
      steps.map(({ step, perplexity }) => ({ label: step, pair: [perplexity] as const })),
      'stage',
    ),
    ...(choice && choice.chosen.length > 1
      ? [
          lines(
            'What each lost block costs',
            `in this order: ${choice.chosen.map(({ layer }) => layer).join(', ')}`,
            'blocks without attention',
            'nats a token over the parent',
            child([
              [0, 0],
              ...choice.chosen.map(({ nats }, i) => [i + 1, nats - choice.parent.nats] as const),
            ]),
          ),
        ]
      : []),
    ...(curve.length > 1
      ? [
          lines(
            'Loss of healing',
            'nats a token; with KL 1 it is that to the parent’s logits',
            'tokens trained on',
            'nats a token',
            child(curve.map(({ tokens, loss }) => [tokens, loss])),
          ),
        ]
      : []),
    ...(held.length > 1
      ? [
          lines(
            'Loss on held-out text',
            'cross-entropy of text that is never trained on',
            'tokens trained on',
            'nats a token',
            child(held),
          ),
        ]
      : []),
  );
}

/** Shows what a conversion did, and what can be done with the child. */
export function showConverted(
  place: HTMLElement,
  name: string,
  report: ConvertReport,
  ...actions: readonly HTMLElement[]
): void {
  const { layers, steps, healing, parameters, weightBytes, kvBytesPerToken } = report;
  const pair = (
    what: string,
    { parent, child }: { parent: number; child: number },
    show: (value: number) => string,
  ) => [what, show(parent), show(child), percentText(parent, child)];
  const healings = healing ? [healing, ...(healing.earlier ?? [])].reverse() : [];
  clearPlots();
  place.replaceChildren(
    el(
      'div',
      {},
      el('h2', { dir: 'auto' }, name),
      el(
        'div',
        { class: 'facts' },
        el('span', {}, stackText(report)),
        el('span', {}, `layers ${layersText(layers)} lost their attention`),
      ),
    ),
    stageTable(steps),
    resultPlots(report),
    table(
      'Counted',
      ['', 'Parent', 'Child', 'Change'],
      [
        pair('Parameters', parameters, (value) => value.toLocaleString('en')),
        pair('Weights as stored', weightBytes, bytes),
        pair('KV cache a token (f32)', kvBytesPerToken, bytes),
      ],
    ),
    ...healings.map((each) => el('p', { class: 'hint' }, healingText(each))),
    el('p', { class: 'hint' }, speedText(report.speed)),
    ...actions,
  );
  place.hidden = false;
}
