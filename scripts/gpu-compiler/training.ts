// The shaders of training, for rows of SmolLM2-135M.
import { type Fixed, type Kernel, permutations, type ShaderSpec } from '../../src/gpu/kernel.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import { TRAIN_KERNELS } from '../../src/train/kernels/all.ts';
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

/** Every constant of the other kernels that is a size. */
const SIZES: Readonly<Record<string, number>> = {
  ROWS,
  LENGTH: 512,
  HEADS: 9,
  KV_HEADS: 3,
  D4: 16,
  HALF: 32,
  SCALE: 0.125,
  K: 576,
  COLS: 576,
  SLICE: 64,
  HIDDEN: 576,
  COUNT: 884_736,
  VOCAB: 49_152,
  MIX: 0.9,
  BY: 1,
  EPS: 1e-5,
};

const isProduct = ({ name }: Pick<Kernel, 'name'>): boolean => name.startsWith('train/matmul');

/** Matrix products as training asks for them: forward, both gradients, a bias, and weights in f16. */
function products(adapter: Adapter): ShaderSpec[] {
  const asked: ShaderSpec[] = [];
  const gpu = paperGpu(adapter);
  const recorder = { gpu, add: ({ shader }) => asked.push(shader) } as Pick<
    Recorder,
    'gpu' | 'add'
  > as Recorder;
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
  return asked;
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
  const others = TRAIN_KERNELS.filter((kernel) => !isProduct(kernel));
  return [
    ...products(adapter),
    ...others.flatMap((kernel) =>
      permutations(kernel)
        .filter(fits)
        .map((fixed) => specOf(kernel, fixed)),
    ),
  ];
}
