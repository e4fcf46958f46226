// shaders/features/inputs.wgsl
import { type Kernel, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { QKV_SIZES } from './qkv.ts';
import { type Activations, COUNT, stride } from './tensor.ts';
import type { Width } from './tuning.ts';

const WG = 64;
const { SEQUENCES, CONTEXT } = QKV_SIZES;

/** Most positions that a linear map sees. */
export const MOST_INPUTS = 16;

type Size = 'K' | 'Z_STRIDE' | 'OUT_STRIDE' | 'SEEN_STRIDE' | 'INPUTS' | 'SEQUENCES' | 'CONTEXT' | 'CAPACITY';

export const INPUTS: Kernel<Size | 'WG' | 'WRITE' | 'READ'> = {
  name: 'inputs',
  folder: 'features',
  choices: [
    [{ WG }],
    [
      { WRITE: true, READ: true },
      { WRITE: true, READ: false },
      { WRITE: false, READ: true },
    ],
  ],
  sizes: {
    K: COUNT,
    Z_STRIDE: COUNT,
    OUT_STRIDE: COUNT,
    SEEN_STRIDE: COUNT,
    INPUTS: [2, MOST_INPUTS],
    SEQUENCES,
    CONTEXT,
    CAPACITY: COUNT,
  },
  bindings: () => [
    reads('z', 'f32', ({ constants, step }) => [step.rows, constants.Z_STRIDE]),
    writes('seen', 'f32', ({ constants: c }) => [c.SEQUENCES, c.CAPACITY, c.SEEN_STRIDE]),
    reads('rows', 'Row', ({ step }) => [step.rows, 4]),
    writes('out', 'f32', ({ constants, step }) => [step.rows, constants.OUT_STRIDE]),
    STEP,
  ],
  grid: ({ constants: { K, WRITE, READ }, step }) => [Math.ceil(K / WG), WRITE && READ ? 1 : step.rows, 1],
  *cpu({ constants, step, floats, words, pick }) {
    const { K, Z_STRIDE, OUT_STRIDE, SEEN_STRIDE, INPUTS, CONTEXT, CAPACITY, WRITE, READ } = constants;
    for (const row of pick(WRITE && READ ? 1 : step.rows)) {
      const [, sequence, position] = words('rows', 4 * row, 4) as unknown as [number, number, number];
      if (position >= CONTEXT) continue;
      const seenAt = (at: number): number => (sequence * CAPACITY + (at % CAPACITY)) * SEEN_STRIDE;
      for (const column of pick(K, 32)) {
        const own = floats('z', row * Z_STRIDE + column, 1)[0]!;
        if (WRITE) yield { binding: 'seen', at: seenAt(position) + column, value: own, scale: 0 };
        if (!READ) continue;
        for (let back = 0; back < INPUTS; back++) {
          const before = back > position ? 0 : floats('seen', seenAt(position - back) + column, 1)[0]!;
          const value = back === 0 ? own : before;
          yield { binding: 'out', at: row * OUT_STRIDE + back * K + column, value, scale: 0 };
        }
      }
    }
  },
};

/** Puts z of each row's last positions behind one another: `out (rows, stride(inputs * hidden))`; what was seen is kept by position. */
export function gatherInputs(
  recorder: Recorder,
  call: {
    z: Activations;
    inputs: number;
    /** `(sequences, capacity, stride(hidden))` */
    seen: GPUBuffer;
    sequences: number;
    context: number;
    capacity: number;
    rows: GPUBuffer;
    out: GPUBuffer;
    width: Width;
    step: GPUBuffer;
  },
): void {
  const { z, inputs, seen, rows, out, step } = call;
  const launch = (label: string, WRITE: boolean, READ: boolean): void =>
    recorder.add({
      label,
      shader: {
        kernel: INPUTS,
        constants: {
          WG,
          K: z.cols,
          Z_STRIDE: stride(z.cols),
          OUT_STRIDE: stride(inputs * z.cols),
          SEEN_STRIDE: stride(z.cols),
          INPUTS: inputs,
          SEQUENCES: call.sequences,
          CONTEXT: call.context,
          CAPACITY: call.capacity,
          WRITE,
          READ,
        },
      },
      bind: { z: z.buffer, seen, rows, out, step },
    });
  const alone = call.width === 'one';
  if (!alone) launch('linear inputs seen', true, false);
  launch('linear inputs', alone, true);
}
