/** `a = W z + b` of one block. */
export interface LinearMap {
  d: number;
  /** `(d, d)`, row-major `(out, in)`. */
  W: Float64Array;
  /** `(d)` */
  b: Float64Array;
}
