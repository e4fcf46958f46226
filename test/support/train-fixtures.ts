// What torch made of training steps (scripts/make-train-fixtures.py), and the same weights and batches here.
import { specOf } from '../../src/families/index.ts';
import { elements, type ModelSpec, ownTensors, type TensorSpec } from '../../src/model/spec.ts';
import type { Batch } from '../../src/train/batches.ts';
import { planOf } from '../../src/train/plan.ts';
import { hashOf, randomFrom } from '../../src/train/random.ts';
import type { Trained } from '../../src/train/trained.ts';
import type { Teacher, TrainerOptions } from '../../src/train/trainer.ts';
import type { CpuWeights } from '../../src/train/weights.ts';
import fixtures from '../fixtures/train.json' with { type: 'json' };

export interface TorchCase {
  config: object;
  teacher?: object;
  mix?: number;
  hidden?: number;
  accumulate?: number;
  trained?: Trained;
  lowest?: number;
  steps: number;
  losses: number[];
  norms: number[];
  /** Of the first step, base64 of f32. */
  gradients: Record<string, string>;
}

export const TORCH_CASES = fixtures.cases as unknown as Record<string, TorchCase>;

/** A tensor's numbers by its name. */
function drawn({ name, shape }: TensorSpec): CpuWeights[string] {
  const random = randomFrom(hashOf(name));
  const scaleOf = (value: number): number => {
    if (shape.length === 1) return name.endsWith('bias') ? 0.2 * value : 1 + 0.3 * value;
    return name.includes('embed_tokens') ? value : value * (2 / Math.sqrt(shape[1]!));
  };
  return {
    shape,
    data: Float32Array.from({ length: elements({ shape }) }, () => scaleOf(2 * random() - 1)),
  };
}

const drawnWeights = (tensors: readonly TensorSpec[]): CpuWeights =>
  Object.fromEntries(tensors.map((tensor) => [tensor.name, drawn(tensor)]));

/** Batch of a step, from 1. */
export function torchBatch(step: number, { accumulate = 1 }: TorchCase): Batch {
  const { length } = fixtures;
  const rows = fixtures.rows * accumulate;
  const vocab = 40;
  const random = randomFrom(hashOf(`batch ${step % fixtures.batches}`));
  const ids = (): Int32Array<ArrayBuffer> =>
    Int32Array.from({ length: rows * length }, () => Math.floor(random() * vocab));
  const [tokens, targets] = [ids(), ids()];
  const weights = Float32Array.from({ length: rows * length }, (_, i) => (i % 7 === 3 ? 0 : random()));
  return { rows, length, tokens, targets, weights, count: rows * length };
}

/** What a trainer of a case is made of. */
export function torchCase(one: TorchCase): {
  spec: ModelSpec;
  weights: CpuWeights;
  options: TrainerOptions;
} {
  const spec = specOf(one.config);
  const { rows, length, schedule } = fixtures;
  const { mix = 0, hidden, accumulate, trained, lowest } = one;
  let teacher: Teacher | undefined;
  if (one.teacher) {
    const its = specOf(one.teacher);
    teacher = { spec: its, weights: drawnWeights(ownTensors(its)), mix, hidden };
  }
  const options = { schedule, rows, length, accumulate, teacher, trained, lowest };
  const products = planOf(spec, options).products;
  return { spec, weights: drawnWeights([...ownTensors(spec), ...products]), options };
}
