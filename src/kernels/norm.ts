// shaders/norm.wgsl
import type { Gpu } from '../gpu/device.ts';
import { type Kernel, reads, STEP, type StepShape, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type Activations, COUNT, SMALL, stride } from './tensor.ts';
import { REDUCTIONS, reduceInclude, type Tuning } from './tuning.ts';

/** Rows of a launch: those whose logits are wanted, or all. */
export const rowsOf = (step: StepShape, head: number): number => (head ? step.count : step.rows);

/** `1 / sqrt(mean(x^2) + eps)` of what is `size` values and padding. */
export function rmsScale(x: Float32Array, size: number, eps: number): number {
  let squares = 0;
  for (const value of x) squares += value * value;
  return 1 / Math.sqrt(squares / size + eps);
}

export const NORM: Kernel<'WG' | 'LANES' | 'K' | 'X_STRIDE4' | 'EPS' | 'HEAD' | 'NORM_GAIN' | 'ADD'> = {
  name: 'norm',
  choices: [
    REDUCTIONS,
    [
      { HEAD: false, NORM_GAIN: true, ADD: false },
      { HEAD: true, NORM_GAIN: true, ADD: false },
      { HEAD: false, NORM_GAIN: false, ADD: false },
      { HEAD: false, NORM_GAIN: true, ADD: true },
    ],
  ],
  sizes: { K: COUNT, X_STRIDE4: COUNT, EPS: SMALL },
  bindings: () => [
    reads('x', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.X_STRIDE4]),
    reads('vectors', 'vec4f', ({ constants }) => [4 * constants.X_STRIDE4]),
    writes('out', 'vec4f', ({ constants: { HEAD, X_STRIDE4 }, step }) => [rowsOf(step, HEAD), 4 * X_STRIDE4]),
    STEP,
  ],
  grid: ({ constants: { HEAD, LANES, WG }, step }) => [Math.ceil((rowsOf(step, HEAD) * LANES) / WG), 1, 1],
  *cpu({ constants, step, floats, pick }) {
    const { K, EPS, HEAD, NORM_GAIN, ADD } = constants;
    const padded = 4 * constants.X_STRIDE4;
    const gain = NORM_GAIN ? floats('vectors', 0, padded) : undefined;
    const first = HEAD ? step.first : 0;
    for (const row of pick(rowsOf(step, HEAD))) {
      const x = floats('x', (first + row) * padded, padded);
      const by = rmsScale(x, K, EPS);
      for (const i of pick(padded, 32)) {
        const value = x[i]! * by * (gain ? gain[i]! : 1);
        const at = row * padded + i;
        const before = ADD ? floats('out', at, 1)[0]! : 0;
        yield { binding: 'out', at, value: before + value, scale: Math.abs(before) + Math.abs(value) };
      }
    }
  },
};

/** RMSNorm of the rows of x: `out (rows, stride(cols))`, or added to what is there. */
export function norm(
  gpu: Gpu,
  tuning: Tuning,
  recorder: Recorder,
  call: {
    label: string;
    x: Activations;
    /** The gain; without it the norm has none. */
    vectors?: GPUBuffer;
    out: GPUBuffer;
    add?: boolean;
    eps: number;
    head: boolean;
    step: GPUBuffer;
  },
): void {
  const { x } = call;
  const { workgroup, lanes } = tuning.matvec;
  recorder.add({
    label: call.label,
    shader: {
      kernel: NORM,
      imports: { REDUCE: reduceInclude(gpu, lanes) },
      constants: {
        WG: workgroup,
        LANES: lanes,
        K: x.cols,
        X_STRIDE4: stride(x.cols) / 4,
        EPS: call.eps,
        HEAD: call.head,
        NORM_GAIN: call.vectors !== undefined,
        ADD: call.add ?? false,
      },
    },
    bind: { x: x.buffer, vectors: call.vectors ?? x.buffer, out: call.out, step: call.step },
  });
}
