// shaders/train/add_into.wgsl
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
