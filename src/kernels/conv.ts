// shaders/features/conv.wgsl
import { type Kernel, reads, STEP, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { QKV_SIZES } from './qkv.ts';
import { type Activations, COUNT, stride } from './tensor.ts';
import type { Width } from './tuning.ts';

const WG = 64;
const { SEQUENCES, CONTEXT } = QKV_SIZES;

type Size = 'K' | 'X_STRIDE' | 'OUT_STRIDE' | 'SEEN_STRIDE' | 'TAPS' | 'SEQUENCES' | 'CONTEXT' | 'CAPACITY';

export const CONV: Kernel<Size | 'WG' | 'WRITE' | 'READ' | 'BIAS'> = {
  name: 'conv',
  folder: 'features',
  choices: [
    [{ WG }],
    [
      { WRITE: true, READ: true },
      { WRITE: true, READ: false },
      { WRITE: false, READ: true },
    ],
    [{ BIAS: false }, { BIAS: true }],
  ],
  sizes: {
    K: COUNT,
    X_STRIDE: COUNT,
    OUT_STRIDE: COUNT,
    SEEN_STRIDE: COUNT,
    TAPS: [2, 16],
    SEQUENCES,
    CONTEXT,
    CAPACITY: COUNT,
  },
  bindings: () => [
    reads('x', 'f32', ({ constants, step }) => [step.rows, constants.X_STRIDE]),
    // taps by position, then the bias
    reads('vectors', 'f32', ({ constants: { TAPS, K, BIAS } }) => [TAPS + BIAS, K]),
    writes('seen', 'f32', ({ constants: c }) => [c.SEQUENCES, c.CAPACITY, c.SEEN_STRIDE]),
    reads('rows', 'Row', ({ step }) => [step.rows, 4]),
    writes('out', 'f32', ({ constants, step }) => [step.rows, constants.OUT_STRIDE]),
    STEP,
  ],
  grid: ({ constants: { K, WRITE, READ }, step }) => [Math.ceil(K / WG), WRITE && READ ? 1 : step.rows, 1],
  *cpu({ constants, step, floats, words, pick }) {
    const { K, X_STRIDE, OUT_STRIDE, SEEN_STRIDE, TAPS, CONTEXT, CAPACITY, WRITE, READ, BIAS } = constants;
    for (const row of pick(WRITE && READ ? 1 : step.rows)) {
      const [, sequence, position] = words('rows', 4 * row, 4) as unknown as [number, number, number];
      if (position >= CONTEXT) continue;
      const seenAt = (at: number): number => (sequence * CAPACITY + (at % CAPACITY)) * SEEN_STRIDE;
      for (const channel of pick(K, 32)) {
        const third = (i: number): number => floats('x', row * X_STRIDE + i * K + channel, 1)[0]!;
        const own = third(0) * third(2);
        if (WRITE)
          yield { binding: 'seen', at: seenAt(position) + channel, value: own, scale: Math.abs(own) };
        if (!READ) continue;
        const tap = (back: number): number => floats('vectors', (TAPS - 1 - back) * K + channel, 1)[0]!;
        const terms = [tap(0) * own, BIAS ? floats('vectors', TAPS * K + channel, 1)[0]! : 0];
        for (let back = 1; back < Math.min(TAPS, position + 1); back++)
          terms.push(tap(back) * floats('seen', seenAt(position - back) + channel, 1)[0]!);
        const gate = third(1);
        yield {
          binding: 'out',
          at: row * OUT_STRIDE + channel,
          value: gate * terms.reduce((sum, term) => sum + term, 0),
          scale: Math.abs(gate) * Math.hypot(...terms),
        };
      }
    }
  },
};

/** Short convolution of `x (rows, stride(3 hidden))`: `out (rows, stride(hidden))`; what it has seen is kept by position. */
export function conv(
  recorder: Recorder,
  call: {
    x: Activations;
    mixer: { taps: number; conv: { bias: boolean } };
    /** `(taps, hidden)`, then the bias. */
    taps: GPUBuffer;
    /** `(sequences, capacity, stride(hidden))` */
    seen: GPUBuffer;
    sequences: number;
    context: number;
    capacity: number;
    rows: GPUBuffer;
    out: Activations;
    width: Width;
    step: GPUBuffer;
  },
): void {
  const { mixer, out } = call;
  const launch = (label: string, WRITE: boolean, READ: boolean): void =>
    recorder.add({
      label,
      shader: {
        kernel: CONV,
        constants: {
          WG,
          K: out.cols,
          X_STRIDE: stride(call.x.cols),
          OUT_STRIDE: stride(out.cols),
          SEEN_STRIDE: stride(out.cols),
          TAPS: mixer.taps,
          SEQUENCES: call.sequences,
          CONTEXT: call.context,
          CAPACITY: call.capacity,
          WRITE,
          READ,
          BIAS: mixer.conv.bias,
        },
      },
      bind: {
        x: call.x.buffer,
        vectors: call.taps,
        seen: call.seen,
        rows: call.rows,
        out: out.buffer,
        step: call.step,
      },
    });
  const alone = call.width === 'one';
  if (!alone) launch('conv seen', true, false);
  launch('conv', alone, true);
}
