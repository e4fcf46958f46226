import type { LinearMap } from './linear-map.ts';

/** Sweeps after which it stops in any case; a dozen is plenty. */
const MOST_SWEEPS = 50;

/**
 * Eigenvectors of a symmetric `(n, n)` matrix by cyclic Jacobi rotations (Golub and Van Loan, Matrix Computations, 8.5),
 * largest eigenvalue first; `vectors` `(n, n)` holds one a row.
 */
export function symmetricEigen(
  matrix: Float64Array,
  n: number,
): { values: Float64Array; vectors: Float64Array } {
  const A = matrix.slice();
  const V = new Float64Array(n * n);
  for (let i = 0; i < n; i++) V[i * n + i] = 1;
  const size = Math.hypot(...norms(A, n));
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let rotated = false;
    for (let p = 0; p < n - 1; p++)
      for (let q = p + 1; q < n; q++) {
        const apq = A[p * n + q]!;
        if (Math.abs(apq) <= (Number.EPSILON * size) / n) continue;
        rotated = true;
        const theta = (A[q * n + q]! - A[p * n + p]!) / (2 * apq);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const c = 1 / Math.hypot(t, 1);
        rotateRows(A, n, p, q, c, t * c);
        // A is kept whole and symmetric: the columns turn as the rows did.
        for (let i = 0; i < n; i++) {
          const [x, y] = [A[i * n + p]!, A[i * n + q]!];
          A[i * n + p] = c * x - t * c * y;
          A[i * n + q] = t * c * x + c * y;
        }
        rotateRows(V, n, p, q, c, t * c);
      }
    if (!rotated) break;
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((a, b) => A[b * n + b]! - A[a * n + a]!);
  const vectors = new Float64Array(n * n);
  order.forEach((from, to) => {
    vectors.set(V.subarray(from * n, (from + 1) * n), to * n);
  });
  return { values: Float64Array.from(order, (i) => A[i * n + i]!), vectors };
}

/** Norm of each row. */
function norms(A: Float64Array, n: number): number[] {
  return Array.from({ length: n }, (_, i) =>
    Math.sqrt(A.subarray(i * n, (i + 1) * n).reduce((s, v) => s + v * v, 0)),
  );
}

function rotateRows(A: Float64Array, n: number, p: number, q: number, c: number, s: number): void {
  for (let k = 0, i = p * n, j = q * n; k < n; k++, i++, j++) {
    const [x, y] = [A[i]!, A[j]!];
    A[i] = c * x - s * y;
    A[j] = s * x + c * y;
  }
}

/**
 * The best map of a rank at most `rank` under the objective that `map` is best under without that bound (reduced-rank
 * regression; Izenman 1975): W_r = U'U W, the rows of U the first eigenvectors of W M W', where M `(dz, dz)` is the metric of
 * the inputs: their covariance with the regularisation on its diagonal.
 * @param meanZ `(dz)`, mean of the inputs, where the map gives the same as before
 */
export function lowRank(
  { d, W, b, ...map }: LinearMap,
  metric: Float64Array,
  meanZ: Float64Array,
  rank: number,
): LinearMap {
  if (rank >= d) return { d, W, b, ...map };
  const dz = meanZ.length;
  const WM = product(W, metric, d, dz, dz);
  const { vectors } = symmetricEigen(product(WM, transposed(W, d, dz), d, dz, d), d);
  const U = vectors.subarray(0, rank * d);
  const UW = product(U, W, rank, d, dz);
  const reduced = product(transposed(U, rank, d), UW, d, rank, dz);
  const shifted = b.map((value, i) => {
    let sum = value;
    for (let j = 0; j < dz; j++) sum += (W[i * dz + j]! - reduced[i * dz + j]!) * meanZ[j]!;
    return sum;
  });
  return { d, ...map, W: reduced, b: shifted, factors: { rank, up: transposed(U, rank, d), down: UW } };
}

/** Of A `(rows, cols)`. */
function transposed(A: Float64Array, rows: number, cols: number): Float64Array {
  return A.map((_, at) => A[(at % rows) * cols + Math.floor(at / rows)]!);
}

/** A `(rows, inner)` times B `(inner, cols)`. */
function product(A: Float64Array, B: Float64Array, rows: number, inner: number, cols: number): Float64Array {
  const C = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++)
    for (let k = 0; k < inner; k++) {
      const a = A[i * inner + k]!;
      for (let j = 0; j < cols; j++) C[i * cols + j]! += a * B[k * cols + j]!;
    }
  return C;
}
