export interface Schedule {
  /** Steps of the whole run. */
  steps: number;
  /** Peak learning rate. */
  learningRate: number;
  /** Steps in which the rate grows from 0 to its peak. */
  warmUp: number;
}

/** Linear warm-up, then half a cosine down to a tenth of the peak; `step` counts from 1. */
export function learningRateAt({ steps, learningRate, warmUp }: Schedule, step: number): number {
  if (step < warmUp) return (learningRate * step) / warmUp;
  const done = Math.min(1, (step - warmUp) / Math.max(1, steps - warmUp));
  return learningRate * (0.1 + 0.45 * (1 + Math.cos(Math.PI * done)));
}

/** Of AdamW (Loshchilov and Hutter, arXiv 1711.05101); gains and biases do not decay. The gradient is clipped to a norm of 1. */
export const ADAM_W = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, mostNorm: 1 } as const;
