import { ShishuError } from '../errors.ts';
import type { LinearMap } from './linear-map.ts';
import { lowRank } from './low-rank.ts';
import type { Moments } from './moments.ts';

export interface Fit extends LinearMap {
  /** The regularisation with the best R^2 on the choosing tokens, as a share of the mean eigenvalue of cov(z). */
  alpha: number;
  /** R^2 on those tokens. */
  r2: number;
  /** Rank that the map is bound to; d where it is not. */
  rank: number;
}

/** Regularisations that are tried, ascending, as shares of tr(cov z) / d. */
export const ALPHAS: readonly number[] = [1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1];

/** Dot product of `n` numbers of x from `at` on and of y from `from` on, as four sums: else each addition waits for the last. */
function dot(x: Float64Array, at: number, y: Float64Array, from: number, n: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < n; k += 4) {
    s0 += x[at + k]! * y[from + k]!;
    s1 += x[at + k + 1]! * y[from + k + 1]!;
    s2 += x[at + k + 2]! * y[from + k + 2]!;
    s3 += x[at + k + 3]! * y[from + k + 3]!;
  }
  for (; k < n; k++) s0 += x[at + k]! * y[from + k]!;
  return s0 + s1 + (s2 + s3);
}

/**
 * Cholesky factor L (lower, row-major) of a symmetric `(d, d)` matrix given by its lower triangle, or undefined when the
 * matrix is not positive definite to f64's precision.
 */
export function cholesky(matrix: Float64Array, d: number): Float64Array | undefined {
  const L = matrix.slice();
  let largest = 0;
  for (let i = 0; i < d; i++) largest = Math.max(largest, matrix[i * d + i]!);
  const least = largest * d * Number.EPSILON;
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      const sum = L[i * d + j]! - dot(L, i * d, L, j * d, j);
      if (j < i) L[i * d + j] = sum / L[j * d + j]!;
      else if (sum > least) L[i * d + i] = Math.sqrt(sum);
      else return undefined;
    }
    L.fill(0, i * d + i + 1, (i + 1) * d);
  }
  return L;
}

/**
 * Works on the rows of X `(rows, d)` in place, four at a time and interleaved, `(d, 4)`: what is read of another matrix then
 * serves four rows. The last four are filled up with zeros.
 */
function byFours(X: Float64Array, d: number, work: (x: Float64Array) => void): void {
  const x = new Float64Array(4 * d);
  for (let at = 0; at < X.length; at += 4 * d) {
    const rows = Math.min(4, (X.length - at) / d);
    x.fill(0);
    for (let r = 0; r < rows; r++) for (let k = 0; k < d; k++) x[4 * k + r] = X[at + r * d + k]!;
    work(x);
    for (let r = 0; r < rows; r++) for (let k = 0; k < d; k++) X[at + r * d + k] = x[4 * k + r]!;
  }
}

