import { type Kernel, reads, writes } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { WG } from './lanes.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

type Size = 'WG' | 'ROWS' | 'K' | 'VOCAB';
const shared = {
  choices: [[{ WG }]],
  sizes: { ROWS: COUNT, K: COUNT, VOCAB: COUNT },
  grid: ({ constants: { ROWS, K } }: { constants: Record<Size, number> }) =>
    [Math.ceil(K / WG), ROWS, 1] as const,
};

export const GATHER: Kernel<Size> = {
  name: 'train/gather',
  texts: TRAIN_SHADERS,
  ...shared,
  bindings: () => [
    reads('tokens', 'u32', ({ constants: { ROWS } }) => [ROWS]),
    reads('embedding', 'f32', ({ constants: { VOCAB, K } }) => [VOCAB, K]),
    writes('out', 'f32', ({ constants: { ROWS, K } }) => [ROWS, K]),
  ],
  *cpu({ constants: { ROWS, K }, floats, words, pick }) {
    for (const row of pick(ROWS)) {
      const token = words('tokens', row, 1)[0]!;
      for (const i of pick(K, 32))
        yield { binding: 'out', at: row * K + i, value: floats('embedding', token * K + i, 1)[0]!, scale: 0 };
    }
  },
};

export const SCATTER: Kernel<Size> = {
  name: 'train/scatter',
  texts: TRAIN_SHADERS,
  ...shared,
  bindings: () => [
    reads('runs', 'u32', ({ constants: { ROWS } }) => [ROWS, 3]),
    reads('order', 'u32', ({ constants: { ROWS } }) => [ROWS]),
    reads('dy', 'f32', ({ constants: { ROWS, K } }) => [ROWS, K]),
    writes('out', 'f32', ({ constants: { VOCAB, K } }) => [VOCAB, K]),
  ],
  *cpu({ constants: { ROWS, K }, floats, words, pick }) {
    for (const run of pick(ROWS)) {
      const [token, first, count] = words('runs', 3 * run, 3) as unknown as [number, number, number];
      if (count === 0) continue;
      const rows = words('order', first, count);
      for (const i of pick(K, 32)) {
        const at = token * K + i;
        const terms = [floats('out', at, 1)[0]!];
        for (const row of rows) terms.push(floats('dy', row * K + i, 1)[0]!);
        const value = terms.reduce((sum, term) => sum + term, 0);
        yield { binding: 'out', at, value, scale: Math.hypot(...terms) };
      }
    }
  },
};

/** Rows of a batch by their tokens: `runs (rows, 3)` and `order (rows)` for `scatter`. */
export function runsOf(tokens: ArrayLike<number>): {
  runs: Uint32Array<ArrayBuffer>;
  order: Uint32Array<ArrayBuffer>;
} {
  const rows = tokens.length;
  const order = Uint32Array.from({ length: rows }, (_, row) => row).sort(
    (a, b) => tokens[a]! - tokens[b]! || a - b,
  );
  const runs = new Uint32Array(3 * rows);
  let count = 0;
  for (const [at, row] of order.entries()) {
    const token = tokens[row]!;
    if (at === 0 || runs[3 * (count - 1)] !== token) runs.set([token, at, 0], 3 * count++);
    runs[3 * count - 1]!++;
  }
  return { runs, order };
}

interface Shape {
  rows: number;
  cols: number;
  vocab: number;
}

const constantsOf = ({ rows, cols, vocab }: Shape) => ({ WG, ROWS: rows, K: cols, VOCAB: vocab });

/** `out (rows, cols)`: the table's rows of these tokens. */
export function gather(
  recorder: Recorder,
  call: Shape & { tokens: GPUBuffer; table: Tensor; out: Tensor },
): void {
  recorder.add({
    label: 'embed',
    shader: { kernel: GATHER, constants: constantsOf(call) },
    bind: {
      tokens: call.tokens,
      embedding: bound(call.table, call.vocab * call.cols),
      out: bound(call.out, call.rows * call.cols),
    },
  });
}

/** Adds the gradient of the table's rows to `out (vocab, cols)`. */
export function scatter(
  recorder: Recorder,
  call: Shape & { runs: GPUBuffer; order: GPUBuffer; dy: Tensor; out: Tensor },
): void {
  recorder.add({
    label: 'embed backward',
    shader: { kernel: SCATTER, constants: constantsOf(call) },
    bind: {
      runs: call.runs,
      order: call.order,
      dy: bound(call.dy, call.rows * call.cols),
      out: bound(call.out, call.vocab * call.cols),
    },
  });
}
