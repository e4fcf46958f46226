import type { ModelSpec } from '../model/spec.ts';
import type { Batch } from './batches.ts';
import { initialWeights } from './initial.ts';
import { JaxTrainer } from './jax-trainer.ts';
import { randomFrom } from './random.ts';

export { startJax } from './jax-trainer.ts';

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

/** A new model that is trained on one batch over and over; `step` gives the ms until the loss of a step is known. */
export function makeStepper(spec: ModelSpec, shape: StepShape) {
  const schedule = { steps: 1000, learningRate: 1e-3, warmUp: 10 };
  const weights = initialWeights(spec, shape.seed);
  const trainer = new JaxTrainer(spec, { weights }, { schedule, length: shape.length });
  const batch = randomBatch(spec, shape);
  return {
    async step(): Promise<number> {
      const start = performance.now();
      await trainer.train(batch);
      return performance.now() - start;
    },
    dispose: () => trainer.dispose(),
  };
}

/**
 * Times training steps of models in turn, after a warm-up, in one run; jax has started.
 * @param onStep before each step of all
 * @returns ms, `(models, repetitions)`
 */
export async function stepTimes(
  specs: readonly ModelSpec[],
  shape: StepShape,
  repetitions: number,
  onStep: (done: number) => void = () => {},
): Promise<number[][]> {
  const steppers: ReturnType<typeof makeStepper>[] = [];
  try {
    for (const spec of specs) steppers.push(makeStepper(spec, shape));
    const times: number[][] = specs.map(() => []);
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
