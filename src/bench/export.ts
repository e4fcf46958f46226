import { profileOf } from '../gpu/profile.ts';
import { markdownTable } from '../markdown.ts';
import { CLAIMS, CLAIMS_NOTE } from './claims.ts';
import { comparedWith, KERNEL_HEAD, kernelCells, kernelRows, PHASES } from './kernels.ts';
import type { BenchResult, Which } from './result.ts';
import type { Spread } from './stats.ts';
import { adapterText, figure, quartilesText, ratioText, summaryOf } from './summary.ts';

/** The whole result. */
export const toJson = (result: BenchResult): string => `${JSON.stringify(result, undefined, 2)}\n`;

const cell = (value: string | number): string => {
  const text = String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** One line a figure: what, model, at, unit, value, q1, q3, samples. The first lines say when, where and what to beware of. */
export function toCsv(result: BenchResult): string {
  const lines: (string | number)[][] = [['what', 'model', 'at', 'unit', 'value', 'q1', 'q3', 'samples']];
  const conditions: [string, string][] = [
    ['date', result.date],
    ['adapter', adapterText(result)],
    ['runtime', result.runtime],
    ['weights and KV', `${result.settings.dtype} and ${result.settings.kv}`],
    ...cautions(result).map((note): [string, string] => ['caution', note]),
  ];
  for (const [what, text] of conditions) lines.push([what, '', '', '', text, '', '', '']);
  const name = (model: Which): string => result.models[model]?.label ?? '';
  const line = (
    what: string,
    model: Which,
    at: string | number,
    unit: string,
    value: number,
    spread?: Spread,
  ): void => {
    lines.push([
      what,
      name(model),
      at,
      unit,
      value,
      spread?.q1 ?? '',
      spread?.q3 ?? '',
      spread?.samples.join(' ') ?? '',
    ]);
  };
  for (const model of [0, 1] as const) {
    const facts = result.models[model];
    if (!facts) continue;
    line('parameters', model, '', 'count', facts.parameters);
    line('weights', model, '', 'bytes', facts.bytes.weights);
    line('kv', model, facts.context, 'bytes', facts.bytes.kv);
    line('scratch', model, '', 'bytes', facts.bytes.scratch);
    line('dispatches a token', model, '', 'count', facts.dispatchesPerToken);
  }
  for (const { model, tokens, ms } of result.prompts) line('first token', model, tokens, 'ms', ms.median, ms);
  for (const { model, position, ms, gigabytesPerSecond } of result.decode) {
    line('token', model, position, 'ms', ms.median, ms);
    line('read', model, position, 'GB/s', gigabytesPerSecond);
  }
  for (const { model, batch, ms, tokensPerSecond, weightBytesPerToken } of result.batches) {
    line('weights read a token of a batch', model, batch, 'bytes', weightBytesPerToken);
    line('step of a batch', model, batch, 'ms', ms.median, ms);
    line('throughput of a batch', model, batch, 'tokens/s', tokensPerSecond);
  }
  for (const { model, rows, length, ms } of result.training)
    line('training step', model, `${rows}x${length}`, 'ms', ms.median, ms);
  for (const { model, phase, block, kernel, microseconds, expected, work } of result.profile) {
    line(`GPU time, ${phase}, ${kernel}`, model, block ?? '', 'us', microseconds);
    if (expected !== null) line(`expected, ${phase}, ${kernel}`, model, block ?? '', 'us', expected);
    line(`bytes, ${phase}, ${kernel}`, model, block ?? '', 'bytes', work.bytes);
    line(`multiply-adds, ${phase}, ${kernel}`, model, block ?? '', 'count', work.multiplyAdds);
  }
  return `${lines.map((cells) => cells.map(cell).join(',')).join('\n')}\n`;
}

/** What a reader must know before any figure of a result. */
export function cautions(result: BenchResult): string[] {
  const notes: string[] = [];
  const { ended, error } = result;
  if (ended === 'running') notes.push('The run is under way: this is what it measured so far.');
  else if (ended !== 'complete')
    notes.push(`The run did not finish (${ended})${error === null ? '.' : `: ${error}`}`);
  for (const why of result.disturbed) notes.push(`The run was disturbed: ${why} Its times are doubtful.`);
  if (result.adapter.software)
    notes.push('A CPU plays GPU here (software adapter): look at the ratios, not at the times.');
  const { software, profile } = result.adapter;
  if (profile !== profileOf('auto', software))
    notes.push(`The profile "${profile}" was forced: other kernels would be used here.`);
  if (result.models.some(({ weights }) => weights === 'synthesised'))
    notes.push(
      'Weights are random, made on the GPU: times and sizes are those of real ones, quality is not measured.',
    );
  return notes;
}

/** A report to paste: conditions, cautions, the table, GPU time, the paper's claims as reference. */
export function toMarkdown(result: BenchResult): string {
  const [parent, child] = result.models;
  const { adapter, settings } = result;
  const out = [
    `# ${parent?.label ?? 'parent'} against ${child?.label ?? 'child'}`,
    '',
    `- Date: ${result.date}`,
    `- Adapter: ${adapterText(result)}`,
    `- Runtime: ${result.runtime}`,
    `- Settings: ${Object.entries(settings)
      .map(([name, text]) => `${name}=${text}`)
      .join(' ')}`,
    ...(adapter.copyGigabytesPerSecond === null
      ? []
      : [`- Copy of buffers: ${figure(adapter.copyGigabytesPerSecond, 'GB/s')} (read + write)`]),
    ...cautions(result).map((note) => `- **${note}**`),
    '',
    ...markdownTable(
      ['', 'parent', 'child', 'child / parent'],
      summaryOf(result).map((row) => {
        const show = (which: 'parent' | 'child'): string => {
          const range = quartilesText(row, which, '-');
          return `${figure(row[which], row.unit)}${range ? ` (${range})` : ''}`;
        };
        return [row.what, show('parent'), show('child'), ratioText(row)];
      }),
    ),
    '',
    'Times are medians (quartiles). Memory is from the ledger of buffers, counts are from the shapes.',
    ...(result.settings.training === 'yes' ? [`Training: ${result.trainingNote}`] : []),
  ];
  out.push('', '## GPU time by kernel', '', result.profileNote, '', comparedWith(result));
  for (const [phase, words] of PHASES) {
    const kernels = kernelRows(result, phase);
    if (kernels.length > 0)
      out.push('', `### Of ${words}`, '', ...markdownTable(KERNEL_HEAD, kernels.map(kernelCells)));
  }
  out.push('', '## Reference: the paper (not measured here)', '', CLAIMS_NOTE, '');
  for (const { what, figure, from } of CLAIMS) out.push(`- ${what}: ${figure} (${from})`);
  return `${out.join('\n')}\n`;
}
