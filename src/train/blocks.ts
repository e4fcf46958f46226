// Records the forward of blocks, and their backward, which computes a block's inner values anew from its input.
import type { Gpu } from '../gpu/device.ts';
import type { AttentionMixer, FeedForward, LinearMixer, Matrix, ModelSpec } from '../model/spec.ts';
import { type AttentionShape, attentionBackward, trainAttention } from './kernels/attention.ts';
import { columnSums } from './kernels/columns.ts';
import { addInto } from './kernels/elements.ts';
import { inputsBackward, trainInputs } from './kernels/inputs.ts';
import { matmul } from './kernels/matmul.ts';
import { type NormShape, normBackward, trainNorm } from './kernels/norm.ts';
import { trainRope } from './kernels/rope.ts';
import { swiglu, swigluBackward } from './kernels/swiglu.ts';
import type { Tensor } from './kernels/tensor.ts';
import type { Program } from './program.ts';
import { type InnerRoom, type Room, ropeKey, type Windows } from './room.ts';

/** Two matrices whose product, B A, is added to a matrix (LoRA), and their gradients. */
export interface Product {
  rank: number;
  /** `(rank, cols)` */
  a: Tensor;
  /** `(rows, rank)` */
  b: Tensor;
  da: Tensor;
  db: Tensor;
}

/** A model's tensors on the GPU. */
export interface DeviceModel {
  spec: ModelSpec;
  weight(name: string): Tensor;
  /** Undefined where a tensor does not change. */
  gradient(name: string): Tensor | undefined;
  product(matrix: string): Product | undefined;
}

/** What launches of a model are recorded with. */
export interface Recording {
  gpu: Gpu;
  program: Program;
  model: DeviceModel;
  room: Room;
  windows: Windows;
  /** Tables of rotary embeddings, by `ropeKey`. */
  ropes: ReadonlyMap<string, GPUBuffer>;
}

/** `out = W x + bias`, or added to out. */
export function project(
  { program: { recorder }, model, room, windows: { rows } }: Recording,
  matrix: Matrix,
  { x, out, add = false }: { x: Tensor; out: Tensor; add?: boolean },
): void {
  const { name, rows: n, cols: k } = matrix;
  const bias = matrix.bias ? model.weight(`${name}.bias`) : undefined;
  // A product with a bias is not added to anything: it is made beside.
  const beside = add && bias !== undefined;
  const into = beside ? room.dnormed : out;
  const accumulate = add && !beside;
  matmul(recorder, {
    kind: 'nt',
    a: x,
    b: model.weight(`${name}.weight`),
    out: into,
    m: rows,
    n,
    k,
    accumulate,
    bias,
  });
  const product = model.product(name);
  if (product) {
    const { a, b, rank } = product;
    matmul(recorder, { kind: 'nt', a: x, b: a, out: room.lora, m: rows, n: rank, k });
    matmul(recorder, { kind: 'nt', a: room.lora, b, out: into, m: rows, n, k: rank, accumulate: true });
  }
  if (beside) addInto(recorder, { out, a: into, count: rows * n });
}

/** Gradients of a matrix and of its input, of `dy`, that of what it gave. */
export function projectBackward(
  { program: { recorder }, model, room, windows: { rows } }: Recording,
  matrix: Matrix,
  { x, dy, dx, add = false }: { x: Tensor; dy: Tensor; dx?: Tensor; add?: boolean },
): void {
  const { name, rows: n, cols: k } = matrix;
  const gradient = model.gradient(`${name}.weight`);
  if (gradient)
    matmul(recorder, { kind: 'tn', a: dy, b: x, out: gradient, m: n, n: k, k: rows, accumulate: true });
  const biasGradient = matrix.bias ? model.gradient(`${name}.bias`) : undefined;
  if (biasGradient) columnSums(recorder, { rows, cols: n, x: dy, parts: room.parts, out: biasGradient });
  const weight = model.weight(`${name}.weight`);
  if (dx) matmul(recorder, { kind: 'nn', a: dy, b: weight, out: dx, m: rows, n: k, k: n, accumulate: add });
  const product = model.product(name);
  if (!product) return;
  const { a, b, da, db, rank } = product;
  const { lora, dlora } = room;
  matmul(recorder, { kind: 'nt', a: x, b: a, out: lora, m: rows, n: rank, k });
  matmul(recorder, { kind: 'nn', a: dy, b, out: dlora, m: rows, n: rank, k: n });
  matmul(recorder, { kind: 'tn', a: dy, b: lora, out: db, m: n, n: rank, k: rows, accumulate: true });
  matmul(recorder, { kind: 'tn', a: dlora, b: x, out: da, m: rank, n: k, k: rows, accumulate: true });
  if (dx) matmul(recorder, { kind: 'nn', a: dlora, b: a, out: dx, m: rows, n: k, k: rank, accumulate: true });
}

/** The norm before a part of a block; without a gain's name, it has none. */
export function norm(recording: Recording, gain: string | undefined, x: Tensor, out: Tensor): void {
  const { gpu, program, model } = recording;
  trainNorm(gpu, program.recorder, {
    ...hiddenShape(recording),
    x,
    out,
    gain: gain === undefined ? undefined : model.weight(gain),
  });
}

