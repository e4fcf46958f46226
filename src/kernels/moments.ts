// Launches shaders/moments.wgsl and moment_vectors.wgsl.
import type { Kernel } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { COUNT, stride } from './tensor.ts';

const TILE = 32;
const WORKGROUP = 64;

export const MOMENTS: Kernel = {
  name: 'moments',
  choices: [[{ OF_A: false }, { OF_A: true }]],
  // Places in a matrix of this size squared are u32.
  sizes: { STRIDE4: [1, 2 ** 14] },
};

export const MOMENT_VECTORS: Kernel = {
  name: 'moment_vectors',
  choices: [[{ WG: WORKGROUP }]],
  sizes: { STRIDE4: COUNT },
};

/** Sums over tokens of z and a `(d)`. Each is two f32, and they are apart: all high parts of a matrix or vector, then all low. */
export interface MomentBuffers {
  /** Sum of z z', its lower triangle `(2, stride(d), stride(d))`. */
  G: GPUBuffer;
  /** Sum of a z', as G. */
  C: GPUBuffer;
  /** Sums of z, of a and of a^2, `(3, 2, stride(d))`. */
  vectors: GPUBuffer;
  /** u32: the bits of the first position that has a value that is NaN, infinite or beyond 2^50, inverted; 0 for none. */
  odd: GPUBuffer;
}

/** Bytes of each of the buffers. */
export const momentBytes = (d: number): Record<keyof MomentBuffers, number> => ({
  G: 8 * stride(d) ** 2,
  C: 8 * stride(d) ** 2,
  vectors: 24 * stride(d),
  odd: 4,
});

/** Adds the rows' z and a = after - before to the sums, products and sums good to about 2^-42 of what is added up. */
export function addMoments(
  recorder: Recorder,
  call: {
    d: number;
    /** `(rows, stride(d))` */
    z: GPUBuffer;
    /** `(positions, stride(d))`, as `after`. */
    before: GPUBuffer;
    after: GPUBuffer;
    /** Rows of the forward, for their positions. */
    rows: GPUBuffer;
    to: MomentBuffers;
    step: GPUBuffer;
  },
): void {
  const { d, to, z, before, after, rows, step } = call;
  const STRIDE4 = stride(d) / 4;
  const tiles = Math.ceil(d / TILE);
  const pair = { z, before, after, rows, step };
  for (const OF_A of [false, true])
    recorder.add({
      label: OF_A ? 'sum of a z' : 'sum of z z',
      shader: { kernel: MOMENTS, constants: { STRIDE4, OF_A } },
      bind: { ...pair, sums: OF_A ? to.C : to.G },
      grid: () => [tiles, tiles, 1],
    });
  recorder.add({
    label: 'sums of z and a',
    shader: { kernel: MOMENT_VECTORS, constants: { WG: WORKGROUP, STRIDE4 } },
    bind: { ...pair, sums: to.vectors, odd: to.odd },
    grid: () => [Math.ceil(STRIDE4 / WORKGROUP), 1, 1],
  });
}
