import { type Analysis, type BlockReport, columnsOf } from '../../src/convert/analyze.ts';
import { type ConvertReport, healingText, speedText, stackText } from '../../src/convert/report.ts';
import { bars, clearPlots } from '../bench/plots.ts';
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

const percent = (from: number, to: number): string => {
  const change = (100 * (to - from)) / from;
  return `${change > 0 ? '+' : ''}${change.toFixed(1)} %`;
};

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
      '',
      rows(({ r2, cosine }) => [r2, cosine]),
    ),
    bars(
      'What is lost without it',
      key('% more perplexity, dropped', 'with the linear map'),
      '',
      rows(({ perplexity: { skip, linear } }) => [more(skip), more(linear)]),
    ),
    bars(
      'How much it changes its input',
      'block influence, 1 - cos(x, x + attention)',
      '',
      rows(({ blockInfluence }) => [blockInfluence]),
    ),
    ...(blocks.some(({ time }) => time)
      ? [
          bars(
            'GPU time of one token',
            key('µs of the attention', 'µs of the linear map'),
            '',
            rows(({ time }) => [time!.attention, time!.map]),
          ),
        ]
      : []),
    bars(
      'Bytes it takes',
      key('weights of the attention, kB', 'of the linear map, kB'),
      '',
      rows(({ bytes: { attention, map } }) => [attention / 1000, map / 1000]),
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

/** Shows what a conversion did, and what can be done with the child. */
export function showConverted(
  place: HTMLElement,
  name: string,
  report: ConvertReport,
  actions: readonly HTMLElement[],
): void {
  const { layers, steps, healing } = report;
  const { parameters, weightBytes, kvBytesPerToken } = report;
  const parent = steps[0]!.perplexity;
  const pair = (
    what: string,
    { parent, child }: { parent: number; child: number },
    show: (value: number) => string,
  ) => [what, show(parent), show(child), percent(parent, child)];
  place.replaceChildren(
    el(
      'div',
      {},
      el('h2', { dir: 'auto' }, name),
      el(
        'div',
        { class: 'facts' },
        el('span', {}, stackText(report)),
        el('span', {}, `layers ${layers.join(' ')} lost their attention`),
      ),
    ),
    table(
      'After each step: perplexity on the test part of the text, against the parent’s, and on text of another kind; how much of words ' +
        'that come twice is known the second time; how much of the parent’s answers is the likeliest here too',
      ['Step', 'Perplexity', 'Change', 'Other text', 'Recall', 'Parent’s answers'],
      steps.map(({ step, perplexity, quality: { other, recall, agreement } }) => [
        step,
        perplexity.toFixed(3),
        percent(parent, perplexity),
        other.perplexity.toFixed(3),
        recall?.accuracy.toFixed(2) ?? '',
        agreement?.same.toFixed(2) ?? '',
      ]),
    ),
    table(
      'Counted',
      ['', 'Parent', 'Child', 'Change'],
      [
        pair('Parameters', parameters, (value) => value.toLocaleString('en')),
        pair('Weights as stored', weightBytes, bytes),
        pair('KV cache a token (f32)', kvBytesPerToken, bytes),
      ],
    ),
    ...(healing ? [el('p', { class: 'hint' }, healingText(healing))] : []),
    el('p', { class: 'hint' }, speedText(report.speed)),
    el('div', { class: 'exports' }, ...actions),
  );
  place.hidden = false;
}