/** Dot products, `sums (4)`, of `n` numbers of A from `at` on and each of the four rows interleaved in x. */
function dots(A: Float64Array, at: number, x: Float64Array, n: number, sums: Float64Array): void {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let k = 0; k < n; k++) {
    const value = A[at + k]!;
    s0 += value * x[4 * k]!;
    s1 += value * x[4 * k + 1]!;
    s2 += value * x[4 * k + 2]!;
    s3 += value * x[4 * k + 3]!;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

/** Solves X (L L') = B for X, row by row; B and X are `(rows, d)`. */
export function solveRows(L: Float64Array, d: number, B: Float64Array): Float64Array {
  const X = B.slice();
  const sums = new Float64Array(4);
  byFours(X, d, (x) => {
    for (let i = 0; i < d; i++) {
      dots(L, i * d, x, i, sums);
      for (let r = 0; r < 4; r++) x[4 * i + r] = (x[4 * i + r]! - sums[r]!) / L[i * d + i]!;
    }
    // The transposed factor is read along its rows too: each solved value is taken from all that are before it at once.
    for (let i = d - 1; i >= 0; i--) {
      for (let r = 0; r < 4; r++) x[4 * i + r]! /= L[i * d + i]!;
      const [x0, x1, x2, x3] = [x[4 * i]!, x[4 * i + 1]!, x[4 * i + 2]!, x[4 * i + 3]!];
      for (let k = 0; k < i; k++) {
        const value = L[i * d + k]!;
        x[4 * k]! -= value * x0;
        x[4 * k + 1]! -= value * x1;
        x[4 * k + 2]! -= value * x2;
        x[4 * k + 3]! -= value * x3;
      }
    }
  });
  return X;
}

/** Mean of z, mean of a, and the centred second moments (divided by n) of a set of tokens. */
function centred({ n, z, a, G, C }: Moments) {
  const meanZ = z.map((sum) => sum / n);
  const meanA = a.map((sum) => sum / n);
  const dz = z.length;
  const covZ = new Float64Array(dz * dz);
  const covAZ = new Float64Array(a.length * dz);
  for (let i = 0; i < dz; i++)
    for (let j = 0; j <= i; j++) covZ[i * dz + j] = G[i * dz + j]! / n - meanZ[i]! * meanZ[j]!;
  for (let i = 0; i < a.length; i++)
    for (let j = 0; j < dz; j++) covAZ[i * dz + j] = C[i * dz + j]! / n - meanA[i]! * meanZ[j]!;
  return { meanZ, meanA, covZ, covAZ };
}

/** cov(z) + lambda I, lambda = alpha tr(cov z) / d; its lower triangle. */
function regularised({ covZ, meanZ }: ReturnType<typeof centred>, alpha: number): Float64Array {
  const d = meanZ.length;
  let trace = 0;
  for (let i = 0; i < d; i++) trace += covZ[i * d + i]!;
  return covZ.map((value, at) => (at % (d + 1) === 0 ? value + (alpha * trace) / d : value));
}

/** The ridge map W = cov(a, z) (cov(z) + lambda I)^-1, b = mean(a) - W mean(z), lambda = alpha tr(cov z) / d. */
function ridge(system: ReturnType<typeof centred>, alpha: number): LinearMap | undefined {
  const { meanZ, meanA, covAZ } = system;
  const dz = meanZ.length;
  const L = cholesky(regularised(system, alpha), dz);
  if (!L) return undefined;
  const W = solveRows(L, dz, covAZ);
  const b = meanA.map((mean, i) => mean - dot(W, i * dz, meanZ, 0, dz));
  const inputs = dz / meanA.length;
  return { d: meanA.length, ...(inputs > 1 && { inputs }), W, b };
}

/** R^2 of a map on the tokens of these moments, without the residual: 1 - sum |a - Wz - b|^2 / sum |a - mean(a)|^2. */
export function r2Of(map: LinearMap, moments: Moments): number {
  const { d, W, b } = map;
  const { n, z, a, G, C, aa } = moments;
  const dz = z.length;
  let residual = aa;
  let spread = aa;
  for (let i = 0; i < d; i++) {
    spread -= (a[i]! * a[i]!) / n;
    const row = i * dz;
    const cross = dot(W, row, C, row, dz);
    const offset = dot(W, row, z, 0, dz);
    residual += b[i]! * (2 * offset - 2 * a[i]! + n * b[i]!) - 2 * cross;
  }
  // The trace of W G W'; G is symmetric, and given by its lower triangle.
  const sums = new Float64Array(4);
  byFours(W, dz, (w) => {
    for (let j = 0; j < dz; j++) {
      dots(G, j * dz, w, j, sums);
      for (let r = 0; r < 4; r++) {
        const own = w[4 * j + r]!;
        residual += own * (2 * sums[r]! + G[j * dz + j]! * own);
      }
    }
  });
  return 1 - residual / spread;
}

/**
 * The best of the maps of ascending regularisations, from the middle one on upward and downward as far as R^2 rises: it has one top, and
 * each map takes seconds for a large model. Singular systems are at the lower end.
 */
function bestOf(alphas: readonly number[], fitWith: (alpha: number) => Fit | undefined): Fit | undefined {
  let at = Math.floor(alphas.length / 2);
  let best = fitWith(alphas[at]!);
  const climb = (step: 1 | -1): void => {
    for (let next = at + step; next >= 0 && next < alphas.length; next += step) {
      const found = fitWith(alphas[next]!);
      if (best && !(found && found.r2 > best.r2)) return;
      if (found) [best, at] = [found, next];
    }
  };
  climb(1);
  // Nothing below what is better than its neighbour below.
  if (at === Math.floor(alphas.length / 2)) climb(-1);
  return best;
}

/**
 * The ridge map of a block, its regularisation chosen by R^2 on tokens that the map was not fitted to.
 * @param rank most that the map's may be: the regularisation is chosen without this bound, R^2 is with it
 * @throws ShishuError `bad-argument` when the system is singular under every regularisation
 */
export function fit(
  calibration: Moments,
  choosing: Moments,
  alphas: readonly number[] = ALPHAS,
  rank = calibration.d,
): Fit {
  const { d } = calibration;
  const dz = calibration.z.length;
  const system = centred(calibration);
  const best = bestOf(alphas, (alpha): Fit | undefined => {
    const map = ridge(system, alpha);
    if (!map) return undefined;
    const r2 = r2Of(map, choosing);
    return Number.isFinite(r2) ? { ...map, alpha, r2, rank: d } : undefined;
  });
  if (!best)
    throw new ShishuError(
      'bad-argument',
      `The least-squares system of ${calibration.n} tokens in ${dz} dimensions is singular.`,
      {
        details: { tokens: calibration.n, dimensions: dz },
        mend: 'Give longer and more varied calibration text.',
      },
    );
  if (rank >= d) return best;
  const metric = regularised(system, best.alpha);
  for (let i = 0; i < dz; i++) for (let j = 0; j < i; j++) metric[j * dz + i] = metric[i * dz + j]!;
  const map = lowRank(best, metric, system.meanZ, rank);
  return { ...map, alpha: best.alpha, r2: r2Of(map, choosing), rank };
}
