// shaders/features/moments.wgsl and moment_vectors.wgsl
import { type Binding, type Kernel, reads, STEP, type TwinLaunch, writes } from '../gpu/kernel.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { COUNT, stride } from './tensor.ts';

/** Columns of a workgroup, which has half as many rows. */
const TILE = 32;
const WORKGROUP = 64;

/** Units of four of a row of z, and of one of a. */
type Sizes = 'STRIDE4' | 'A_STRIDE4';

/** Bindings of shaders/shared/features/activation_pair.wgsl, with the shape of the pairs that are added to. */
const pairBindings = (
  sums: (constants: Record<Sizes, number>, ofA: boolean) => number[],
): Binding<Sizes | 'OF_A'>[] => [
  reads('z', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.STRIDE4]),
  reads('before', 'vec4f', ({ constants, step }) => [step.context, 4 * constants.A_STRIDE4]),
  reads('after', 'vec4f', ({ constants, step }) => [step.context, 4 * constants.A_STRIDE4]),
  reads('rows', 'Row', ({ step }) => [step.rows, 4]),
  writes('sums', 'vec4f', ({ constants }) => sums(constants, Boolean(constants.OF_A))),
];

/** z and a of each row, and its position. */
function pairsOf({ constants, step, floats, words }: TwinLaunch<Sizes>) {
  const [size, sizeA] = [4 * constants.STRIDE4, 4 * constants.A_STRIDE4];
  return Array.from({ length: step.rows }, (_, row) => {
    const position = words('rows', 4 * row, 4)[2]!;
    const before = floats('before', position * sizeA, sizeA);
    const a = floats('after', position * sizeA, sizeA).map((value, i) => value - before[i]!);
    return { position, z: floats('z', row * size, size), a };
  });
}

/** A pair after terms were added to it. */
function pairSum({ floats }: TwinLaunch<Sizes>, at: number, low: number, terms: readonly number[]) {
  const before = floats('sums', at, 1)[0]! + floats('sums', low, 1)[0]!;
  const value = terms.reduce((sum, term) => sum + term, before);
  const scale = terms.reduce((sum, term) => sum + Math.abs(term), Math.abs(before));
  return { binding: 'sums', at, low, value, scale };
}

/** Columns of a launch are its items; with OF_A there are as many rows as a has. */
export const MOMENTS: Kernel<Sizes | 'OF_A'> = {
  name: 'moments',
  folder: 'features',
  choices: [[{ OF_A: false }, { OF_A: true }]],
  // Places in a matrix of this size squared are u32.
  sizes: { STRIDE4: [1, 2 ** 14], A_STRIDE4: [1, 2 ** 14] },
  bindings: () => [
    ...pairBindings(({ STRIDE4, A_STRIDE4 }, ofA) => [2, 4 * (ofA ? A_STRIDE4 : STRIDE4), 4 * STRIDE4]),
    STEP,
  ],
  grid: ({ constants: { A_STRIDE4, OF_A }, items }) => [
    Math.ceil(items / TILE),
    2 * Math.ceil((OF_A ? 4 * A_STRIDE4 : items) / TILE),
    1,
  ],
  *cpu(launch) {
    const { STRIDE4, A_STRIDE4, OF_A } = launch.constants;
    const size = 4 * STRIDE4;
    const low = size * (OF_A ? 4 * A_STRIDE4 : size);
    const pairs = pairsOf(launch);
    const columns = TILE * Math.ceil(launch.items / TILE);
    for (const i of launch.pick(OF_A ? 4 * A_STRIDE4 : columns))
      for (const j of launch.pick(OF_A ? columns : TILE * (Math.floor(i / TILE) + 1))) {
        const terms = pairs.map(({ z, a }) => (OF_A ? a : z)[i]! * z[j]!);
        yield pairSum(launch, i * size + j, low + i * size + j, terms);
      }
  },
};

/** Largest value that can be reckoned with. */
const LIMIT = 2 ** 50;

