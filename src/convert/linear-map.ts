/** `a = W z + b` of one block. */
export interface LinearMap {
  d: number;
  /** `(d, d)`, row-major `(out, in)`. */
  W: Float64Array;
  /** `(d)` */
  b: Float64Array;
  /** W of a bounded rank as a product: `up (d, rank)` times `down (rank, d)`. */
  factors?: { rank: number; up: Float64Array; down: Float64Array };
}