/** Adds to dx what the norm of x takes of `dnormed`, and to the gain's gradient. */
export function normedBackward(recording: Recording, gain: string | undefined, x: Tensor, add = true): void {
  const { room } = recording;
  headsBackward(recording, hiddenShape(recording), { gain, x, dy: room.dnormed, dx: room.dx, add });
}

const hiddenShape = ({ model: { spec }, windows: { rows } }: Recording): NormShape => ({
  rows,
  cols: spec.hiddenSize,
  eps: spec.rmsNormEps,
});

function headsBackward(
  { gpu, program: { recorder }, model, room }: Recording,
  shape: NormShape,
  { gain, x, dy, dx, add }: { gain: string | undefined; x: Tensor; dy: Tensor; dx: Tensor; add: boolean },
): void {
  const weight = gain === undefined ? undefined : model.weight(gain);
  normBackward(gpu, recorder, { ...shape, x, gain: weight, dy, dx, add, scales: room.scales });
  const gradient = gain === undefined ? undefined : model.gradient(gain);
  if (!gradient) return;
  const { rows, cols } = shape;
  const product = { y: x, scales: room.scales };
  columnSums(recorder, { rows, cols, x: dy, product, parts: room.parts, out: gradient });
}

/** q and k: what is projected, what attention takes, and the norm between, of a mixer that has one. */
function headsOf(
  { model: { spec }, room, windows: { rows, length }, ropes }: Recording,
  mixer: AttentionMixer,
) {
  const { qkNorm, headDim, rope } = mixer;
  return (['q', 'k'] as const).map((which) => {
    const heads = which === 'q' ? mixer.heads : mixer.kvHeads;
    const whole = typeof qkNorm === 'object' && qkNorm.whole === true;
    const shape: NormShape = {
      rows: whole ? rows : rows * heads,
      cols: whole ? heads * headDim : headDim,
      eps: spec.rmsNormEps,
    };
    return {
      matrix: mixer[which],
      out: room[which],
      gradient: room[`d${which}`],
      /** What the norm is of, and its gradient. */
      before: room[`${which}0`],
      beforeGradient: room[`d${which}0`],
      gain: typeof qkNorm === 'object' ? qkNorm[which] : undefined,
      shape,
      turn: rope && { table: ropes.get(ropeKey(mixer))!, rows, heads, headDim, length },
    };
  });
}

const attentionShape = ({ windows }: Recording, mixer: AttentionMixer): AttentionShape => {
  const { heads, kvHeads, headDim, scoreScale = 1 / Math.sqrt(headDim) } = mixer;
  return { ...windows, heads, kvHeads, headDim, scale: scoreScale };
};

/** What attention gives (`y`), of normed rows. */
function attend(recording: Recording, mixer: AttentionMixer): void {
  const { gpu, program, model, room } = recording;
  for (const { matrix, out, before, gain, shape, turn } of headsOf(recording, mixer)) {
    const projected = mixer.qkNorm ? before : out;
    project(recording, matrix, { x: room.normed, out: projected });
    // Gains come before the turn, a norm without them after it.
    if (turn && gain === undefined) trainRope(program.recorder, { ...turn, x: projected, back: false });
    if (mixer.qkNorm)
      trainNorm(gpu, program.recorder, {
        ...shape,
        x: before,
        out,
        gain: gain === undefined ? undefined : model.weight(gain),
      });
    if (turn && gain !== undefined) trainRope(program.recorder, { ...turn, x: out, back: false });
  }
  project(recording, mixer.v, { x: room.normed, out: room.v });
  const { q, k, v, y: out, sums } = room;
  trainAttention(program.recorder, { ...attentionShape(recording, mixer), q, k, v, out, sums });
}

/** `dnormed`, of the gradient of what attention added to x. */
function attendBackward(recording: Recording, mixer: AttentionMixer): void {
  const { program, room } = recording;
  const { normed, dnormed, q, k, v, y, sums, deltas, dq, dk, dv, dy, dx } = room;
  projectBackward(recording, mixer.out, { x: y, dy: dx, dx: dy });
  const shape = attentionShape(recording, mixer);
  attentionBackward(program.recorder, { ...shape, q, k, v, y, dy, sums, deltas, dq, dk, dv });
  projectBackward(recording, mixer.v, { x: normed, dy: dv, dx: dnormed });
  for (const { matrix, gradient, before, beforeGradient, gain, shape, turn } of headsOf(recording, mixer)) {
    const projected = mixer.qkNorm ? beforeGradient : gradient;
    if (turn && gain !== undefined) trainRope(program.recorder, { ...turn, x: gradient, back: true });
    if (mixer.qkNorm)
      headsBackward(recording, shape, { gain, x: before, dy: gradient, dx: beforeGradient, add: false });
    if (turn && gain === undefined) trainRope(program.recorder, { ...turn, x: projected, back: true });
    projectBackward(recording, matrix, { x: normed, dy: projected, dx: dnormed, add: true });
  }
}

