import { ShishuError } from '../errors.ts';
import { guardMemory, Ledger, readBuffer } from '../gpu/buffer.ts';
import { type Gpu, lossOr } from '../gpu/device.ts';
import { type ModelSpec, ownTensors } from '../model/spec.ts';
import type { Batch } from './batches.ts';
import type { DeviceModel } from './blocks.ts';
import { allocate, deviceModel, type Held, holdTensors, recordUpdate } from './held.ts';
import { FACTOR_AT, HYPER_SIZE, NORM_AT, packHyper } from './kernels/adamw.ts';
import { runsOf } from './kernels/embed.ts';
import { ADAM_W, learningRateAt, type Schedule } from './optimizer.ts';
import { type Plan, planOf } from './plan.ts';
import { mergedWeights, startingProducts } from './products.ts';
import { Program } from './program.ts';
import { recordEvaluation, recordTraining, type TrainingBuffers } from './record.ts';
import { checkTrainable, LONGEST_WINDOW } from './trainable.ts';
import type { Trained } from './trained.ts';
import type { CpuWeights } from './weights.ts';

/** Everything of a model that training changes; what a checkpoint holds. */
export interface Snapshot {
  /** Steps done. */
  step: number;
  /** With LoRA the matrices as they were, and those whose products are added to them. */
  weights: CpuWeights;
  /** AdamW's running means of the gradient and of its square, of what is trained. */
  first: CpuWeights;
  second: CpuWeights;
}

/** What training starts from: a new model's weights, or a snapshot. */
export type Start = Pick<Snapshot, 'weights'> & Partial<Snapshot>;

/** A model to distil. */
export interface Teacher {
  spec: ModelSpec;
  weights: CpuWeights;
  /** Share of the loss that is KL to the teacher, 0 to 1; the rest is cross-entropy. */
  mix: number;
  /** Factor of the loss of the last hidden states: their squared distance from the teacher's as a share of its square (default 0). */
  hidden?: number | undefined;
}

export interface TrainerOptions {
  schedule: Schedule;
  /** Windows of a micro-batch, and tokens of a window. */
  rows: number;
  length: number;
  /** Micro-batches of a step (default 1): a batch has `rows * accumulate` windows. */
  accumulate?: number | undefined;
  teacher?: Teacher | undefined;
  /** Default `all`. */
  trained?: Trained | undefined;
  /** Most bytes of blocks' inner values that are kept for the backward (default 256 MiB); others are computed anew. */
  keep?: number | undefined;
  /** The lowest block that may change: those below and the embedding stay. Without it, everything may. */
  lowest?: number | undefined;
}

/** What a step measured. */
export interface StepResult {
  /** Weighted mean loss of the batch before the step, nats. */
  loss: number;
  /** Norm of the gradient before clipping; NaN where it was not finite. */
  norm: number;
  /** Loss and gradient were numbers. Where they were not, nothing has changed, and the step is not counted. */
  finite: boolean;
}

function checkOptions(
  spec: ModelSpec,
  { rows, length, accumulate = 1, teacher, lowest }: TrainerOptions,
): void {
  const refuse = (message: string, details: Record<string, number>): never => {
    throw new ShishuError('bad-argument', message, { details });
  };
  for (const [name, value] of Object.entries({ rows, length, accumulate }))
    if (!Number.isInteger(value) || value < 1)
      refuse(`${name} of training is ${value}, expected a whole number from 1.`, { [name]: value });
  if (length > LONGEST_WINDOW)
    refuse(`Windows of ${length} tokens are too long to train on; at most ${LONGEST_WINDOW}.`, {
      length,
      limit: LONGEST_WINDOW,
    });
  if (lowest !== undefined && !(Number.isInteger(lowest) && lowest >= 0 && lowest < spec.blocks.length))
    refuse(`There is no block ${lowest} of ${spec.blocks.length}.`, { lowest, blocks: spec.blocks.length });
  if (teacher && teacher.spec.vocabSize !== spec.vocabSize)
    refuse(
      `The teacher has ${teacher.spec.vocabSize} tokens, the model ${spec.vocabSize}: their logits can't be compared.`,
      { teacher: teacher.spec.vocabSize, vocabulary: spec.vocabSize },
    );
  if (teacher?.hidden && teacher.spec.hiddenSize !== spec.hiddenSize)
    refuse(`Hidden states of ${teacher.spec.hiddenSize} and ${spec.hiddenSize} numbers can't be compared.`, {
      teacher: teacher.spec.hiddenSize,
      hidden: spec.hiddenSize,
    });
}

