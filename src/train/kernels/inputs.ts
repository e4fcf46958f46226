// shaders/train/inputs.wgsl and inputs_backward.wgsl
import { type Grid, type Kernel, type Launch, reads, writes } from '../../gpu/kernel.ts';
import { type Recorder, spread } from '../../gpu/recorder.ts';
import { MOST_INPUTS } from '../../kernels/inputs.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { WG } from './lanes.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

type Size = 'ROWS' | 'COLS' | 'LENGTH' | 'INPUTS';

const shared = {
  texts: TRAIN_SHADERS,
  choices: [[{ WG }]],
  sizes: { ROWS: COUNT, COLS: COUNT, LENGTH: COUNT, INPUTS: [2, MOST_INPUTS] },
  grid: ({ constants: { ROWS, COLS } }: Launch<Size | 'WG'>, most: number): Grid => [
    ...spread(Math.ceil((ROWS * COLS) / WG), most),
    1,
  ],
} as const;

const own = ({ constants: { ROWS, COLS } }: Launch<Size | 'WG'>): number[] => [ROWS, COLS];
const several = ({ constants: { ROWS, COLS, INPUTS } }: Launch<Size | 'WG'>): number[] => [
  ROWS,
  INPUTS * COLS,
];

export const TRAIN_INPUTS: Kernel<Size | 'WG'> = {
  name: 'train/inputs',
  ...shared,
  bindings: () => [reads('z', 'f32', own), writes('out', 'f32', several)],
  *cpu({ constants: { ROWS, COLS, LENGTH, INPUTS }, floats, pick }) {
    for (const row of pick(ROWS, 16))
      for (const column of pick(COLS, 16))
        for (let back = 0; back < INPUTS; back++) {
          const value = back <= row % LENGTH ? floats('z', (row - back) * COLS + column, 1)[0]! : 0;
          yield { binding: 'out', at: (row * INPUTS + back) * COLS + column, value, scale: 0 };
        }
  },
};

export const INPUTS_BACKWARD: Kernel<Size | 'WG'> = {
  name: 'train/inputs_backward',
  ...shared,
  bindings: () => [reads('dy', 'f32', several), writes('dz', 'f32', own)],
  *cpu({ constants: { ROWS, COLS, LENGTH, INPUTS }, floats, pick }) {
    for (const row of pick(ROWS, 16))
      for (const column of pick(COLS, 16)) {
        const later = Array.from({ length: Math.min(INPUTS, LENGTH - (row % LENGTH)) }, (_, back) => back);
        const terms = later.map(
          (back) => floats('dy', ((row + back) * INPUTS + back) * COLS + column, 1)[0]!,
        );
        yield {
          binding: 'dz',
          at: row * COLS + column,
          value: terms.reduce((sum, term) => sum + term, 0),
          scale: Math.hypot(...terms),
        };
      }
  },
};

/** Rows of windows of `length` each. */
interface Shape {
  rows: number;
  cols: number;
  length: number;
  inputs: number;
}

const constantsOf = ({ rows, cols, length, inputs }: Shape) => ({
  WG,
  ROWS: rows,
  COLS: cols,
  LENGTH: length,
  INPUTS: inputs,
});

/** `out (rows, inputs * cols)` of z `(rows, cols)`: that of each row, of the one before it in its window, and so on. */
export function trainInputs(recorder: Recorder, call: Shape & { z: Tensor; out: Tensor }): void {
  const count = call.rows * call.cols;
  recorder.add({
    label: 'inputs',
    shader: { kernel: TRAIN_INPUTS, constants: constantsOf(call) },
    bind: { z: bound(call.z, count), out: bound(call.out, call.inputs * count) },
  });
}

/** The gradient of z of that of what was made of it. */
export function inputsBackward(recorder: Recorder, call: Shape & { dy: Tensor; dz: Tensor }): void {
  const count = call.rows * call.cols;
  recorder.add({
    label: 'inputs backward',
    shader: { kernel: INPUTS_BACKWARD, constants: constantsOf(call) },
    bind: { dy: bound(call.dy, call.inputs * count), dz: bound(call.dz, count) },
  });
}
