/** `a = W z + b` of one block. */
export interface LinearMap {
  d: number;
  /** Positions that z is of (1 where left out): the token's own, the one before it and so on, zeros before the first. */
  inputs?: number;
  /** `(d, inputs * d)`, row-major `(out, in)`. */
  W: Float64Array;
  /** `(d)` */
  b: Float64Array;
  /** W of a bounded rank as a product: `up (d, rank)` times `down (rank, inputs * d)`. */
  factors?: { rank: number; up: Float64Array; down: Float64Array };
}
