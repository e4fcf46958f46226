// Records a micro-batch of training: the teacher's forward, the model's, the loss in chunks of rows, and the backward.
import type { Gpu } from '../gpu/device.ts';
import type { Matrix, ModelSpec } from '../model/spec.ts';
import {
  blockBackward,
  blockForward,
  type DeviceModel,
  norm,
  normedBackward,
  project,
  projectBackward,
  type Recording,
} from './blocks.ts';
import { gather, scatter } from './kernels/embed.ts';
import { hiddenLoss, rowLoss } from './kernels/loss.ts';
import type { Plan } from './plan.ts';
import { Program } from './program.ts';
import type { InnerRoom, Room } from './room.ts';

/** Buffers of a plan. */
export interface TrainingBuffers {
  room: Room;
  /** Of the last blocks, where inner values are kept. */
  kept: readonly InnerRoom[];
  others: Record<keyof Plan['others'], GPUBuffer>;
  /** Inputs of blocks from the lowest that has a backward on, and what the last gives. */
  inputs: readonly GPUBuffer[];
  ropes: ReadonlyMap<string, GPUBuffer>;
}

/** What a micro-batch is recorded of. */
export interface Scene {
  gpu: Gpu;
  plan: Plan;
  buffers: TrainingBuffers;
  model: DeviceModel;
  teacher: { model: DeviceModel; mix: number; hidden: number } | undefined;
}

const recordingOf = ({ gpu, plan, buffers }: Scene, program: Program, model: DeviceModel): Recording => ({
  gpu,
  program,
  model,
  room: buffers.room,
  ropes: buffers.ropes,
  windows: plan.windows,
});

/** A block's own room for inner values, where it has one. */
function keptRoom({ buffers: { kept }, model }: Scene, block: number): InnerRoom | undefined {
  return kept[block - (model.spec.blocks.length - kept.length)];
}

/** The matrix that makes logits. */
const headOf = ({ tied, head, embedding }: ModelSpec): Matrix => (tied ? embedding : head);

function embedTokens(
  { program, model, windows: { rows } }: Recording,
  { others }: TrainingBuffers,
  out: GPUBuffer,
): void {
  const { embedding, hiddenSize: cols, vocabSize: vocab } = model.spec;
  const table = model.weight(`${embedding.name}.weight`);
  gather(program.recorder, { tokens: others.tokens, table, out, rows, cols, vocab });
}

/** Goes over the rows in chunks: their logits, and what is to be done with them. */
function eachChunk({ plan: { windows, chunk } }: Scene, each: (first: number, rows: number) => void): void {
  for (let first = 0; first < windows.rows; first += chunk)
    each(first, Math.min(chunk, windows.rows - first));
}

/** The loss of each row of normed states, and with `trains` its gradient, in the room's `dnormed`. */
function recordLoss(scene: Scene, recording: Recording, trains: boolean): void {
  const { buffers, teacher } = scene;
  const { logits, teacherLogits, teacherNormed, targets, rowWeights, losses } = buffers.others;
  const { program, model, room } = recording;
  const { spec } = model;
  const mix = trains ? (teacher?.mix ?? 0) : 0;
  eachChunk(scene, (first, rows) => {
    const at = (buffer: GPUBuffer, cols = 1) => ({ buffer, offset: first * cols });
    const part = (of: DeviceModel): Recording => ({
      ...recording,
      model: of,
      windows: { ...recording.windows, rows },
    });
    const own = { x: at(room.normed, spec.hiddenSize), logits };
    project(part(model), headOf(spec), { x: own.x, out: logits });
    if (mix > 0) {
      const its = teacher!.model;
      project(part(its), headOf(its.spec), { x: at(teacherNormed, its.spec.hiddenSize), out: teacherLogits });
    }
    rowLoss(program.recorder, {
      logits,
      teacher: mix > 0 ? teacherLogits : undefined,
      targets: at(targets),
      weights: at(rowWeights),
      losses: at(losses),
      mix,
      rows,
      vocab: spec.vocabSize,
    });
    if (trains)
      projectBackward(part(model), headOf(spec), {
        x: own.x,
        dy: logits,
        dx: at(room.dnormed, spec.hiddenSize),
      });
    program.submit();
  });
}

/** A micro-batch of a step: adds to gradients, and leaves the losses of its rows. */
export function recordTraining(scene: Scene): Program {
  const { gpu, plan, buffers, model, teacher } = scene;
  const { room, others, inputs } = buffers;
  const { spec } = model;
  const { lowest } = plan.set;
  const bytes = 4 * plan.inputs.size;
  const program = new Program(gpu);
  const own = recordingOf(scene, program, model);
  if (teacher) {
    const its = recordingOf(scene, program, teacher.model);
    embedTokens(its, buffers, others.teacherX);
    for (const block of teacher.model.spec.blocks.keys()) {
      if (block === lowest && plan.sharesBelow) program.copy(others.teacherX, inputs[0]!, bytes);
      blockForward(its, block, others.teacherX);
      program.submit();
    }
    norm(its, teacher.model.spec.norm, others.teacherX, others.teacherNormed);
  }
  if (!plan.sharesBelow) {
    embedTokens(own, buffers, inputs[0]!);
    for (let block = 0; block < lowest; block++) {
      blockForward(own, block, inputs[0]!);
      program.submit();
    }
  }
  for (let block = lowest; block < spec.blocks.length; block++) {
    const [input, output] = [inputs[block - lowest]!, inputs[block - lowest + 1]!];
    program.copy(input, output, bytes);
    blockForward(own, block, output, keptRoom(scene, block));
    program.submit();
  }
  const last = inputs.at(-1)!;
  norm(own, spec.norm, last, room.normed);
  recordLoss(scene, own, true);
  normedBackward(own, spec.norm, last, false);
  if (teacher?.hidden)
    hiddenLoss(program.recorder, {
      student: last,
      teacher: others.teacherX,
      weights: others.hiddenWeights,
      rows: plan.windows.rows,
      hidden: spec.hiddenSize,
      gradient: room.dx,
      losses: others.losses,
      accumulate: true,
    });
  for (let block = spec.blocks.length - 1; block >= lowest; block--) {
    blockBackward(own, block, inputs[block - lowest]!, keptRoom(scene, block));
    program.submit();
  }
  const table = model.gradient(`${spec.embedding.name}.weight`);
  if (table && lowest === 0) {
    const { runs, order } = others;
    const sizes = { rows: plan.windows.rows, cols: spec.hiddenSize, vocab: spec.vocabSize };
    scatter(program.recorder, { ...sizes, runs, order, dy: room.dx, out: table });
  }
  return program;
}

/** The cross-entropy of a micro-batch: leaves the losses of its rows. */
export function recordEvaluation(scene: Scene): Program {
  const { gpu, buffers, model } = scene;
  const program = new Program(gpu);
  const own = recordingOf(scene, program, model);
  const x = buffers.inputs[0]!;
  embedTokens(own, buffers, x);
  for (const block of model.spec.blocks.keys()) {
    blockForward(own, block, x);
    program.submit();
  }
  norm(own, model.spec.norm, x, buffers.room.normed);
  recordLoss(scene, own, false);
  return program;
}
