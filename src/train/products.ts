// LoRA: a matrix W stays, and what is trained is added to it, the product B A of two of a small rank.
import { hashOf, randomFrom } from './random.ts';
import { productNames, type TrainedSet } from './trained.ts';
import type { CpuWeights } from './weights.ts';

/** A and B to begin with, where there are none yet: A random, B nothing, so that the model is what it was. */
export function startingProducts({ products }: TrainedSet, given: CpuWeights): CpuWeights {
  const made: CpuWeights = {};
  for (const [name, { matrix, rank }] of products) {
    const { a, b } = productNames(name);
    const random = randomFrom(hashOf(a));
    const most = Math.sqrt(3 / matrix.cols);
    const uniform = (): number => most * (2 * random() - 1);
    made[a] = given[a] ?? {
      shape: [rank, matrix.cols],
      data: Float32Array.from({ length: rank * matrix.cols }, uniform),
    };
    made[b] = given[b] ?? { shape: [matrix.rows, rank], data: new Float32Array(matrix.rows * rank) };
  }
  return made;
}

/** Weights with the products in them. */
export function mergedWeights({ products }: TrainedSet, weights: CpuWeights): CpuWeights {
  const merged = { ...weights };
  for (const [name, { matrix, rank }] of products) {
    const names = productNames(name);
    const [a, b] = [weights[names.a]!.data, weights[names.b]!.data];
    const { shape, data } = weights[`${name}.weight`]!;
    const sum = data.slice();
    for (let row = 0; row < matrix.rows; row++)
      for (let r = 0; r < rank; r++) {
        const by = b[row * rank + r]!;
        for (let i = 0; i < matrix.cols; i++) sum[row * matrix.cols + i]! += by * a[r * matrix.cols + i]!;
      }
    merged[`${name}.weight`] = { shape, data: sum };
    delete merged[names.a];
    delete merged[names.b];
  }
  return merged;
}
