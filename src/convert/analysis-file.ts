/** The file beside a model's weights that says in which order its attention goes; also `shishulm analyze --out` writes it. */
export const ANALYSIS_FILE = 'analysis.json';

/** Layers from the least missed to the most, when skipped and when linear. */
export interface AnalysedOrder {
  skip: number[];
  linear: number[];
}

/** What is left of an order when layers have lost their attention. */
export function orderWithout({ skip, linear }: AnalysedOrder, layers: readonly number[]): AnalysedOrder {
  const rest = (order: readonly number[]): number[] => order.filter((layer) => !layers.includes(layer));
  return { skip: rest(skip), linear: rest(linear) };
}
