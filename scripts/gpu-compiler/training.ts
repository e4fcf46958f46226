// The shaders of training, for rows of SmolLM2-135M.
import { type Fixed, type Kernel, permutations, type ShaderSpec } from '../../src/gpu/kernel.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import { TRAIN_KERNELS } from '../../src/train/kernels/all.ts';
import { attentionBackward, trainAttention } from '../../src/train/kernels/attention.ts';
import { matmul } from '../../src/train/kernels/matmul.ts';
import { type Adapter, paperGpu } from '../../test/support/paper-gpu.ts';

const ROWS = 1024;
/** Outputs and inputs of matrices: of attention, of MLPs, and of the head, whose rows are fewer at a time. */
const MATRICES = [
  { out: 576, input: 576, rows: ROWS },
  { out: 192, input: 576, rows: ROWS },
  { out: 1536, input: 576, rows: ROWS },
  { out: 576, input: 1536, rows: ROWS },
  { out: 49_152, input: 576, rows: 128 },
  // A vocabulary whose rows do not begin at whole vectors.
  { out: 49_155, input: 576, rows: 128 },
];

/** Sizes of heads: of SmolLM2-135M, of others, and the largest. */
const HEAD_DIMS = [64, 80, 128, 256];

/** Every constant of the other kernels that is a size. */
const SIZES: Readonly<Record<string, number>> = {
  ROWS,
  LENGTH: 512,
  HEADS: 9,
  KV_HEADS: 3,
  HALF: 32,
  K: 576,
  COLS: 576,
  SLICE: 64,
  HIDDEN: 576,
  COUNT: 884_736,
  VOCAB: 49_152,
  MIX: 0.9,
  BY: 1,
  EPS: 1e-5,
  INPUTS: 4,
};

/** Kernels that depend on the adapter. */
const isAsked = ({ name }: Pick<Kernel, 'name'>): boolean => /^train\/(matmul|attention)/.test(name);

/** What training asks for on an adapter. */
function askedBy(adapter: Adapter, ask: (recorder: Recorder) => void): ShaderSpec[] {
  const asked: ShaderSpec[] = [];
  const gpu = paperGpu(adapter);
  ask({ gpu, add: ({ shader }) => asked.push(shader) } as Pick<Recorder, 'gpu' | 'add'> as Recorder);
  return asked;
}

/** Matrix products: forward, both gradients, a bias, and weights in f16. */
function products(recorder: Recorder): void {
  const [a, b, out, bias] = Array.from({ length: 4 }, () => ({}) as GPUBuffer) as [
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
  ];
  for (const { out: outputs, input, rows } of MATRICES) {
    const forward = { kind: 'nt', a, b, out, m: rows, n: outputs, k: input } as const;
    const backward = { kind: 'nn', a, b, out, m: rows, n: input, k: outputs } as const;
    matmul(recorder, forward);
    matmul(recorder, { ...forward, half: true });
    matmul(recorder, { ...forward, bias });
    matmul(recorder, backward);
    matmul(recorder, { ...backward, half: true, accumulate: true });
    matmul(recorder, { kind: 'tn', a, b, out, m: outputs, n: input, k: rows, accumulate: true });
  }
}

/** Attention of heads of a size, and its backward. */
function attention(recorder: Recorder, headDim: number): void {
  const shape = { rows: ROWS, length: 512, heads: 9, kvHeads: 3, headDim, scale: 0.125 };
  const [q, k, v, out, sums] = Array.from({ length: 5 }, () => ({}) as GPUBuffer) as [
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
  ];
  trainAttention(recorder, { ...shape, q, k, v, out, sums });
  attentionBackward(recorder, {
    ...shape,
    q,
    k,
    v,
    y: out,
    dy: out,
    sums,
    deltas: sums,
    dq: q,
    dk: k,
    dv: v,
  });
}

function specOf(kernel: Kernel, fixed: Fixed): ShaderSpec {
  const sizes = Object.keys(kernel.sizes).map((name): [string, number] => {
    const size = SIZES[name];
    if (size === undefined)
      throw new Error(`scripts/gpu-compiler/training.ts has no ${name}, a size of ${kernel.name}.`);
    return [name, size];
  });
  const entries = Object.entries(fixed);
  return {
    kernel,
    imports: Object.fromEntries(
      entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
    constants: Object.fromEntries([
      ...sizes,
      ...entries.filter((entry): entry is [string, number | boolean] => typeof entry[1] !== 'string'),
    ]),
  };
}

/** All that training runs on an adapter. */
export function trainingShaders(adapter: Adapter): ShaderSpec[] {
  const { features, subgroupSize, profile } = adapter;
  const fits = ({ REDUCE, LANES }: Fixed): boolean => {
    if (REDUCE === undefined) return true;
    // On GPUs lanes share rows.
    if (REDUCE === 'reduce_none') return profile === 'software';
    return REDUCE !== 'reduce_subgroup' || (features.subgroups && Number(LANES) % subgroupSize.max === 0);
  };
  const others = TRAIN_KERNELS.filter((kernel) => !isAsked(kernel));
  return [
    ...askedBy(adapter, products),
    ...HEAD_DIMS.flatMap((headDim) => askedBy(adapter, (recorder) => attention(recorder, headDim))),
    ...others.flatMap((kernel) =>
      permutations(kernel)
        .filter(fits)
        .map((fixed) => specOf(kernel, fixed)),
    ),
  ];
}
