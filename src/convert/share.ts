import { assign } from './match.ts';

/** How a pair of MLPs becomes one. */
export type Share = 'keep-first' | 'keep-second' | 'average';
export const SHARES: readonly Share[] = ['keep-first', 'keep-second', 'average'];

/** Weights of `down(silu(gate(n)) * up(n))`, n = RMSNorm(x) * norm, f32. */
export interface MlpTensors {
  /** Gains of the norm before and of the one after, `(d)`, where the model has them. */
  norm?: Float32Array | undefined;
  normAfter?: Float32Array | undefined;
  /** `(width, d)` */
  gate: Float32Array;
  up: Float32Array;
  /** `(d, width)` */
  down: Float32Array;
  /** `(width)`, `(width)`, `(d)`, where the model has them. */
  gateBias?: Float32Array | undefined;
  upBias?: Float32Array | undefined;
  downBias?: Float32Array | undefined;
}

/** The MLP half of a block. */
export interface Mlp extends MlpTensors {
  d: number;
  width: number;
  /** What is added to gains as they are stored; 0 where left out. */
  gainOffset?: number | undefined;
}

/** The same MLP with the norm's gain in gate and up, and a norm without one. */
export function foldNorm(mlp: Mlp): Mlp {
  const { d, norm, gainOffset = 0 } = mlp;
  if (!norm) return mlp;
  const fold = (matrix: Float32Array): Float32Array =>
    matrix.map((value, at) => value * (norm[at % d]! + gainOffset));
  return { ...mlp, norm: new Float32Array(d).fill(1 - gainOffset), gate: fold(mlp.gate), up: fold(mlp.up) };
}

/** A unit's up row and down column both negated leave the MLP the same: which sign makes b's unit more like a's. */
interface Match {
  /** For each unit of a, its partner in b. */
  partner: Int32Array;
  sign: Int8Array;
}

/** Units as rows of length 1: `(width, d)`. */
function unitRows(width: number, d: number, at: (unit: number, i: number) => number): Float32Array {
  const rows = new Float32Array(width * d);
  for (let u = 0; u < width; u++) {
    let square = 0;
    for (let i = 0; i < d; i++) square += at(u, i) ** 2;
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let i = 0; i < d; i++) rows[u * d + i] = at(u, i) * scale;
  }
  return rows;
}

/** Each row of one times each of the other, both `(rows, d)`: four at a time, so that a value is read once for four sums. */
function products(a: Float32Array, b: Float32Array, rows: number, d: number): Float32Array {
  const out = new Float32Array(rows * rows);
  for (let v = 0; v < rows; v += 4) {
    // Past the last row, it again.
    const [y0, y1, y2, y3] = [0, 1, 2, 3].map((i) => Math.min(v + i, rows - 1) * d) as [
      number,
      number,
      number,
      number,
    ];
    for (let u = 0; u < rows; u++) {
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      for (let i = 0, x = u * d; i < d; i++, x++) {
        const value = a[x]!;
        s0 += value * b[y0 + i]!;
        s1 += value * b[y1 + i]!;
        s2 += value * b[y2 + i]!;
        s3 += value * b[y3 + i]!;
      }
      const at = u * rows + v;
      out[at] = s0;
      if (v + 1 < rows) out[at + 1] = s1;
      if (v + 2 < rows) out[at + 2] = s2;
      if (v + 3 < rows) out[at + 3] = s3;
    }
  }
  return out;
}

/**
 * Pairs the units of two MLPs so that the sum of cos(gate) + |cos(up) + cos(down)| is largest; the norms must be folded.
 */
export function matchUnits(a: Mlp, b: Mlp): Match {
  const { d, width } = a;
  const rows = ({ gate, up, down }: Mlp) => [
    unitRows(width, d, (u, i) => gate[u * d + i]!),
    unitRows(width, d, (u, i) => up[u * d + i]!),
    unitRows(width, d, (u, i) => down[i * width + u]!),
  ];
  const [left, right] = [rows(a), rows(b)];
  const [gate, up, down] = left.map((of, which) => products(of, right[which]!, width, d));
  const cost = new Float32Array(width * width);
  const negative = new Uint8Array(width * width);
  for (let at = 0; at < cost.length; at++) {
    const linear = up![at]! + down![at]!;
    cost[at] = -(gate![at]! + Math.abs(linear));
    negative[at] = linear < 0 ? 1 : 0;
  }
  const partner = assign(cost, width);
  const sign = Int8Array.from(partner, (v, u) => (negative[u * width + v] ? -1 : 1));
  return { partner, sign };
}

/** The mean of two MLPs, unit by matched unit; its norm has no gain. */
export function averageMlp(first: Mlp, second: Mlp): Mlp {
  const [a, b] = [foldNorm(first), foldNorm(second)];
  const { d, width } = a;
  const { partner, sign } = matchUnits(a, b);
  const mean = (x: number, y: number): number => (x + y) / 2;
  const rows = (which: 'gate' | 'up', signs: boolean): Float32Array =>
    a[which].map((value, at) => {
      const u = Math.floor(at / d);
      return mean(value, b[which][partner[u]! * d + (at % d)]! * (signs ? sign[u]! : 1));
    });
  const down = a.down.map((value, at) => {
    const u = at % width;
    return mean(value, b.down[at - u + partner[u]!]! * sign[u]!);
  });
  return {
    ...a,
    normAfter: a.normAfter?.map((value, i) => mean(value, b.normAfter![i]!)),
    gate: rows('gate', false),
    up: rows('up', true),
    down,
    gateBias: a.gateBias?.map((value, u) => mean(value, b.gateBias![partner[u]!]!)),
    upBias: a.upBias?.map((value, u) => mean(value, b.upBias![partner[u]!]! * sign[u]!)),
    downBias: a.downBias?.map((value, i) => mean(value, b.downBias![i]!)),
  };
}

/** One MLP for two. */
export function shareMlp(first: Mlp, second: Mlp, how: Share): Mlp {
  if (how === 'average') return averageMlp(first, second);
  return how === 'keep-first' ? first : second;
}