export const MOMENT_VECTORS: Kernel<Sizes | 'WG'> = {
  name: 'moment_vectors',
  folder: 'features',
  choices: [[{ WG: WORKGROUP }]],
  sizes: { STRIDE4: COUNT, A_STRIDE4: COUNT },
  bindings: () => [
    ...pairBindings(({ STRIDE4, A_STRIDE4 }) => [2, 4 * STRIDE4 + 8 * A_STRIDE4]),
    // bits of the first position of which a value is beyond LIMIT, inverted, so that 0 is none
    { name: 'odd', type: 'atomic<u32>', access: 'read_write', numbers: 'u32', shape: () => [1] },
    STEP,
  ],
  grid: ({ constants: { STRIDE4, WG } }) => [Math.ceil(STRIDE4 / WG), 1, 1],
  *cpu(launch) {
    const [size, sizeA] = [4 * launch.constants.STRIDE4, 4 * launch.constants.A_STRIDE4];
    const pairs = pairsOf(launch);
    for (const i of launch.pick(size)) {
      yield pairSum(
        launch,
        i,
        size + i,
        pairs.map(({ z }) => z[i]!),
      );
      if (i >= sizeA) continue;
      for (const [plane, terms] of [
        pairs.map(({ a }) => a[i]!),
        pairs.map(({ a }) => a[i]! ** 2),
      ].entries()) {
        const at = 2 * size + 2 * plane * sizeA + i;
        yield pairSum(launch, at, at + sizeA, terms);
      }
    }
    const odd = pairs.filter(({ z, a }) => [...z, ...a].some((value) => !(Math.abs(value) <= LIMIT)));
    const noted = odd.map(({ position }) => ~position >>> 0);
    yield { binding: 'odd', at: 0, value: Math.max(launch.words('odd', 0, 1)[0]!, ...noted), scale: 0 };
  },
};

/** Sums over tokens of z `(dz)` and a `(d)`. Each is two f32, and they are apart: all high parts of a matrix or vector, then all low. */
export interface MomentBuffers {
  /** Sum of z z', its lower triangle `(2, stride(dz), stride(dz))`. */
  G: GPUBuffer;
  /** Sum of a z', `(2, stride(d), stride(dz))`. */
  C: GPUBuffer;
  /** Sums of z `(2, stride(dz))`, of a and of a^2 `(2, stride(d))`. */
  vectors: GPUBuffer;
  /** u32: the bits of the first position that has a value that is NaN, infinite or beyond 2^50, inverted; 0 for none. */
  odd: GPUBuffer;
}

/** Bytes of each of the buffers. */
export const momentBytes = (d: number, dz = d): Record<keyof MomentBuffers, number> => ({
  G: 8 * stride(dz) ** 2,
  C: 8 * stride(d) * stride(dz),
  vectors: 8 * stride(dz) + 16 * stride(d),
  odd: 4,
});

/** Adds the rows' z and a = after - before to the sums, products and sums good to about 2^-42 of what is added up. */
export function addMoments(
  recorder: Recorder,
  call: {
    d: number;
    /** Columns of z, no fewer than of a (default d). */
    dz?: number;
    /** `(rows, stride(dz))` */
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
  const { d, dz = d, to, z, before, after, rows, step } = call;
  const sizes = { STRIDE4: stride(dz) / 4, A_STRIDE4: stride(d) / 4 };
  const pair = { z, before, after, rows, step };
  for (const OF_A of [false, true])
    recorder.add({
      label: OF_A ? 'sum of a z' : 'sum of z z',
      shader: { kernel: MOMENTS, constants: { ...sizes, OF_A } },
      bind: { ...pair, sums: OF_A ? to.C : to.G },
      items: dz,
    });
  recorder.add({
    label: 'sums of z and a',
    shader: { kernel: MOMENT_VECTORS, constants: { WG: WORKGROUP, ...sizes } },
    bind: { ...pair, sums: to.vectors, odd: to.odd },
  });
}
