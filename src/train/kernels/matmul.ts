// shaders/train/matmul_lanes.wgsl and matmul_tiled.wgsl
import { ShishuError } from '../../errors.ts';
import type { Gpu } from '../../gpu/device.ts';
import {
  type Asked,
  type Binding,
  combine,
  type Fixed,
  type Kernel,
  reads,
  type ShaderSpec,
  type TwinLaunch,
  writes,
} from '../../gpu/kernel.ts';
import { type Recorder, spread } from '../../gpu/recorder.ts';
import { COUNT } from '../../kernels/tensor.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

/** How a and b lie: n as they are multiplied, t turned. */
const KINDS = {
  nt: { A_TURNED: false, B_TURNED: true },
  nn: { A_TURNED: false, B_TURNED: false },
  tn: { A_TURNED: true, B_TURNED: false },
} as const;

type Constant = 'M' | 'N' | 'K' | 'A_TURNED' | 'B_TURNED' | 'ADD';

/** Rows of a matrix are read and written four numbers at a time where their length allows. */
const A: readonly Fixed[] = [{ A: 'a_four' }, { A: 'a_one' }];
const B: readonly Fixed[] = [{ B: 'b_four' }, { B: 'b_one' }, { B: 'b_half' }];
const OUT: readonly Fixed[] = [{ OUT: 'out_four' }, { OUT: 'out_one' }];
const ENDS: readonly Fixed[] = [
  { ADD: false, BIAS: 'without_bias' },
  { ADD: true, BIAS: 'without_bias' },
  { ADD: false, BIAS: 'with_bias' },
];
const PRODUCTS: readonly (readonly Fixed[])[] = [Object.values(KINDS), A, B, OUT, ENDS];

const element = (four: boolean): string => (four ? 'vec4f' : 'f32');

const productBindings = ({ imports }: Asked<Constant>): Binding<Constant>[] => {
  const ofB: Binding<Constant>['shape'] = ({ constants: { N, K, B_TURNED } }) => (B_TURNED ? [N, K] : [K, N]);
  return [
    reads('a', element(imports.A === 'a_four'), ({ constants: { M, K, A_TURNED } }) =>
      A_TURNED ? [K, M] : [M, K],
    ),
    imports.B === 'b_half'
      ? reads('b', 'vec2<u32>', ofB, 'f16')
      : reads('b', element(imports.B === 'b_four'), ofB),
    ...(imports.BIAS === 'with_bias' ? [reads<'N'>('bias', 'f32', ({ constants }) => [constants.N])] : []),
    writes('out', element(imports.OUT === 'out_four'), ({ constants: { M, N } }) => [M, N]),
  ];
};

function* product({ constants, imports, floats, pick }: TwinLaunch<Constant>) {
  const { M, N, K, A_TURNED, B_TURNED, ADD } = constants;
  const a = floats('a', 0, M * K);
  const b = floats('b', 0, N * K);
  for (const i of pick(M))
    for (const j of pick(N)) {
      const at = i * N + j;
      let value = 0;
      let squares = 0;
      const take = (term: number): void => {
        value += term;
        squares += term * term;
      };
      for (let k = 0; k < K; k++)
        take((A_TURNED ? a[k * M + i]! : a[i * K + k]!) * (B_TURNED ? b[j * K + k]! : b[k * N + j]!));
      if (imports.BIAS === 'with_bias') take(floats('bias', j, 1)[0]!);
      if (ADD) take(floats('out', at, 1)[0]!);
      yield { binding: 'out', at, value, scale: Math.sqrt(squares) };
    }
}

/** Lanes of the adapters that it is for tell one another rows where subgroups are sure to be of so many. */
const LANES: readonly Fixed[] = combine(
  [{ ROWS: 'rows_told' }, { ROWS: 'rows_own' }],
  [{ LANES: 8 }, { LANES: 4 }],
);

export const MATMUL_LANES: Kernel<Constant | 'LANES'> = {
  name: 'train/matmul_lanes',
  texts: TRAIN_SHADERS,
  choices: [LANES, ...PRODUCTS],
  sizes: { M: COUNT, N: COUNT, K: COUNT },
  bindings: productBindings,
  // Rows first: workgroups that run at the same time share columns, which are read most.
  grid: ({ constants: { M, N, LANES } }) => [Math.ceil(M / 2 / LANES), Math.ceil(N / 4 / LANES), 1],
  cpu: product,
};

/** Rows and columns of a workgroup, its threads, how much of K it takes at a time, and the columns of a thread beside eight rows. */
interface Tile {
  TALL: number;
  WIDE: number;
  WG: number;
  DEPTH: number;
  ACROSS: 8 | 4;
  SUMS: 'tile_alone' | 'tile_groups';
}