/** What a linear map reads, once `normed` is made. */
function mapInput(recording: Recording, { inputs = 1 }: LinearMixer): Tensor {
  const { program, room } = recording;
  if (inputs === 1) return room.normed;
  trainInputs(program.recorder, { ...inputShape(recording, inputs), z: room.normed, out: room.inputs });
  return room.inputs;
}

const inputShape = ({ model: { spec }, windows: { rows, length } }: Recording, inputs: number) => ({
  rows,
  length,
  cols: spec.hiddenSize,
  inputs,
});

function mapBackward(recording: Recording, mixer: LinearMixer): void {
  const { down, up, inputs = 1 } = mixer;
  const { dnormed, dinputs, reduced, dreduced, dx } = recording.room;
  const x = mapInput(recording, mixer);
  const into = inputs === 1 ? dnormed : dinputs;
  if (down) {
    projectBackward(recording, up, { x: reduced, dy: dx, dx: dreduced });
    projectBackward(recording, down, { x, dy: dreduced, dx: into });
  } else projectBackward(recording, up, { x, dy: dx, dx: into });
  if (inputs > 1)
    inputsBackward(recording.program.recorder, {
      ...inputShape(recording, inputs),
      dy: dinputs,
      dz: dnormed,
    });
}

/** Adds to x what stands before a block's feed-forward. */
function mixerForward(recording: Recording, block: number, x: Tensor): void {
  const { model, room } = recording;
  const { mixer } = model.spec.blocks[block]!;
  if (mixer.kind === 'attention') {
    norm(recording, mixer.norm, x, room.normed);
    attend(recording, mixer);
    project(recording, mixer.out, { x: room.y, out: x, add: true });
  }
  if (mixer.kind === 'linear') {
    norm(recording, undefined, x, room.normed);
    const read = mapInput(recording, mixer);
    if (mixer.down) project(recording, mixer.down, { x: read, out: room.reduced });
    project(recording, mixer.up, { x: mixer.down ? room.reduced : read, out: x, add: true });
  }
}

/** `product`, which the feed-forward's last matrix takes. */
function gated(recording: Recording, { norm: gain, gate, up, width }: FeedForward, x: Tensor): void {
  const { program, room, windows } = recording;
  norm(recording, gain, x, room.normed);
  project(recording, gate, { x: room.normed, out: room.gate });
  project(recording, up, { x: room.normed, out: room.up });
  swiglu(program.recorder, { gate: room.gate, up: room.up, out: room.product, count: windows.rows * width });
}

const ownFeedForward = ({ blocks }: ModelSpec, block: number): FeedForward =>
  blocks[blocks[block]!.feedForward.owner]!.feedForward;

/**
 * A block, on x in place.
 * @param kept gets what the backward needs
 */
export function blockForward(of: Recording, block: number, x: GPUBuffer, kept?: InnerRoom): void {
  const { spec } = of.model;
  const recording = kept ? { ...of, room: { ...of.room, ...kept } } : of;
  const feedForward = ownFeedForward(spec, block);
  mixerForward(recording, block, x);
  if (kept) of.program.copy(x, kept.x, 4 * of.windows.rows * spec.hiddenSize);
  gated(recording, feedForward, x);
  project(recording, feedForward.down, { x: recording.room.product, out: x, add: true });
}

/**
 * The backward of a block: `room.dx`, the gradient of what it gave, becomes that of its input.
 * @param input what it was given
 * @param kept what its forward kept; without it, that is computed anew
 */
export function blockBackward(of: Recording, block: number, input: GPUBuffer, kept?: InnerRoom): void {
  const recording = kept ? { ...of, room: { ...of.room, ...kept } } : of;
  const { program, model, room, windows } = recording;
  const { spec } = model;
  const { mixer } = spec.blocks[block]!;
  const feedForward = ownFeedForward(spec, block);
  const { normed, dnormed, gate, up, product, dproduct, dx } = room;
  if (kept) norm(recording, feedForward.norm, room.x, normed);
  else {
    program.copy(input, room.x, 4 * windows.rows * spec.hiddenSize);
    mixerForward(recording, block, room.x);
    gated(recording, feedForward, room.x);
  }
  projectBackward(recording, feedForward.down, { x: product, dy: dx, dx: dproduct });
  swigluBackward(program.recorder, { gate, up, dy: dproduct, count: windows.rows * feedForward.width });
  projectBackward(recording, feedForward.gate, { x: normed, dy: gate, dx: dnormed });
  projectBackward(recording, feedForward.up, { x: normed, dy: up, dx: dnormed, add: true });
  normedBackward(recording, feedForward.norm, room.x);
  if (mixer.kind === 'attention') {
    norm(recording, mixer.norm, input, normed);
    attendBackward(recording, mixer);
    normedBackward(recording, mixer.norm, input);
  }
  if (mixer.kind === 'linear') {
    norm(recording, undefined, input, normed);
    mapBackward(recording, mixer);
    normedBackward(recording, undefined, input);
  }
}
