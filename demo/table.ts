import { el } from './chat/dom.ts';

type Cell = string | number | HTMLTableCellElement;

/** A table: the first row, and the first cell of each other, which is text, are headings. A cell is its text, or a `td`. */
export function tableOf(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  caption?: string,
): HTMLTableElement {
  const line = ([first, ...cells]: readonly Cell[]): HTMLElement =>
    el(
      'tr',
      {},
      el('th', { scope: 'row' }, String(first)),
      ...cells.map((cell) => (typeof cell === 'object' ? cell : el('td', {}, String(cell)))),
    );
  return el(
    'table',
    {},
    ...(caption ? [el('caption', {}, caption)] : []),
    el('thead', {}, el('tr', {}, ...head.map((text) => el('th', { scope: 'col' }, text)))),
    el('tbody', {}, ...rows.map(line)),
  );
}
