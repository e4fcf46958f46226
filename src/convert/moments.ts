import { ShishuError } from '../errors.ts';

/** A token's vectors: `z` = x / rms(x), the block's normalised input, and `a`, its attention's output without the residual. */
export interface Pair {
  z: Float64Array;
  a: Float64Array;
}

/** Sums over tokens, in f64, of all that a least-squares map from z to a needs; all `(d)` or `(d, d)` row-major. */
export class Moments {
  readonly d: number;
  n = 0;
  readonly z: Float64Array;
  readonly a: Float64Array;
  /** Sum of z z'. Only its lower triangle is kept. */
  readonly G: Float64Array;
  /** Sum of a z'. */
  readonly C: Float64Array;
  /** Sum of |a|^2. */
  aa = 0;

  constructor(d: number) {
    this.d = d;
    this.z = new Float64Array(d);
    this.a = new Float64Array(d);
    this.G = new Float64Array(d * d);
    this.C = new Float64Array(d * d);
  }

  /** Takes one token in. @throws ShishuError `bad-argument` when a value is NaN or infinite. */
  add({ z, a }: Pair, where = 'the activations'): void {
    const { d, G, C } = this;
    let size = 0;
    for (let i = 0; i < d; i++) size += z[i]! * z[i]! + a[i]! * a[i]!;
    if (!Number.isFinite(size))
      throw new ShishuError('bad-argument', `A value in ${where} is NaN or infinite.`, {
        details: { where },
        mend: 'Load the parent as f32, or check its weights.',
      });
    this.n++;
    for (let i = 0; i < d; i++) {
      const [zi, ai] = [z[i]!, a[i]!];
      this.z[i]! += zi;
      this.a[i]! += ai;
      this.aa += ai * ai;
      const row = i * d;
      for (let j = 0; j <= i; j++) G[row + j]! += zi * z[j]!;
      for (let j = 0; j < d; j++) C[row + j]! += ai * z[j]!;
    }
  }
}
