import { describe, expect, test } from 'vitest';
import { cholesky, fit, r2Of, solveRows } from '../../src/convert/fit.ts';
import { lowRank, symmetricEigen } from '../../src/convert/low-rank.ts';
import { apply, momentsOf } from '../reference/moments.ts';
import { mulberry32 } from '../support/random.ts';

const uniform = (seed: number) => {
  const next = mulberry32(seed);
  return () => 2 * next() - 1;
};

interface Pair {
  z: Float64Array;
  a: Float64Array;
}

/** Tokens whose a is W z + b and noise. */
function pairs(d: number, n: number, seed: number, noise: number, mapSeed = 1): Pair[] {
  const draw = uniform(mapSeed);
  const map = { d, W: new Float64Array(d * d).map(draw), b: new Float64Array(d).map(draw) };
  const next = uniform(seed);
  return Array.from({ length: n }, () => {
    const z = new Float64Array(d).map(() => next() + 0.3);
    return { z, a: apply(map, z).map((value) => value + noise * next()) };
  });
}

/** Ridge by Gauss-Jordan on the centred data itself, not on accumulated sums. */
function bruteForce(tokens: readonly Pair[], d: number, alpha: number) {
  const n = tokens.length;
  const mean = (of: (token: Pair) => Float64Array): number[] =>
    Array.from({ length: d }, (_, i) => tokens.reduce((sum, token) => sum + of(token)[i]!, 0) / n);
  const [mz, ma] = [mean((t) => t.z), mean((t) => t.a)];
  const covariance = (left: (t: Pair) => number, right: (t: Pair) => number): number =>
    tokens.reduce((sum, t) => sum + left(t) * right(t), 0) / n;
  const G = mz.map((mi, i) =>
    mz.map((mj, j) =>
      covariance(
        (t) => t.z[i]! - mi,
        (t) => t.z[j]! - mj,
      ),
    ),
  );
  const trace = G.reduce((sum, row, i) => sum + row[i]!, 0);
  G.forEach((row, i) => {
    row[i]! += (alpha * trace) / d;
  });
  const C = ma.map((mi, i) =>
    mz.map((mj, j) =>
      covariance(
        (t) => t.a[i]! - mi,
        (t) => t.z[j]! - mj,
      ),
    ),
  );
  // (G | C') to (I | G^-1 C').
  const rows = G.map((row, i) => [...row, ...C.map((c) => c[i]!)]);
  for (let p = 0; p < d; p++) {
    const pivot = rows[p]!;
    const by = pivot[p]!;
    for (let k = 0; k < 2 * d; k++) pivot[k]! /= by;
    rows.forEach((row, i) => {
      const times = row[p]!;
      if (i !== p) for (let k = 0; k < 2 * d; k++) row[k]! -= times * pivot[k]!;
    });
  }
  const W = Float64Array.from({ length: d * d }, (_, at) => rows[at % d]![d + Math.floor(at / d)]!);
  const b = Float64Array.from(ma, (m, i) => m - mz.reduce((sum, z, j) => sum + W[i * d + j]! * z, 0));
  return { d, W, b };
}

const closeTo = (found: Float64Array, wanted: Float64Array, tolerance: number): void =>
  found.forEach((value, i) => {
    expect(Math.abs(value - wanted[i]!)).toBeLessThan(tolerance);
  });

