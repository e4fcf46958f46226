import type { ModelSpec } from '../model/spec.ts';
import type { Batch } from './batches.ts';
import { initialWeights } from './model.ts';
import { randomFrom } from './random.ts';
import { Trainer } from './trainer.ts';

export { startJax } from './trainer.ts';

export interface StepShape {
  rows: number;
  /** Tokens a row. */
  length: number;
  seed: number;
}

const WARM_UP = 2;

/** A batch of random tokens that all count. */
function randomBatch(spec: ModelSpec, { rows, length, seed }: StepShape): Batch {
  const random = randomFrom(seed);
  const size = rows * length;
  const ids = (): Int32Array<ArrayBuffer> =>
    Int32Array.from({ length: size }, () => Math.floor(random() * spec.vocabSize));
  return {
    rows,
    length,
    tokens: ids(),
    targets: ids(),
    weights: new Float32Array(size).fill(1),
    count: size,
  };
}

/** A new model with a batch that it is trained on over and over. */
export class Stepper {
  readonly #trainer: Trainer;
  readonly #batch: Batch;

  constructor(spec: ModelSpec, shape: StepShape) {
    this.#trainer = new Trainer(spec, initialWeights(spec, shape.seed), {
      schedule: { steps: 1000, learningRate: 1e-3, warmUp: 10 },
      length: shape.length,
    });
    this.#batch = randomBatch(spec, shape);
  }

  /** One step; ms until its loss is known. */
  async step(): Promise<number> {
    const start = performance.now();
    await this.#trainer.train(this.#batch);
    return performance.now() - start;
  }

  dispose(): void {
    this.#trainer.dispose();
  }
}

/**
 * Times training steps of models in turn, after a warm-up, in one run; jax has started.
 * @param onStep before each step of all
 * @returns ms, `(models, repetitions)`
 */
export async function stepTimes(
  configs: readonly ModelSpec[],
  shape: StepShape,
  repetitions: number,
  onStep: (done: number) => void = () => {},
): Promise<number[][]> {
  const steppers: Stepper[] = [];
  try {
    for (const spec of configs) steppers.push(new Stepper(spec, shape));
    const times: number[][] = configs.map(() => []);
    for (let i = -WARM_UP; i < repetitions; i++) {
      onStep(Math.max(0, i));
      for (const [which, stepper] of steppers.entries()) {
        const ms = await stepper.step();
        if (i >= 0) times[which]!.push(ms);
        // A page may draw and take a click.
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    return times;
  } finally {
    for (const stepper of steppers) stepper.dispose();
  }
}