const sameNumbers = (a: Float32Array | undefined, b: Float32Array | undefined): boolean =>
  a !== undefined &&
  b !== undefined &&
  (a === b || (a.length === b.length && a.every((value, i) => value === b[i])));

type Programs = Record<'clear' | 'train' | 'update' | 'evaluate', () => void>;

/** One model in training on a GPU: its weights, gradients and moments, f32. */
export class Trainer {
  readonly spec: ModelSpec;
  #step: number;
  readonly #gpu: Gpu;
  readonly #ledger: Ledger;
  readonly #plan: Plan;
  readonly #schedule: Schedule;
  readonly #hidden: number;
  readonly #held: Held;
  readonly #others: TrainingBuffers['others'];
  /** Weights that do not change, as they were given. */
  readonly #still: CpuWeights;
  readonly #programs: Programs;

  /**
   * @throws ShishuError `unsupported` for what the trainer lacks, `bad-argument`, `does-not-fit`, `out-of-memory`
   */
  static async create(gpu: Gpu, spec: ModelSpec, start: Start, options: TrainerOptions): Promise<Trainer> {
    const { teacher } = options;
    checkTrainable(spec);
    if (teacher) checkTrainable(teacher.spec);
    checkOptions(spec, options);
    const plan = planOf(spec, options, {
      most: gpu.limits.binding,
      shared: (name) => sameNumbers(start.weights[name]?.data, teacher?.weights[name]?.data),
    });
    const ledger = new Ledger(gpu);
    try {
      const specs = teacher ? [spec, teacher.spec] : [spec];
      const [held, buffers] = await guardMemory(gpu, 'training', () => {
        const made = [holdTensors(ledger, plan), allocate(ledger, plan, specs)] as const;
        const { trained, frozen, first, second, teacher: its } = made[0];
        trained.write(gpu, { ...start.weights, ...startingProducts(plan.set, start.weights) });
        frozen.write(gpu, start.weights);
        if (start.first) first.write(gpu, start.first);
        if (start.second) second.write(gpu, start.second);
        if (teacher) its!.write(gpu, teacher.weights);
        return made;
      });
      const model = deviceModel(spec, held, plan);
      const its: DeviceModel | undefined = teacher && {
        spec: teacher.spec,
        weight: (name) => held.teacher!.place(name)!,
        gradient: () => undefined,
        product: () => undefined,
      };
      const taught = teacher && { model: its!, mix: teacher.mix, hidden: teacher.hidden ?? 0 };
      const scene = { gpu, plan, buffers, model, teacher: taught };
      const clear = new Program(gpu);
      for (const buffer of held.gradients.buffers) clear.clear(buffer);
      const recorded = {
        clear,
        train: recordTraining(scene),
        update: recordUpdate(gpu, held, buffers.others),
        evaluate: recordEvaluation(scene),
      };
      const programs = Object.fromEntries(
        await Promise.all(
          Object.entries(recorded).map(async ([name, program]) => [name, await program.finish()] as const),
        ),
      ) as Programs;
      return new Trainer({ gpu, ledger, plan, spec, start, options, held, others: buffers.others, programs });
    } catch (error) {
      ledger.releaseAll();
      throw error;
    }
  }

  private constructor(made: {
    gpu: Gpu;
    ledger: Ledger;
    plan: Plan;
    spec: ModelSpec;
    start: Start;
    options: TrainerOptions;
    held: Held;
    others: TrainingBuffers['others'];
    programs: Programs;
  }) {
    const { plan, spec, start, options } = made;
    this.spec = spec;
    this.#gpu = made.gpu;
    this.#ledger = made.ledger;
    this.#plan = plan;
    this.#schedule = options.schedule;
    this.#hidden = options.teacher?.hidden ?? 0;
    this.#held = made.held;
    this.#others = made.others;
    this.#programs = made.programs;
    this.#step = start.step ?? 0;
    const changes = plan.trained.spots;
    this.#still = Object.fromEntries(
      ownTensors(spec).flatMap(({ name }) => (changes.has(name) ? [] : [[name, start.weights[name]!]])),
    );
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Bytes that it holds on the GPU. */
  get bytes(): number {
    return this.#ledger.bytes();
  }