describe('the ridge map', () => {
  test.each([1e-6, 1e-2, 1])('is that of a brute-force solver at alpha %f', (alpha) => {
    for (const d of [1, 5, 12]) {
      const tokens = pairs(d, 60, 7, 0.5);
      const found = fit(momentsOf(d, tokens), momentsOf(d, pairs(d, 20, 9, 0.5)), [alpha]);
      const wanted = bruteForce(tokens, d, alpha);
      closeTo(found.W, wanted.W, 1e-10);
      closeTo(found.b, wanted.b, 1e-10);
    }
  });

  test('recovers an exactly linear map', () => {
    const d = 16;
    const tokens = pairs(d, 200, 3, 0);
    const found = fit(momentsOf(d, tokens), momentsOf(d, pairs(d, 50, 4, 0)));
    expect(found.alpha).toBe(1e-8);
    expect(found.r2).toBeGreaterThan(1 - 1e-9);
    for (const { z, a } of tokens) closeTo(apply(found, z), a, 1e-6);
  });

  test('takes more regularisation where the calibration text is short and noisy', () => {
    const d = 24;
    const choosing = momentsOf(d, pairs(d, 400, 6, 3));
    const short = fit(momentsOf(d, pairs(d, 30, 5, 3)), choosing);
    const long = fit(momentsOf(d, pairs(d, 3000, 5, 3)), choosing);
    expect(short.alpha).toBeGreaterThan(long.alpha);
    expect(long.r2).toBeGreaterThan(short.r2);
  });

  test('has the R^2 of its errors token by token', () => {
    const d = 6;
    const map = fit(momentsOf(d, pairs(d, 80, 1, 0.4)), momentsOf(d, pairs(d, 20, 2, 0.4)));
    const held = pairs(d, 40, 8, 0.4);
    let [residual, spread] = [0, 0];
    const mean = new Float64Array(d);
    for (const { a } of held) for (let i = 0; i < d; i++) mean[i]! += a[i]! / held.length;
    for (const { z, a } of held) {
      const guess = apply(map, z);
      for (let i = 0; i < d; i++) {
        residual += (a[i]! - guess[i]!) ** 2;
        spread += (a[i]! - mean[i]!) ** 2;
      }
    }
    expect(r2Of(map, momentsOf(d, held))).toBeCloseTo(1 - residual / spread, 10);
  });
});

describe('what cannot be fitted', () => {
  test('a singular system is an error that says how many tokens there were', () => {
    const token = { z: Float64Array.of(1, 2, 3), a: Float64Array.of(1, 1, 1) };
    const same = momentsOf(3, [token, token, token]);
    expect(() => fit(same, same)).toThrow(
      expect.objectContaining({ code: 'bad-argument', details: { tokens: 3, dimensions: 3 } }),
    );
  });
});

test('cholesky and solveRows undo a product', () => {
  const d = 3;
  const matrix = Float64Array.of(4, 0, 0, 2, 5, 0, -1, 1, 3);
  const full = [
    [4, 2, -1],
    [2, 5, 1],
    [-1, 1, 3],
  ];
  const X = Float64Array.of(1, -2, 0.5, 3, 0, -1);
  const B = Float64Array.from({ length: 6 }, (_, at) =>
    [0, 1, 2].reduce((sum, k) => sum + X[3 * Math.floor(at / 3) + k]! * full[k]![at % 3]!, 0),
  );
  closeTo(solveRows(cholesky(matrix, d)!, d, B), X, 1e-12);
  expect(cholesky(Float64Array.of(1, 0, 2, 1), 2)).toBeUndefined();
});

test('symmetricEigen takes a matrix apart', () => {
  const next = uniform(11);
  for (const n of [1, 2, 7, 30]) {
    const half = new Float64Array(n * n).map(next);
    const matrix = half.map((value, at) => value + half[(at % n) * n + Math.floor(at / n)]!);
    const { values, vectors } = symmetricEigen(matrix, n);
    expect([...values]).toEqual([...values].sort((a, b) => b - a));
    const entry = (i: number, j: number, weigh: (r: number) => number): number =>
      values.reduce((sum, _, r) => sum + weigh(r) * vectors[r * n + i]! * vectors[r * n + j]!, 0);
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        expect(entry(i, j, (r) => values[r]!)).toBeCloseTo(matrix[i * n + j]!, 11);
        expect(entry(i, j, () => 1)).toBeCloseTo(i === j ? 1 : 0, 11);
      }
  }
});

