import { type Kernel, reads, writes } from '../../gpu/kernel.ts';
import { type Recorder, spread } from '../../gpu/recorder.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { WG } from './lanes.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const shared = {
  choices: [[{ WG }]],
  sizes: { COUNT },
  grid: ({ constants: { COUNT } }: { constants: { COUNT: number } }, most: number) =>
    [...spread(Math.ceil(COUNT / WG), most), 1] as const,
};

const numbers = ({ constants: { COUNT } }: { constants: { COUNT: number } }): number[] => [COUNT];

export const SWIGLU: Kernel<'WG' | 'COUNT'> = {
  name: 'train/swiglu',
  texts: TRAIN_SHADERS,
  ...shared,
  bindings: () => [reads('gate', 'f32', numbers), reads('up', 'f32', numbers), writes('out', 'f32', numbers)],
  *cpu({ constants, floats, pick }) {
    for (const at of pick(constants.COUNT)) {
      const [x, up] = [floats('gate', at, 1)[0]!, floats('up', at, 1)[0]!];
      const value = x * sigmoid(x) * up;
      yield { binding: 'out', at, value, scale: Math.abs(value) };
    }
  },
};

export const SWIGLU_BACKWARD: Kernel<'WG' | 'COUNT'> = {
  name: 'train/swiglu_backward',
  texts: TRAIN_SHADERS,
  ...shared,
  bindings: () => [reads('dy', 'f32', numbers), writes('gate', 'f32', numbers), writes('up', 'f32', numbers)],
  *cpu({ constants, floats, pick }) {
    for (const at of pick(constants.COUNT)) {
      const [x, up, d] = ['gate', 'up', 'dy'].map((name) => floats(name, at, 1)[0]!) as [
        number,
        number,
        number,
      ];
      const s = sigmoid(x);
      yield { binding: 'gate', at, value: d * up * s * (1 + x * (1 - s)), scale: Math.abs(d * up) };
      yield { binding: 'up', at, value: d * x * s, scale: Math.abs(d * x) };
    }
  },
};

/** `out = silu(gate) * up`, `count` numbers of each. */
export function swiglu(
  recorder: Recorder,
  { gate, up, out, count }: { gate: Tensor; up: Tensor; out: Tensor; count: number },
): void {
  recorder.add({
    label: 'swiglu',
    shader: { kernel: SWIGLU, constants: { WG, COUNT: count } },
    bind: { gate: bound(gate, count), up: bound(up, count), out: bound(out, count) },
  });
}

/** The gradients of gate and up, in their places, of that of the product. */
export function swigluBackward(
  recorder: Recorder,
  { gate, up, dy, count }: { gate: Tensor; up: Tensor; dy: Tensor; count: number },
): void {
  recorder.add({
    label: 'swiglu backward',
    shader: { kernel: SWIGLU_BACKWARD, constants: { WG, COUNT: count } },
    bind: { dy: bound(dy, count), gate: bound(gate, count), up: bound(up, count) },
  });
}
