/** A row of a table in Markdown. */
export const markdownRow = (cells: readonly (string | number)[]): string =>
  `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;

/** A table in Markdown, line by line. @param texts columns from the left that hold text, not numbers */
export const markdownTable = (
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  texts = 1,
): string[] => [head, head.map((_, i) => (i < texts ? '---' : '---:')), ...rows].map(markdownRow);
