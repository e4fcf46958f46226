import type { ShaderConstant, ShaderSpec } from '../../src/gpu/kernel.ts';
import { type Kernel, permutations } from '../../src/gpu/kernel.ts';
import { allShaders } from '../../src/gpu/shader.ts';
import { KERNELS } from '../../src/kernels/all.ts';

// What compiles nothing asks for texts without fetching them.
await allShaders();

/** Sizes of a small model and of a large one; a kernel takes those that it has, no larger than it allows. */
const SMALL = {
  ...{
    HEADS: 1,
    KV_HEADS: 1,
    HEAD_DIM: 4,
    SEQUENCES: 1,
    CONTEXT: 1,
    CAPACITY: 1,
    SPLIT: 64,
    SPLITS: 1,
    WIDE_FROM: 5,
    WINDOW: 1,
    TAPS: 2,
    SEEN_STRIDE: 64,
    Z_STRIDE: 64,
    A_STRIDE4: 16,
    INPUTS: 2,
  },
  ...{ Q_STRIDE: 64, Q_STRIDE4: 16, OUT_STRIDE: 64, OUT_STRIDE4: 16, X_STRIDE: 64, X_STRIDE4: 16 },
  ...{
    K: 4,
    N: 4,
    ROW0: 0,
    FACTOR: 1,
    BIAS_AT: 0,
    EPS: 1e-6,
    UNITS: 8,
    LANES: 8,
    SPANS: 2,
    VOCAB: 260,
    STRIDE4: 80,
    MASK_WORDS: 9,
  },
  ...{ UNSPLIT: 256, PARTS: 64 },
  ...{ TOP: 0, MATRICES: 1, T_STRIDE4: 8, SECOND: 4, THIRD: 5, WIDTH: 4, PART: 8 },
};
const LARGE: typeof SMALL = {
  ...{ HEADS: 28, KV_HEADS: 4, HEAD_DIM: 256, SEQUENCES: 256, SPLIT: 256, SPLITS: 512 },
  // A ring.
  ...{
    CONTEXT: 131_072,
    CAPACITY: 4352,
    TAPS: 4,
    SEEN_STRIDE: 8192,
    Z_STRIDE: 8192,
    A_STRIDE4: 1024,
    INPUTS: 4,
  },
  ...{
    Q_STRIDE: 7168,
    Q_STRIDE4: 1792,
    OUT_STRIDE: 7168,
    OUT_STRIDE4: 1792,
    X_STRIDE: 9216,
    X_STRIDE4: 2048,
  },
  ...{ K: 8192, N: 262_144, ROW0: 65_536, FACTOR: 1, BIAS_AT: 8192, EPS: 1e-5, UNITS: 1024, VOCAB: 262_144 },
  ...{ LANES: 64, SPANS: 256 },
  ...{ STRIDE4: 65_536, MASK_WORDS: 8192, TOP: 20, WIDE_FROM: 17, WINDOW: 4096 },
  ...{ UNSPLIT: 256, PARTS: 64 },
  ...{ MATRICES: 3, T_STRIDE4: 256, SECOND: 4096, THIRD: 5120, WIDTH: 14_336, PART: 16_384 },
};

/** Sizes that go together. */
function ownSizes(
  { name }: Kernel,
  { KV_READ, QUERY, WG }: Record<string, string | ShaderConstant>,
  { HEAD_DIM }: typeof SMALL,
): Partial<typeof SMALL> {
  if (name === 'attention_tiled') return { HEAD_DIM: Math.min(HEAD_DIM, WG === 32 ? 128 : 256) };
  if (name !== 'attention_decode') return {};
  const most = KV_READ === 'gpu/kv_vector_f16' ? 64 : 256;
  return {
    SPLIT: 64,
    HEAD_DIM: Math.max(QUERY === 'features/query_own' || most === 64 ? 8 : 4, Math.min(HEAD_DIM, most)),
  };
}

const specOf = (
  kernel: Kernel,
  fixed: Record<string, string | ShaderConstant>,
  model: typeof SMALL,
): ShaderSpec => {
  const entries = Object.entries(fixed);
  const own = ownSizes(kernel, fixed, model);
  const sizes = Object.entries(kernel.sizes).map(([name, [, most]]) => {
    const size = { ...model, ...own }[name as keyof typeof SMALL];
    if (size === undefined)
      throw new Error(`test/support/declared-shaders.ts has no ${name}, a size of ${kernel.name}.`);
    return [name, Math.min(size, most)];
  });
  return {
    kernel,
    imports: Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
    constants: Object.fromEntries([...sizes, ...entries.filter(([, value]) => typeof value !== 'string')]),
  };
};

/** Every permutation, with sizes that are large: where sizes decide what it takes, with small ones too. */
export const declaredShaders: readonly ShaderSpec[] = KERNELS.flatMap((kernel) =>
  permutations(kernel).flatMap((fixed) =>
    (kernel.name.startsWith('mat') ? [LARGE] : [SMALL, LARGE]).map((model) => specOf(kernel, fixed, model)),
  ),
);
