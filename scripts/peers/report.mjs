// Tables of what run.mjs measured.
import { PEERS, ROWS } from './engines.mjs';

/** @param {number[]} values */
function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  return { median: median ?? Number.NaN, low: sorted[0] ?? Number.NaN, high: sorted.at(-1) ?? Number.NaN };
}

/** What counts of the samples: the first one compiles, and is left out where there are others. @param {number[]} samples */
const counted = (samples) => (samples.length > 1 ? samples.slice(1) : samples);

/** @param {number} value */
const figure = (value) =>
  value >= 1000
    ? Math.round(value).toLocaleString('en')
    : value >= 100
      ? value.toFixed(0)
      : value.toPrecision(3);

/** Median and range. @param {number[]} values @param {(value: number) => number} [as] */
function cellOf(values, as = (value) => value) {
  const { median, low, high } = spread(values.map(as));
  if (values.length === 1) return `${figure(median)} (once)`;
  return `${figure(median)} (${figure(low)}-${figure(high)}, ${values.length})`;
}

const perSecond = (/** @type {number} */ ms) => 1000 / ms;

/** @param {any} cell @param {typeof ROWS[number]} row */
function rowCell(cell, row) {
  if (!cell) return '';
  if (cell.samples.length > 0) return cellOf(counted(cell.samples), row.prompt ? undefined : perSecond);
  if (cell.failed) return 'failed';
  return cell.skipped ? `left out: about ${Math.round(cell.skipped / 1000)} s` : '';
}

/** Tokens a second at 2,000 over those at 100. @param {any} report @param {string} name */
function kept(report, name) {
  const at = (/** @type {string} */ row) => report.rows[row]?.[name]?.samples ?? [];
  const near = at('decode-100');
  const far = at('decode-2000');
  if (near.length === 0 || far.length === 0) return '';
  return (spread(counted(near)).median / spread(counted(far)).median).toFixed(2);
}

const mb = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);

/** @param {any} report of one browser */
function table(report) {
  const names = Object.keys(report.peers);
  /** @param {string} title @param {(name: string) => string} cell */
  const line = (title, cell) => `| ${[title, ...names.map(cell)].join(' | ')} |`;
  const loads = (/** @type {string} */ name, /** @type {(load: any) => number} */ value, as = cellOf) => {
    const all = report.peers[name].loads.map(value);
    return all.length > 0 ? as(all) : 'failed';
  };
  const highest = (/** @type {number[]} */ values) =>
    values.every(Number.isFinite) ? mb(Math.max(...values)) : 'not told here';
  return [
    line('', (name) => PEERS[name]?.title ?? name),
    line('---', () => '---:'),
    line('load, ms', (name) => loads(name, ({ ms }) => ms)),
    line('and first reply (10 tokens in all), ms', (name) => loads(name, ({ ms, reply }) => ms + reply)),
    line('fetched, MB: code', (name) =>
      loads(
        name,
        ({ bytes }) => bytes.code,
        (all) => mb(all[0] ?? 0),
      ),
    ),
    line('fetched, MB: model', (name) =>
      loads(
        name,
        ({ bytes }) => bytes.model,
        (all) => mb(all[0] ?? 0),
      ),
    ),
    line('peak memory, MB', (name) => loads(name, ({ peak }) => peak, highest)),
    ...ROWS.filter(({ name }) => report.rows[name]).map((row) =>
      line(row.title, (name) => rowCell(report.rows[row.name]?.[name], row)),
    ),
    line('decode at 2,000 over 100', (name) => kept(report, name)),
    line('says after "The capital of France is"', (name) =>
      JSON.stringify(report.peers[name].reply ?? '').replaceAll('|', '\\|'),
    ),
  ].join('\n');
}

/** @param {any} result */
export function markdown(result) {
  const { date, cpu, cores, load, commit } = result;
  const parts = result.browsers.map((/** @type {any} */ report) => {
    const failures = Object.entries(report.peers).flatMap(([name, { failed }]) =>
      failed ? [[name, failed]] : [],
    );
    for (const [row, cells] of Object.entries(report.rows))
      for (const [name, cell] of Object.entries(cells))
        if (cell.failed) failures.push([`${name}, ${row}`, cell.failed]);
    const { name = 'no adapter', f16, subgroups } = report.adapter ?? {};
    // Firefox does not say.
    const adapter = name || 'an adapter without a name (lavapipe, unless VK_ICD_FILENAMES says otherwise)';
    return [
      `**${report.browser} ${report.version ?? ''}, ${adapter}** (shader-f16: ${f16 ? 'yes' : 'no'}, subgroups: ${subgroups ? 'yes' : 'no'})`,
      ...(Object.values(report.peers).some(({ loads }) => loads.length > 0) ? [table(report)] : []),
      ...(report.failed ? [`The run of this browser ended early: ${report.failed}.`] : []),
      ...failures.map(([where, why]) => `- ${where}: ${why}`),
    ].join('\n\n');
  });
  const busy = load.map((/** @type {number} */ value) => value.toFixed(1)).join(' and ');
  return [
    `${date.slice(0, 10)}, commit ${commit}, ${cores} cores of ${cpu}; load of the machine before and after: ${busy}. ` +
      `Engines: ${Object.entries(result.packages)
        .map(([name, version]) => `${name} ${version}`)
        .join(', ')}.`,
    ...parts,
  ].join('\n\n');
}
