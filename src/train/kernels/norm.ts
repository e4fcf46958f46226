import type { Gpu } from '../../gpu/device.ts';
import { type Kernel, reads, writes } from '../../gpu/kernel.ts';
import { type Recorder, spread } from '../../gpu/recorder.ts';
import { COUNT, SMALL } from '../../kernels/tensor.ts';
import { REDUCTIONS } from '../../kernels/tuning.ts';
import { rowLanes } from './lanes.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

type Size = 'WG' | 'LANES' | 'ROWS' | 'K' | 'EPS' | 'NORM_GAIN';

const sizes = { ROWS: COUNT, K: COUNT, EPS: SMALL };

export const TRAIN_NORM: Kernel<Size> = {
  name: 'train/norm',
  texts: TRAIN_SHADERS,
  choices: [REDUCTIONS, [{ NORM_GAIN: true }, { NORM_GAIN: false }]],
  sizes,
  bindings: () => [
    reads('x', 'f32', ({ constants: { ROWS, K } }) => [ROWS, K]),
    reads('gain', 'f32', ({ constants: { K } }) => [K]),
    writes('out', 'f32', ({ constants: { ROWS, K } }) => [ROWS, K]),
  ],
  grid: ({ constants: { ROWS, LANES, WG } }, most) => [...spread(Math.ceil((ROWS * LANES) / WG), most), 1],
  *cpu({ constants: { ROWS, K, EPS, NORM_GAIN }, floats, pick }) {
    for (const row of pick(ROWS)) {
      const x = floats('x', row * K, K);
      const gain = NORM_GAIN ? floats('gain', 0, K) : undefined;
      const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / K + EPS);
      for (const i of pick(K, 32)) {
        const value = x[i]! * scale * (gain ? gain[i]! : 1);
        yield { binding: 'out', at: row * K + i, value, scale: Math.abs(value) };
      }
    }
  },
};

export const NORM_BACKWARD: Kernel<Size | 'ADD'> = {
  name: 'train/norm_backward',
  texts: TRAIN_SHADERS,
  choices: [
    REDUCTIONS,
    [
      { NORM_GAIN: true, ADD: true },
      { NORM_GAIN: true, ADD: false },
      { NORM_GAIN: false, ADD: true },
      { NORM_GAIN: false, ADD: false },
    ],
  ],
  sizes,
  bindings: () => [
    reads('x', 'f32', ({ constants: { ROWS, K } }) => [ROWS, K]),
    reads('gain', 'f32', ({ constants: { K } }) => [K]),
    reads('dy', 'f32', ({ constants: { ROWS, K } }) => [ROWS, K]),
    writes('dx', 'f32', ({ constants: { ROWS, K } }) => [ROWS, K]),
    writes('row_scales', 'f32', ({ constants: { ROWS } }) => [ROWS]),
  ],
  grid: ({ constants: { ROWS, LANES, WG } }, most) => [...spread(Math.ceil((ROWS * LANES) / WG), most), 1],
  *cpu({ constants: { ROWS, K, EPS, NORM_GAIN, ADD }, floats, pick }) {
    for (const row of pick(ROWS)) {
      const x = floats('x', row * K, K);
      const slopes = Float64Array.from(floats('dy', row * K, K));
      if (NORM_GAIN) for (const [i, gain] of floats('gain', 0, K).entries()) slopes[i]! *= gain;
      const scale = 1 / Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / K + EPS);
      const along = (x.reduce((sum, value, i) => sum + value * slopes[i]!, 0) * scale * scale) / K;
      const size = scale * (Math.hypot(...slopes) + Math.hypot(...x) * Math.abs(along));
      for (const i of pick(K, 32)) {
        const before = ADD ? floats('dx', row * K + i, 1)[0]! : 0;
        const value = before + scale * (slopes[i]! - x[i]! * along);
        yield { binding: 'dx', at: row * K + i, value, scale: Math.abs(before) + size };
      }
      yield { binding: 'row_scales', at: row, value: scale, scale };
    }
  },
};

/** Rows to be normed. */
export interface NormShape {
  rows: number;
  cols: number;
  eps: number;
}

/** RMSNorm of the rows of x; without a gain, it has none. */
export function trainNorm(
  gpu: Gpu,
  recorder: Recorder,
  { rows, cols, eps, x, gain, out }: NormShape & { x: Tensor; gain?: Tensor | undefined; out: Tensor },
): void {
  const { imports, constants } = rowLanes(gpu);
  recorder.add({
    label: 'norm',
    shader: {
      kernel: TRAIN_NORM,
      imports,
      constants: { ...constants, ROWS: rows, K: cols, EPS: eps, NORM_GAIN: gain !== undefined },
    },
    bind: { x: bound(x, rows * cols), gain: bound(gain ?? x, cols), out: bound(out, rows * cols) },
  });
}

/** Gradient of the rows of x, of that of their norm; with `add`, added to dx. `scales (rows)` are what x is multiplied with. */
export function normBackward(
  gpu: Gpu,
  recorder: Recorder,
  call: NormShape & {
    x: Tensor;
    gain?: Tensor | undefined;
    dy: Tensor;
    dx: Tensor;
    add: boolean;
    scales: Tensor;
  },
): void {
  const { rows, cols, eps, x, gain, dy, dx, add, scales } = call;
  const { imports, constants } = rowLanes(gpu);
  recorder.add({
    label: 'norm backward',
    shader: {
      kernel: NORM_BACKWARD,
      imports,
      constants: { ...constants, ROWS: rows, K: cols, EPS: eps, NORM_GAIN: gain !== undefined, ADD: add },
    },
    bind: {
      x: bound(x, rows * cols),
      gain: bound(gain ?? x, cols),
      dy: bound(dy, rows * cols),
      dx: bound(dx, rows * cols),
      row_scales: bound(scales, rows),
    },
  });
}
