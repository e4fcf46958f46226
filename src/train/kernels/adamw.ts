// shaders/train/sum_squares.wgsl, clip.wgsl and adamw.wgsl
import { type Kernel, reads, writes } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { elementGrid, WORKGROUP } from './elements.ts';
import { bound, eachOf, elementOf, NUMBERS, numbersOf, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

/** Parts of each tensor's sum of squares: f32 numbers of a slot, as many as the workgroups that make them. */
export const SUM_PARTS = 128;

export const SUM_SQUARES: Kernel<'WG' | 'COUNT' | 'PARTS'> = {
  name: 'train/sum_squares',
  texts: TRAIN_SHADERS,
  choices: [[{ WG: WORKGROUP, PARTS: SUM_PARTS }], NUMBERS],
  sizes: { COUNT },
  bindings: (asked) => [
    reads('x', elementOf(asked), ({ constants }) => [constants.COUNT]),
    writes('parts', 'f32', ({ constants }) => [constants.PARTS]),
  ],
  grid: ({ constants }) => [constants.PARTS, 1, 1],
  *cpu(launch) {
    const { COUNT, WG, PARTS } = launch.constants;
    const each = eachOf(launch) * WG;
    const x = launch.floats('x', 0, COUNT);
    for (const part of launch.pick(PARTS)) {
      let value = 0;
      for (let from = part * each; from < COUNT; from += PARTS * each)
        for (const number of x.subarray(from, from + each)) value += number * number;
      yield { binding: 'parts', at: part, value, scale: value };
    }
  },
};

/** Leaves a tensor's sum of squares in a slot of `into (slots, SUM_PARTS)`, in parts whose order is fixed. */
export function sumOfSquares(
  recorder: Recorder,
  call: { x: Tensor; count: number; into: GPUBuffer; slot: number },
): void {
  const { x, count, into, slot } = call;
  recorder.add({
    label: 'sum of squares',
    shader: {
      kernel: SUM_SQUARES,
      imports: { NUMBERS: numbersOf(count) },
      constants: { WG: WORKGROUP, PARTS: SUM_PARTS, COUNT: count },
    },
    bind: {
      x: bound(x, count),
      parts: bound({ buffer: into, offset: slot * SUM_PARTS }, SUM_PARTS),
    },
  });
}

/** What a step of AdamW goes by. */
export interface Hyper {
  rate: number;
  /** Steps with this one, from 1. */
  step: number;
  decay: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Largest norm of the gradient: a longer one is shortened to it. */
  mostNorm: number;
}

/** f32 numbers of the buffer that a step goes by: what `packHyper` makes, the factor of gradients, their norm, and nothing more. */
export const HYPER_SIZE = 12;
/** Where `clip` leaves what gradients are multiplied with, and their norm before. */
export const FACTOR_AT = 8;
export const NORM_AT = 9;

/** The first numbers of the buffer, which change from step to step. */
export const packHyper = (hyper: Hyper): Float32Array<ArrayBuffer> => {
  const { rate, step, decay, beta1, beta2, epsilon, mostNorm } = hyper;
  const [correction1, correction2] = [beta1, beta2].map((beta) => 1 / (1 - beta ** step));
  return Float32Array.of(rate, correction1!, correction2!, decay, beta1, beta2, epsilon, mostNorm);
};

export const CLIP: Kernel<'WG' | 'COUNT'> = {
  name: 'train/clip',
  texts: TRAIN_SHADERS,
  choices: [[{ WG: WORKGROUP }]],
  sizes: { COUNT },
  bindings: () => [
    reads('parts', 'f32', ({ constants }) => [constants.COUNT]),
    writes('hyper', 'f32', () => [HYPER_SIZE]),
  ],
  grid: () => [1, 1, 1],
  *cpu({ constants: { COUNT }, floats }) {
    const norm = Math.sqrt(floats('parts', 0, COUNT).reduce((sum, part) => sum + part, 0));
    const most = floats('hyper', 7, 1)[0]!;
    const factor = !Number.isFinite(norm) ? 0 : norm > most ? most / norm : 1;
    yield { binding: 'hyper', at: FACTOR_AT, value: factor, scale: factor };
    yield { binding: 'hyper', at: NORM_AT, value: Number.isFinite(norm) ? norm : 0, scale: norm };
  },
};

/**
 * Leaves the factor that brings gradients within the largest norm, and their norm, in what a step goes by. Where a sum is not
 * finite the factor is 0: then `adamW` changes nothing.
 */
export function clip(recorder: Recorder, call: { sums: GPUBuffer; slots: number; hyper: GPUBuffer }): void {
  const { sums, slots, hyper } = call;
  const count = slots * SUM_PARTS;
  recorder.add({
    label: 'clip',
    shader: { kernel: CLIP, constants: { WG: WORKGROUP, COUNT: count } },
    bind: { parts: bound(sums, count), hyper: bound(hyper, HYPER_SIZE) },
  });
}

export const ADAMW: Kernel<'WG' | 'COUNT' | 'DECAYS'> = {
  name: 'train/adamw',
  texts: TRAIN_SHADERS,
  choices: [[{ WG: WORKGROUP }], NUMBERS, [{ DECAYS: true }, { DECAYS: false }]],
  sizes: { COUNT },
  bindings(asked) {
    const all = ({ constants }: { constants: { COUNT: number } }): number[] => [constants.COUNT];
    const element = elementOf(asked);
    return [
      reads('gradient', element, all),
      reads('hyper', 'f32', () => [HYPER_SIZE]),
      writes('weights', element, all),
      writes('first', element, all),
      writes('second', element, all),
    ];
  },
  grid: elementGrid,
  *cpu({ constants: { COUNT, DECAYS }, floats, pick }) {
    const [rate, correction1, correction2, decay, beta1, beta2, epsilon, , factor] = floats(
      'hyper',
      0,
      HYPER_SIZE,
    ) as unknown as number[];
    if (factor === 0) return;
    for (const at of pick(COUNT, 32)) {
      const [gradient, weight, first, second] = ['gradient', 'weights', 'first', 'second'].map(
        (name) => floats(name, at, 1)[0]!,
      );
      const g = factor! * gradient!;
      const mean = beta1! * first! + (1 - beta1!) * g;
      const square = beta2! * second! + (1 - beta2!) * g * g;
      const kept = DECAYS ? (1 - rate! * decay!) * weight! : weight!;
      const moved = (rate! * correction1! * mean) / (Math.sqrt(correction2! * square) + epsilon!);
      yield { binding: 'first', at, value: mean, scale: Math.abs(first!) + Math.abs(g) };
      yield { binding: 'second', at, value: square, scale: square };
      yield { binding: 'weights', at, value: kept - moved, scale: Math.abs(weight!) + Math.abs(moved) };
    }
  },
};

/** A step of AdamW by `hyper`; weights and moments stay where the gradient was not finite. */
export function adamW(
  recorder: Recorder,
  call: {
    weights: Tensor;
    gradient: Tensor;
    /** Running mean of the gradient. */
    first: Tensor;
    /** Running mean of its square. */
    second: Tensor;
    count: number;
    hyper: GPUBuffer;
    /** Whether weights decay (default true); gains do not. */
    decays?: boolean | undefined;
  },
): void {
  const { weights, gradient, first, second, count, hyper, decays = true } = call;
  recorder.add({
    label: 'AdamW',
    shader: {
      kernel: ADAMW,
      imports: { NUMBERS: numbersOf(count) },
      constants: { WG: WORKGROUP, COUNT: count, DECAYS: decays },
    },
    bind: {
      gradient: bound(gradient, count),
      hyper: bound(hyper, HYPER_SIZE),
      weights: bound(weights, count),
      first: bound(first, count),
      second: bound(second, count),
    },
  });
}
