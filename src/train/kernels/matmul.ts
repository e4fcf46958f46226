// shaders/train/matmul.wgsl
import { type Kernel, reads, writes } from '../../gpu/kernel.ts';
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

const WORKGROUP = 64;

export const TRAIN_MATMUL: Kernel<'WG' | 'M' | 'N' | 'K' | 'A_TURNED' | 'B_TURNED' | 'ADD'> = {
  name: 'train/matmul',
  texts: TRAIN_SHADERS,
  choices: [
    [{ WG: WORKGROUP }],
    Object.values(KINDS),
    [
      { ADD: false, BIAS: 'without_bias' },
      { ADD: true, BIAS: 'without_bias' },
      { ADD: false, BIAS: 'with_bias' },
    ],
  ],
  sizes: { M: COUNT, N: COUNT, K: COUNT },
  bindings: ({ imports: { BIAS } }) => [
    reads('a', 'f32', ({ constants: { M, K, A_TURNED } }) => (A_TURNED ? [K, M] : [M, K])),
    reads('b', 'f32', ({ constants: { N, K, B_TURNED } }) => (B_TURNED ? [N, K] : [K, N])),
    ...(BIAS === 'with_bias' ? [reads<'N'>('bias', 'f32', ({ constants }) => [constants.N])] : []),
    writes('out', 'f32', ({ constants: { M, N } }) => [M, N]),
  ],
  grid: ({ constants: { M, N, WG } }, most) => [...spread(Math.ceil((M * N) / WG), most), 1],
  *cpu({ constants: { M, N, K, A_TURNED, B_TURNED, ADD }, imports, floats, pick }) {
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
  },
};

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
    out: Tensor;
    m: number;
    n: number;
    k: number;
    accumulate?: boolean | undefined;
    bias?: Tensor | undefined;
  },
): void {
  const { kind, a, b, out, m, n, k, accumulate = false, bias } = call;
  recorder.add({
    label: `matmul ${kind}`,
    shader: {
      kernel: TRAIN_MATMUL,
      constants: {
        WG: WORKGROUP,
        M: m,
        N: n,
        K: k,
        ...KINDS[kind],
        ADD: accumulate,
      },
      imports: { BIAS: bias ? 'with_bias' : 'without_bias' },
    },
    bind: {
      a: bound(a, m * k),
      b: bound(b, n * k),
      bias: bias && bound(bias, n),
      out: bound(out, m * n),
    },
  });
}
