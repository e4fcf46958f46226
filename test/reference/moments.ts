import type { LinearMap } from '../../src/convert/linear-map.ts';
import type { Moments } from '../../src/convert/moments.ts';

/** A token's vectors, `(d)` each. */
export interface Pair {
  z: ArrayLike<number>;
  a: ArrayLike<number>;
}

/** The moments of tokens, added up in f64. */
export function momentsOf(d: number, tokens: readonly Pair[]): Moments {
  const vector = (): Float64Array => new Float64Array(d);
  const matrix = (): Float64Array => new Float64Array(d * d);
  const moments = { d, n: tokens.length, z: vector(), a: vector(), G: matrix(), C: matrix(), aa: 0 };
  for (const { z, a } of tokens)
    for (let i = 0; i < d; i++) {
      moments.z[i]! += z[i]!;
      moments.a[i]! += a[i]!;
      moments.aa += a[i]! ** 2;
      for (let j = 0; j < d; j++) {
        if (j <= i) moments.G[i * d + j]! += z[i]! * z[j]!;
        moments.C[i * d + j]! += a[i]! * z[j]!;
      }
    }
  return moments;
}

/** `W z + b`. */
export function apply({ d, W, b }: LinearMap, z: ArrayLike<number>): Float64Array {
  return b.map((offset, i) => {
    let sum = offset;
    for (let j = 0; j < d; j++) sum += W[i * d + j]! * z[j]!;
    return sum;
  });
}
