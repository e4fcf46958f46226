import type { LinearMap } from '../../src/convert/linear-map.ts';
import type { Moments } from '../../src/convert/moments.ts';

/** A token's vectors: z of a position or of several, a `(d)`. */
export interface Pair {
  z: ArrayLike<number>;
  a: ArrayLike<number>;
}

/** The moments of tokens, added up in f64. */
export function momentsOf(d: number, tokens: readonly Pair[]): Moments {
  const dz = tokens[0]?.z.length ?? d;
  const moments = {
    d,
    n: tokens.length,
    z: new Float64Array(dz),
    a: new Float64Array(d),
    G: new Float64Array(dz * dz),
    C: new Float64Array(d * dz),
    aa: 0,
  };
  for (const { z, a } of tokens) {
    for (let i = 0; i < dz; i++) {
      moments.z[i]! += z[i]!;
      for (let j = 0; j <= i; j++) moments.G[i * dz + j]! += z[i]! * z[j]!;
    }
    for (let i = 0; i < d; i++) {
      moments.a[i]! += a[i]!;
      moments.aa += a[i]! ** 2;
      for (let j = 0; j < dz; j++) moments.C[i * dz + j]! += a[i]! * z[j]!;
    }
  }
  return moments;
}

/** `W z + b`. */
export function apply({ W, b }: LinearMap, z: ArrayLike<number>): Float64Array {
  return b.map((offset, i) => {
    let sum = offset;
    for (let j = 0; j < z.length; j++) sum += W[i * z.length + j]! * z[j]!;
    return sum;
  });
}
