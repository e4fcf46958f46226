/** The file beside a model's weights with the order in which its attention may go; also `shishulm analyze --out` writes it. */
export const ANALYSIS_FILE = 'analysis.json';

/** Layers by the model's perplexity with each alone skipped, or linear, lowest first. */
export interface AnalysedOrder {
  skip: number[];
  linear: number[];
}

/** An order without the layers that have lost their attention. */
export function orderWithout({ skip, linear }: AnalysedOrder, layers: readonly number[]): AnalysedOrder {
  const rest = (order: readonly number[]): number[] => order.filter((layer) => !layers.includes(layer));
  return { skip: rest(skip), linear: rest(linear) };
}