describe('a map of low rank', () => {
  const [d, alpha] = [4, 1e-3];
  const tokens = pairs(d, 30, 7, 0.5).map(({ z, a }) => ({
    // Inputs of very different sizes: the metric matters.
    z: z.map((value, i) => value * 1.7 ** i),
    a,
  }));
  const calibration = momentsOf(d, tokens);

  /** Mean squared error with the ridge's penalty, from the tokens themselves. */
  function objective(map: { W: Float64Array; b: Float64Array }): number {
    const n = tokens.length;
    let trace = 0;
    for (let i = 0; i < d; i++) {
      const mean = tokens.reduce((sum, { z }) => sum + z[i]!, 0) / n;
      trace += tokens.reduce((sum, { z }) => sum + (z[i]! - mean) ** 2, 0) / n;
    }
    const error = tokens.reduce((sum, { z, a }) => {
      const guess = apply({ d, ...map }, z);
      return sum + a.reduce((own, value, i) => own + (value - guess[i]!) ** 2, 0);
    }, 0);
    return error / n + ((alpha * trace) / d) * map.W.reduce((sum, w) => sum + w * w, 0);
  }

  /** The least of the objective over B A + b with B `(d, rank)`, A `(rank, d)`, by coordinate descent from random starts. */
  function searched(rank: number): number {
    let least = Number.POSITIVE_INFINITY;
    for (let start = 0; start < 3; start++) {
      const next = uniform(20 + start);
      const parts = new Float64Array(2 * rank * d + d).map(next);
      const build = () => {
        const W = new Float64Array(d * d);
        for (let i = 0; i < d; i++)
          for (let j = 0; j < d; j++)
            for (let r = 0; r < rank; r++)
              W[i * d + j]! += parts[i * rank + r]! * parts[rank * d + r * d + j]!;
        return { W, b: parts.slice(2 * rank * d) };
      };
      let value = objective(build());
      for (let round = 0; round < 400; round++) {
        const before = value;
        for (let p = 0; p < parts.length; p++) {
          // The objective is a parabola in each part: three points give its lowest.
          const at = parts[p]!;
          parts[p] = at + 1;
          const up = objective(build());
          parts[p] = at - 1;
          const down = objective(build());
          parts[p] = at + (down - up) / (2 * (up + down - 2 * value));
          value = objective(build());
        }
        if (before - value < 1e-8 * value) break;
      }
      least = Math.min(least, value);
    }
    return least;
  }

  test.each([1, 2])('of rank %i is as good as the best that a search finds', (rank) => {
    const map = fit(calibration, calibration, [alpha], rank);
    expect(map.rank).toBe(rank);
    const { up, down } = map.factors!;
    const whole = map.W.map((_, at) => {
      const [i, j] = [Math.floor(at / d), at % d];
      return Array.from({ length: rank }, (_, r) => up[i * rank + r]! * down[r * d + j]!).reduce(
        (a, b) => a + b,
      );
    });
    closeTo(whole, map.W, 1e-12);
    const found = objective(map);
    const best = searched(rank);
    expect(found).toBeLessThan(best * (1 + 1e-9));
    expect(found).toBeGreaterThan(best * (1 - 1e-3));
    const { values } = symmetricEigen(gram(map.W, d), d);
    expect(values[rank]!).toBeLessThan(1e-9 * values[0]!);
    expect(values[rank - 1]!).toBeGreaterThan(1e-9 * values[0]!);
  });

  test('loses less with each rank, and nothing with all of them', () => {
    const r2 = Array.from({ length: d }, (_, i) => fit(calibration, calibration, [alpha], i + 1).r2);
    for (let i = 1; i < d; i++) expect(r2[i]!).toBeGreaterThan(r2[i - 1]!);
    expect(fit(calibration, calibration, [alpha], d)).toEqual(fit(calibration, calibration, [alpha]));
    const map = fit(calibration, calibration, [alpha]);
    const identity = new Float64Array(d * d).map((_, at) => (at % (d + 1) === 0 ? 1 : 0));
    closeTo(lowRank({ ...map, b: map.b }, identity, new Float64Array(d), d).W, map.W, 1e-15);
  });
});

/** W W'. */
function gram(W: Float64Array, d: number): Float64Array {
  return W.map((_, at) => {
    let sum = 0;
    for (let k = 0; k < d; k++) sum += W[Math.floor(at / d) * d + k]! * W[(at % d) * d + k]!;
    return sum;
  });
}
