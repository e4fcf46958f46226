import * as jax from '@jax-js/jax';
import type { ModelSpec } from '../model/spec.ts';
import type { Batch } from './batches.ts';
import { crossEntropy, distillation } from './jax-loss.ts';
import { type Constants, constantsOf, forward, type Params, toCpu, toDevice } from './jax-model.ts';
import { adamW, hyperparameters, type OptimizerState, zerosLike } from './jax-optimizer.ts';
import { learningRateAt, type Schedule } from './optimizer.ts';
import { checkTrainable } from './trainable.ts';
import type { Snapshot, Start, StepResult, Teacher } from './trainer.ts';
import type { CpuWeights } from './weights.ts';

const { numpy: np, tree } = jax;
type Tensor = jax.Array;

/** Starts jax on its wasm backend (in Node: after `useThreads`), or on WebGPU in a page. */
export async function startJax(backend: 'wasm' | 'webgpu' = 'wasm'): Promise<void> {
  await jax.init(backend);
  jax.defaultDevice(backend);
}

/** Tokens `(rows, length)`, targets `(rows * length)` and weights of the same shape, whose sum is 1. */
type Inputs = [tokens: Tensor, targets: Tensor, weights: Tensor];

const inputsOf = ({ rows, length, tokens, targets, weights }: Batch): Inputs => {
  const total = weights.reduce((a, b) => a + b, 0);
  return [
    np.array(tokens).reshape([rows, length]),
    np.array(targets),
    np.array(weights.map((weight) => weight / total)),
  ];
};

/** Tokens `(rows, length)` to logits `(rows * length, vocab)`. */
type Logits = (params: Params, tokens: Tensor, constants: Constants) => Tensor;

/** One model in training: its weights, moments and compiled step, on jax's device. Batches must all have one shape. */
export class JaxTrainer {
  readonly spec: ModelSpec;
  #step: number;
  #params: Params;
  #moments: OptimizerState;
  readonly #schedule: Schedule;
  readonly #constants: Constants;
  readonly #teacher: { params: Params; constants: Constants; logits: Logits } | undefined;
  readonly #loss: (params: Params, ...inputs: [...Inputs, Constants]) => Tensor;
  readonly #gradients: (params: Params, ...inputs: [...Inputs, Constants, Tensor[]]) => [Tensor, Params];
  readonly #update: typeof adamW;

  /** @param length tokens a row */
  constructor(
    spec: ModelSpec,
    { step = 0, weights, first, second }: Start,
    { schedule, length, teacher }: { schedule: Schedule; length: number; teacher?: Teacher },
  ) {
    checkTrainable(spec);
    this.spec = spec;
    this.#schedule = schedule;
    this.#constants = constantsOf(spec, length);
    this.#step = step;
    this.#params = toDevice(weights, spec);
    const moment = (of?: CpuWeights): Params => (of ? toDevice(of, spec) : zerosLike(this.#params));
    this.#moments = { first: moment(first), second: moment(second) };
    if (teacher) {
      checkTrainable(teacher.spec);
      this.#teacher = {
        params: toDevice(teacher.weights, teacher.spec),
        constants: constantsOf(teacher.spec, length),
        logits: jax.jit((p: Params, x: Tensor, c: Constants) => forward(p, x, c, teacher.spec)) as Logits,
      };
    }
    const mix = teacher?.mix ?? 0;
    this.#loss = jax.jit((p: Params, x: Tensor, y: Tensor, w: Tensor, c: Constants) =>
      crossEntropy(forward(p, x, c, spec), y, w),
    );
    this.#gradients = jax.jit(
      (p: Params, x: Tensor, y: Tensor, w: Tensor, c: Constants, teacherLogits: Tensor[]): [Tensor, Params] =>
        jax.valueAndGrad((params: Params) => {
          const logits = forward(params, x, c, spec);
          return teacherLogits[0]
            ? distillation(logits, teacherLogits[0], y, w, mix)
            : crossEntropy(logits, y, w);
        })(p) as [Tensor, Params],
    );
    this.#update = jax.jit(adamW) as typeof adamW;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** One step of AdamW on a batch. */
  async train(batch: Batch): Promise<StepResult> {
    const inputs = inputsOf(batch);
    const teacher = this.#teacher;
    const teacherLogits = teacher
      ? [teacher.logits(tree.ref(teacher.params), inputs[0].ref, tree.ref(teacher.constants))]
      : [];
    const [loss, gradients] = this.#gradients(
      tree.ref(this.#params),
      ...inputs,
      tree.ref(this.#constants),
      teacherLogits,
    );
    const step = this.#step + 1;
    const hyper = hyperparameters(learningRateAt(this.#schedule, step), step);
    const [params, moments, norm] = this.#update(this.#params, gradients, this.#moments, hyper);
    this.#params = params;
    this.#moments = moments;
    this.#step = step;
    const found = { loss: (await loss.data())[0]!, norm: (await norm.data())[0]! };
    return { ...found, finite: Number.isFinite(found.loss) && Number.isFinite(found.norm) };
  }

  /** Weighted cross-entropy of a batch, nats; changes nothing. */
  async loss(batch: Batch): Promise<number> {
    const loss = this.#loss(tree.ref(this.#params), ...inputsOf(batch), tree.ref(this.#constants));
    return (await loss.data())[0]!;
  }

  weights(): Promise<CpuWeights> {
    return toCpu(this.#params, this.spec);
  }

  async snapshot(): Promise<Snapshot> {
    const { first, second } = this.#moments;
    return {
      step: this.#step,
      weights: await toCpu(this.#params, this.spec),
      first: await toCpu(first, this.spec),
      second: await toCpu(second, this.spec),
    };
  }

  dispose(): void {
    for (const params of [this.#params, this.#moments, this.#constants]) tree.dispose(params);
    if (this.#teacher) tree.dispose([this.#teacher.params, this.#teacher.constants]);
  }
}
