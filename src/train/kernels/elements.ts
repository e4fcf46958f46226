// shaders/train/add_into.wgsl and scale.wgsl
import { type Grid, type Kernel, type Launch, reads, writes } from '../../gpu/kernel.ts';
import { type Recorder, spread } from '../../gpu/recorder.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { bound, eachOf, elementOf, NUMBERS, numbersOf, REAL, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

/** Threads of kernels whose threads have an element each. */
export const WORKGROUP = 64;

export const elementGrid = (launch: Launch<'COUNT' | 'WG'>, most: number): Grid => {
  const { COUNT, WG } = launch.constants;
  return [...spread(Math.ceil(COUNT / eachOf(launch) / WG), most), 1];
};

export const ADD_INTO: Kernel<'WG' | 'COUNT' | 'BY'> = {
  name: 'train/add_into',
  texts: TRAIN_SHADERS,
  choices: [[{ WG: WORKGROUP }], NUMBERS],
  sizes: { COUNT, BY: REAL },
  bindings: (asked) => [
    reads('a', elementOf(asked), ({ constants }) => [constants.COUNT]),
    writes('out', elementOf(asked), ({ constants }) => [constants.COUNT]),
  ],
  grid: elementGrid,
  *cpu({ constants: { COUNT, BY }, floats, pick }) {
    for (const at of pick(COUNT, 32)) {
      const [before, more] = [floats('out', at, 1)[0]!, BY * floats('a', at, 1)[0]!];
      yield { binding: 'out', at, value: before + more, scale: Math.abs(before) + Math.abs(more) };
    }
  },
};

/** `out += by * a` (default by 1), of `count` numbers. */
export function addInto(
  recorder: Recorder,
  call: { out: Tensor; a: Tensor; count: number; by?: number | undefined },
): void {
  const { out, a, count, by = 1 } = call;
  recorder.add({
    label: 'add',
    shader: {
      kernel: ADD_INTO,
      imports: { NUMBERS: numbersOf(count) },
      constants: { WG: WORKGROUP, COUNT: count, BY: by },
    },
    bind: { a: bound(a, count), out: bound(out, count) },
  });
}

export const SCALE: Kernel<'WG' | 'COUNT' | 'BY' | 'FILL'> = {
  name: 'train/scale',
  texts: TRAIN_SHADERS,
  choices: [[{ WG: WORKGROUP }], NUMBERS, [{ FILL: false }, { FILL: true }]],
  sizes: { COUNT, BY: REAL },
  bindings: (asked) => [writes('x', elementOf(asked), ({ constants }) => [constants.COUNT])],
  grid: elementGrid,
  *cpu({ constants: { COUNT, BY, FILL }, floats, pick }) {
    for (const at of pick(COUNT, 32)) {
      const value = FILL ? BY : BY * floats('x', at, 1)[0]!;
      yield { binding: 'x', at, value, scale: Math.abs(value) };
    }
  },
};

const scaled = (recorder: Recorder, x: Tensor, count: number, by: number, FILL: boolean): void =>
  recorder.add({
    label: FILL ? 'fill' : 'scale',
    shader: {
      kernel: SCALE,
      imports: { NUMBERS: numbersOf(count) },
      constants: { WG: WORKGROUP, COUNT: count, BY: by, FILL },
    },
    bind: { x: bound(x, count) },
  });

/** `x *= by`, of `count` numbers. */
export const scale = (recorder: Recorder, { x, count, by }: { x: Tensor; count: number; by: number }): void =>
  scaled(recorder, x, count, by, false);

/** `x = value`, of `count` numbers. */
export const fill = (
  recorder: Recorder,
  { x, count, value }: { x: Tensor; count: number; value: number },
): void => scaled(recorder, x, count, value, true);
