import { type Kernel, reads, writes } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { WG } from './lanes.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

export const COLUMN_SUMS: Kernel<'WG' | 'ROWS' | 'COLS' | 'SLICE' | 'PRODUCT' | 'ADD'> = {
  name: 'train/column_sums',
  texts: TRAIN_SHADERS,
  choices: [
    [{ WG }],
    [
      { PRODUCT: true, ADD: false },
      { PRODUCT: false, ADD: false },
      { PRODUCT: false, ADD: true },
    ],
  ],
  sizes: { ROWS: COUNT, COLS: COUNT, SLICE: COUNT },
  bindings: () => [
    reads('x', 'f32', ({ constants: { ROWS, COLS } }) => [ROWS, COLS]),
    reads('y', 'f32', ({ constants: { ROWS, COLS } }) => [ROWS, COLS]),
    reads('row_scales', 'f32', ({ constants: { ROWS } }) => [ROWS]),
    writes('out', 'f32', ({ constants: { ROWS, COLS, SLICE } }) => [Math.ceil(ROWS / SLICE), COLS]),
  ],
  grid: ({ constants: { ROWS, COLS, SLICE } }) => [Math.ceil(COLS / WG), Math.ceil(ROWS / SLICE), 1],
  *cpu({ constants: { ROWS, COLS, SLICE, PRODUCT, ADD }, floats, pick }) {
    for (const part of pick(Math.ceil(ROWS / SLICE)))
      for (const column of pick(COLS, 32)) {
        const place = part * COLS + column;
        const terms = [ADD ? floats('out', place, 1)[0]! : 0];
        for (let row = part * SLICE; row < Math.min(ROWS, (part + 1) * SLICE); row++) {
          const at = row * COLS + column;
          const by = PRODUCT ? floats('y', at, 1)[0]! * floats('row_scales', row, 1)[0]! : 1;
          terms.push(floats('x', at, 1)[0]! * by);
        }
        const value = terms.reduce((sum, term) => sum + term, 0);
        yield { binding: 'out', at: place, value, scale: Math.hypot(...terms) };
      }
  },
};

/** Rows that a thread adds up. */
const SLICE = 64;

/** How many sums `columnSums` keeps meanwhile. */
export const columnParts = (rows: number, cols: number): number => Math.ceil(rows / SLICE) * cols;

/**
 * Adds the sums of the columns of x, or of x times y by rows' scales, to `out (cols)`.
 * @param call.parts room for `columnParts` numbers
 */
export function columnSums(
  recorder: Recorder,
  call: {
    rows: number;
    cols: number;
    x: Tensor;
    product?: { y: Tensor; scales: Tensor } | undefined;
    parts: Tensor;
    out: Tensor;
  },
): void {
  const { rows, cols, x, product, parts, out } = call;
  const launch = (from: Tensor, to: Tensor, sizes: { ROWS: number; SLICE: number }, last: boolean): void =>
    recorder.add({
      label: 'column sums',
      shader: {
        kernel: COLUMN_SUMS,
        constants: { WG, COLS: cols, ...sizes, PRODUCT: !last && product !== undefined, ADD: last },
      },
      bind: {
        x: bound(from, sizes.ROWS * cols),
        y: bound((!last && product?.y) || from, sizes.ROWS * cols),
        row_scales: bound((!last && product?.scales) || from, sizes.ROWS),
        out: bound(to, Math.ceil(sizes.ROWS / sizes.SLICE) * cols),
      },
    });
  const slices = Math.ceil(rows / SLICE);
  launch(x, parts, { ROWS: rows, SLICE }, false);
  launch(parts, out, { ROWS: slices, SLICE: slices }, true);
}
