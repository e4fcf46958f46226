import { describe, expect, test } from 'vitest';
import { assign } from '../../src/convert/match.ts';
import { averageMlp, foldNorm, type Mlp, shareMlp } from '../../src/convert/share.ts';
import { rmsNorm } from '../reference/kernels.ts';
import { mulberry32 } from '../support/random.ts';

describe('assign', () => {
  test('finds the cheapest assignment of all', () => {
    const next = mulberry32(3);
    for (let n = 1; n <= 6; n++)
      for (let round = 0; round < 10; round++) {
        const cost = new Float64Array(n * n).map(() => 2 * next() - 1);
        const total = (columns: ArrayLike<number>): number =>
          Array.from(columns).reduce((sum, column, row) => sum + cost[row * n + column]!, 0);
        const all = (left: number[]): number[][] =>
          left.length === 0
            ? [[]]
            : left.flatMap((c) => all(left.filter((x) => x !== c)).map((p) => [c, ...p]));
        const least = Math.min(...all(Array.from({ length: n }, (_, i) => i)).map(total));
        const found = assign(cost, n);
        expect([...found].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
        expect(total(found)).toBeCloseTo(least, 10);
      }
  });
});

const [d, width] = [8, 12];

function randomMlp(seed: number): Mlp {
  const next = mulberry32(seed);
  const draw = (n: number): Float32Array => new Float32Array(n).map(() => 2 * next() - 1);
  return {
    d,
    width,
    norm: draw(d).map((value) => 1 + value / 4),
    gate: draw(width * d),
    up: draw(width * d),
    down: draw(d * width),
    gateBias: draw(width),
    upBias: draw(width),
    downBias: draw(d),
  };
}

/** The MLP's output for one x. */
function run({ norm, gate, up, down, gateBias, upBias, downBias }: Mlp, x: Float32Array): number[] {
  const n = rmsNorm(x, d, norm, 1e-6);
  const times = (matrix: Float32Array, row: number, by: ArrayLike<number>): number => {
    let sum = 0;
    for (let i = 0; i < by.length; i++) sum += matrix[row * by.length + i]! * by[i]!;
    return sum;
  };
  const hidden = Array.from({ length: width }, (_, u) => {
    const g = times(gate, u, n) + gateBias![u]!;
    return (g / (1 + Math.exp(-g))) * (times(up, u, n) + upBias![u]!);
  });
  return Array.from({ length: d }, (_, i) => times(down, i, hidden) + downBias![i]!);
}

/** The same function with its units in another order, some negated, and another norm. */
function disguised(mlp: Mlp, seed: number): Mlp {
  const next = mulberry32(seed);
  const order = Array.from({ length: width }, (_, u) => u).sort(() => next() - 0.5);
  const sign = order.map(() => (next() < 0.5 ? -1 : 1));
  const norm = mlp.norm!.map((value, i) => value * (i % 2 ? 2 : 0.5));
  const input = (matrix: Float32Array, signed: boolean): Float32Array =>
    matrix.map((_, at) => {
      const [u, i] = [Math.floor(at / d), at % d];
      return (matrix[order[u]! * d + i]! * (signed ? sign[u]! : 1) * mlp.norm![i]!) / norm[i]!;
    });
  const { gateBias, upBias, downBias } = mlp;
  return {
    d,
    width,
    norm,
    gate: input(mlp.gate, false),
    up: input(mlp.up, true),
    down: mlp.down.map((_, at) => {
      const u = at % width;
      return mlp.down[at - u + order[u]!]! * sign[u]!;
    }),
    gateBias: gateBias!.map((_, u) => gateBias![order[u]!]!),
    upBias: upBias!.map((_, u) => upBias![order[u]!]! * sign[u]!),
    downBias,
  };
}

const input = new Float32Array(d).map((_, i) => Math.sin(3 * i + 1));
const expectSame = (found: number[], wanted: number[]): void =>
  found.forEach((value, i) => {
    expect(value).toBeCloseTo(wanted[i]!, 4);
  });

describe('sharing', () => {
  test('folding the norm changes nothing', () => {
    const mlp = randomMlp(1);
    expectSame(run(foldNorm(mlp), input), run(mlp, input));
  });

  test('the average of an MLP and itself in disguise is itself', () => {
    const mlp = randomMlp(2);
    const other = disguised(mlp, 5);
    expectSame(run(other, input), run(mlp, input));
    expectSame(run(averageMlp(mlp, other), input), run(mlp, input));
  });

  test('keeping one keeps it', () => {
    const [a, b] = [randomMlp(1), randomMlp(2)];
    expect(shareMlp(a, b, 'keep-first')).toBe(a);
    expect(shareMlp(a, b, 'keep-second')).toBe(b);
  });
});
