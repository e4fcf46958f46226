import type { Gpu } from '../gpu/device.ts';
import type { ModelSpec } from '../model/spec.ts';
import type { Batch } from './batches.ts';
import { initialWeights } from './initial.ts';
import { randomFrom } from './random.ts';
import { Trainer } from './trainer.ts';

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

/** A new model in training. */
const newTrainer = (gpu: Gpu, spec: ModelSpec, { rows, length, seed }: StepShape): Promise<Trainer> => {
  const schedule = { steps: 1000, learningRate: 1e-3, warmUp: 10 };
  return Trainer.create(gpu, spec, { weights: initialWeights(spec, seed) }, { schedule, rows, length });
};

/** What steps of one model took. */
export interface StepTimes {
  /** Of each until its loss is known. */
  ms: number[];
  /** GPU memory of weights, gradients, moments and all else. */
  bytes: number;
}

/**
 * Times training steps of new models in turn, after a warm-up; each has one batch over and over.
 * @param onStep before each step of all
 * @returns by model
 */
export async function stepTimes(
  gpu: Gpu,
  specs: readonly ModelSpec[],
  shape: StepShape,
  repetitions: number,
  onStep: (done: number) => void = () => {},
): Promise<StepTimes[]> {
  const trainers: Trainer[] = [];
  try {
    for (const spec of specs) trainers.push(await newTrainer(gpu, spec, shape));
    const times = trainers.map(({ bytes }): StepTimes => ({ ms: [], bytes }));
    const batches = specs.map((spec) => randomBatch(spec, shape));
    for (let i = -WARM_UP; i < repetitions; i++) {
      onStep(Math.max(0, i));
      for (const [which, trainer] of trainers.entries()) {
        const start = performance.now();
        await trainer.train(batches[which]!);
        if (i >= 0) times[which]!.ms.push(performance.now() - start);
        // A page may draw and take a click.
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    return times;
  } finally {
    for (const trainer of trainers) trainer.dispose();
  }
}