/** By the columns of a thread; largest first: they read least again, and small ones are more workgroups. */
const TILES: readonly Tile[] = [
  { TALL: 128, WIDE: 128, WG: 256, DEPTH: 8, ACROSS: 8, SUMS: 'tile_alone' },
  { TALL: 64, WIDE: 64, WG: 64, DEPTH: 16, ACROSS: 8, SUMS: 'tile_alone' },
  { TALL: 32, WIDE: 32, WG: 64, DEPTH: 32, ACROSS: 8, SUMS: 'tile_groups' },
  { TALL: 64, WIDE: 64, WG: 128, DEPTH: 16, ACROSS: 4, SUMS: 'tile_alone' },
  { TALL: 32, WIDE: 32, WG: 64, DEPTH: 32, ACROSS: 4, SUMS: 'tile_groups' },
];

/** A launch has at least as many workgroups, where the smallest tile allows. */
const WORKGROUPS = 128;

export const MATMUL_TILED: Kernel<Constant | 'TALL' | 'WIDE' | 'WG' | 'DEPTH' | 'ACROSS'> = {
  name: 'train/matmul_tiled',
  texts: TRAIN_SHADERS,
  choices: [TILES.map((tile) => ({ ...tile })), ...PRODUCTS],
  sizes: { M: COUNT, N: COUNT, K: COUNT },
  bindings: productBindings,
  grid: ({ constants: { M, N, TALL, WIDE } }, most) => [
    Math.ceil(M / TALL),
    ...spread(Math.ceil(N / WIDE), most),
  ],
  cpu: product,
};

/** Threads of GPUs whose subgroups may be narrower than 32 have half as many registers. */
function tileFor({ subgroupSize }: Gpu, m: number, n: number): Tile {
  const across = subgroupSize.min >= 32 ? 8 : 4;
  const some = TILES.filter(({ ACROSS }) => ACROSS === across);
  return (
    some.find(({ TALL, WIDE }) => Math.ceil(m / TALL) * Math.ceil(n / WIDE) >= WORKGROUPS) ?? some.at(-1)!
  );
}

/** Which kernel makes a product of `(m, n)`. */
function madeBy(
  gpu: Gpu,
  m: number,
  n: number,
): Pick<ShaderSpec, 'kernel' | 'constants'> & { imports: Record<string, string> } {
  if (gpu.profile === 'gpu') {
    const { SUMS, ...constants } = tileFor(gpu, m, n);
    return { kernel: MATMUL_TILED, imports: { SUMS }, constants };
  }
  const { features, subgroupSize } = gpu;
  const { min, max } = subgroupSize;
  const told = features.subgroups && min === max && (min === 4 || min === 8);
  return {
    kernel: MATMUL_LANES,
    imports: { ROWS: told ? 'rows_told' : 'rows_own' },
    constants: { LANES: told ? min : 8 },
  };
}

/**
 * `out (m, n)` = or, with `accumulate`, += a matrix product: of kind nt `a (m, k)` and `b (n, k)` turned, nn `a (m, k)` and
 * `b (k, n)`, tn `a (k, m)` turned and `b (k, n)`. `bias (n)` is added to every row, without `accumulate`.
 */
export function matmul(
  recorder: Recorder,
  call: {
    kind: 'nt' | 'nn' | 'tn';
    a: Tensor;
    b: Tensor;
    /** In no buffer of a, b or the bias. */
    out: Tensor;
    m: number;
    n: number;
    k: number;
    accumulate?: boolean | undefined;
    bias?: Tensor | undefined;
    /** b is f16, in rows of whole fours; sums are f32. */
    half?: boolean | undefined;
  },
): void {
  const { kind, a, b, out, m, n, k, accumulate = false, bias, half = false } = call;
  const { kernel, imports, constants } = madeBy(recorder.gpu, m, n);
  const [aColumns, bColumns] = [kind === 'tn' ? m : k, kind === 'nt' ? k : n];
  if (half && bColumns % 4 !== 0)
    throw new ShishuError(
      'bad-argument',
      `A matrix of f16 has rows of ${bColumns}, which is no multiple of 4.`,
    );
  recorder.add({
    label: `matmul ${kind}`,
    shader: {
      kernel,
      imports: {
        ...imports,
        A: aColumns % 4 === 0 ? 'a_four' : 'a_one',
        B: half ? 'b_half' : bColumns % 4 === 0 ? 'b_four' : 'b_one',
        OUT: n % 4 === 0 ? 'out_four' : 'out_one',
        BIAS: bias ? 'with_bias' : 'without_bias',
      },
      constants: { ...constants, M: m, N: n, K: k, ...KINDS[kind], ADD: accumulate },
    },
    bind: {
      a: bound(a, m * k),
      b: bound(b, n * k, half ? 2 : 4),
      bias: bias && bound(bias, n),
      out: bound(out, m * n),
    },
  });
}
