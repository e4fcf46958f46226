import { type Kernel, reads, writes } from '../../gpu/kernel.ts';
import { type Recorder, spread } from '../../gpu/recorder.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { WG } from './lanes.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

export const TRAIN_ROPE: Kernel<'WG' | 'ROWS' | 'HEADS' | 'HALF' | 'LENGTH' | 'BACK'> = {
  name: 'train/rope',
  texts: TRAIN_SHADERS,
  choices: [[{ WG }], [{ BACK: false }, { BACK: true }]],
  sizes: { ROWS: COUNT, HEADS: COUNT, HALF: COUNT, LENGTH: COUNT },
  bindings: () => [
    reads('turns', 'f32', ({ constants: { LENGTH, HALF } }) => [LENGTH, HALF, 2]),
    writes('x', 'f32', ({ constants: { ROWS, HEADS, HALF } }) => [ROWS, HEADS, 2, HALF]),
  ],
  grid: ({ constants: { ROWS, HEADS, HALF } }, most) => [
    ...spread(Math.ceil((ROWS * HEADS * HALF) / WG), most),
    1,
  ],
  *cpu({ constants: { ROWS, HEADS, HALF, LENGTH, BACK }, floats, pick }) {
    for (const i of pick(ROWS * HEADS * HALF)) {
      const [vector, pair] = [Math.floor(i / HALF), i % HALF];
      const position = Math.floor(vector / HEADS) % LENGTH;
      const [cosine, turned] = floats('turns', 2 * (position * HALF + pair), 2) as unknown as [
        number,
        number,
      ];
      const sine = BACK ? -turned : turned;
      const at = vector * 2 * HALF + pair;
      const [a, b] = [floats('x', at, 1)[0]!, floats('x', at + HALF, 1)[0]!];
      const scale = Math.hypot(a, b);
      yield { binding: 'x', at, value: a * cosine - b * sine, scale };
      yield { binding: 'x', at: at + HALF, value: b * cosine + a * sine, scale };
    }
  },
};

/** Turns x `(rows, heads, headDim)` by its positions in windows of `length`, in place; or, for gradients, back. */
export function trainRope(
  recorder: Recorder,
  call: {
    x: Tensor;
    /** Of `ropeTable`. */
    table: Tensor;
    rows: number;
    heads: number;
    headDim: number;
    length: number;
    back: boolean;
  },
): void {
  const { x, table, rows, heads, headDim, length, back } = call;
  recorder.add({
    label: back ? 'rope backward' : 'rope',
    shader: {
      kernel: TRAIN_ROPE,
      constants: { WG, ROWS: rows, HEADS: heads, HALF: headDim / 2, LENGTH: length, BACK: back },
    },
    bind: { turns: bound(table, length * headDim), x: bound(x, rows * heads * headDim) },
  });
}
