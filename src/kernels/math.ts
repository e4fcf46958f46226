// Formulas of CPU twins, in f64.

/** The greatest of a row, and its index: the lowest of equals. */
export function bestOf(row: ArrayLike<number>): { value: number; index: number } {
  let index = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[index]!) index = i;
  return { value: row[index]!, index };
}

/** `ln(sum(exp(row)))`. */
export function logSumExp(row: ArrayLike<number>): number {
  const { value } = bestOf(row);
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i]! - value);
  return value + Math.log(sum);
}

/** PCG of 32 bits, as the shaders have it. */
export function hash(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul(((state >>> ((state >>> 28) + 4)) ^ state) >>> 0, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