  /** One step of AdamW on a batch. */
  async train(batch: Batch): Promise<StepResult> {
    const { results, hyper } = this.#others;
    const step = this.#step + 1;
    const rate = learningRateAt(this.#schedule, step);
    this.#gpu.device.queue.writeBuffer(hyper, 0, packHyper({ ...ADAM_W, rate, step }));
    this.#programs.clear();
    this.#eachPart(batch, this.#programs.train);
    this.#programs.update();
    const count = this.#plan.accumulate * this.#plan.windows.rows;
    const found = await this.#read(results, count, hyper);
    const factor = found[count + FACTOR_AT]!;
    const loss = found.subarray(0, count).reduce((sum, value) => sum + value, 0);
    const finite = factor > 0 && Number.isFinite(loss);
    if (finite) this.#step = step;
    return { loss, norm: factor > 0 ? found[count + NORM_AT]! : Number.NaN, finite };
  }

  /** Weighted cross-entropy of a batch, nats; changes nothing. */
  async loss(batch: Batch): Promise<number> {
    const count = this.#eachPart(batch, this.#programs.evaluate);
    const found = await this.#read(this.#others.results, count);
    return found.reduce((sum, value) => sum + value, 0);
  }

  /** Runs a program for each micro-batch; its rows' losses go into the results. @returns rows of all */
  #eachPart({ rows, length, tokens, targets, weights }: Batch, run: () => void): number {
    const { windows, accumulate } = this.#plan;
    const parts = (rows * length) / windows.rows;
    if (length !== windows.length || !Number.isInteger(parts) || parts > accumulate)
      throw new ShishuError(
        'bad-argument',
        `A batch of ${rows} x ${length} tokens is not what the trainer was made for.`,
        {
          details: { rows, length, expected: (accumulate * windows.rows) / windows.length },
        },
      );
    const { queue } = this.#gpu.device;
    const others = this.#others;
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let part = 0; part < parts; part++) {
      const slice = [part * windows.rows, (part + 1) * windows.rows] as const;
      const ids = tokens.subarray(...slice);
      const shares = weights.slice(...slice).map((weight) => weight / total);
      queue.writeBuffer(others.tokens, 0, ids);
      queue.writeBuffer(others.targets, 0, targets.subarray(...slice));
      queue.writeBuffer(others.rowWeights, 0, shares);
      if (others.hiddenWeights)
        queue.writeBuffer(
          others.hiddenWeights,
          0,
          shares.map((share) => share * this.#hidden),
        );
      if (others.runs) {
        const { runs, order } = runsOf(ids);
        queue.writeBuffer(others.runs, 0, runs);
        queue.writeBuffer(others.order, 0, order);
      }
      run();
      const encoder = this.#gpu.device.createCommandEncoder();
      const bytes = 4 * windows.rows;
      encoder.copyBufferToBuffer(others.losses, 0, others.results, part * bytes, bytes);
      queue.submit([encoder.finish()]);
    }
    return parts * windows.rows;
  }

  /** Reads numbers, and those that a step went by behind them. */
  async #read(results: GPUBuffer, count: number, hyper?: GPUBuffer): Promise<Float32Array> {
    const more = hyper ? HYPER_SIZE : 0;
    if (hyper) {
      const encoder = this.#gpu.device.createCommandEncoder();
      encoder.copyBufferToBuffer(hyper, 0, results, 4 * count, 4 * more);
      this.#gpu.device.queue.submit([encoder.finish()]);
    }
    try {
      return new Float32Array(await readBuffer(this.#gpu, results, 0, 4 * (count + more)));
    } catch (error) {
      throw await lossOr(this.#gpu, error);
    }
  }

  /** The model as it is now, whole. */
  async weights(): Promise<CpuWeights> {
    return inOrder(this.spec, mergedWeights(this.#plan.set, await this.#all()));
  }

  async #all(): Promise<CpuWeights> {
    return { ...this.#still, ...(await this.#held.trained.read(this.#gpu)) };
  }

  async snapshot(): Promise<Snapshot> {
    const { first, second } = this.#held;
    return {
      step: this.#step,
      weights: await this.#all(),
      first: await first.read(this.#gpu),
      second: await second.read(this.#gpu),
    };
  }

  dispose(): void {
    this.#ledger.releaseAll();
  }
}

/** In the order of the spec. */
const inOrder = (spec: ModelSpec, weights: CpuWeights): CpuWeights =>
  Object.fromEntries(ownTensors(spec).map(({ name }) => [name, weights[name]!]));
