import type { Gpu } from '../gpu/device.ts';
import type { Fixed } from '../gpu/kernel.ts';

/** Shape of a kernel in which neighbours share a row: `lanes` threads a row, `workgroup` threads in all. */
export interface LaneShape {
  workgroup: number;
  lanes: number;
}

/** How many rows of x a forward is made for: one, up to `few`, more of a batch, or a chunk of a prompt. */
export type Width = 'one' | 'few' | 'batch' | 'many';

/** GPUs whose subgroups may be narrower have fewer registers a thread: sums of as many rows do not fit. */
const WIDE_SUBGROUP = 32;
export const isWide = ({ features, subgroupSize }: Pick<Gpu, 'features' | 'subgroupSize'>): boolean =>
  features.subgroups && subgroupSize.min >= WIDE_SUBGROUP;

/** What a forward over rows is: of a prompt, or of so many sequences. */
export const widthOf = ({ wide, wideFrom, few }: Tuning, rows: number, prompt: boolean): Width => {
  if (prompt && rows >= wideFrom) return 'many';
  if (rows > few && wide === 'tiled') return 'batch';
  return rows === 1 ? 'one' : 'few';
};

/** Whether projections are made in tiles of rows, and the norm before them in a launch of its own. */
export const isTiled = (width: Width, { wide }: Pick<Tuning, 'wide'>): boolean =>
  wide === 'tiled' && (width === 'many' || width === 'batch');

/** Choices that change speed and never results. */
export interface Tuning {
  /** Projections of few rows: threads that share weight rows, as many as each projection asks for, or with one lane each its own; and norms. */
  matvec: LaneShape;
  /** Projections of many rows: tiles in workgroup memory, or the matvec kernel for four rows of x at a time. */
  wide: 'tiled' | 'matvec';
  /** Attention of few rows: cooperating threads, or the least to go wrong: of software adapters a thread a head, of GPUs a workgroup. */
  attention: 'cooperative' | 'direct';
  /** Attention of many rows: tiles in workgroup memory, or as of few. */
  wideAttention: 'tiled' | 'direct';
  /** Positions of one split of the sequence, and most splits. */
  split: number;
  parts: number;
  /** Threads of the kernels that go over the vocabulary: a workgroup of 16 a row, or one of 256 a slice of a row. */
  vocabulary: number;
  /** Rows from which projections are wide. */
  wideFrom: number;
  /** Rows of a batch that the kernels for few rows take at once. */
  few: number;
}

/** No barriers, no threads that work together but over the vocabulary: what software adapters want, and the least to go wrong. */
export const PLAIN_TUNING: Tuning = {
  matvec: { workgroup: 16, lanes: 1 },
  wide: 'matvec',
  attention: 'direct',
  wideAttention: 'direct',
  split: 64,
  parts: 2 ** 31 - 1,
  vocabulary: 16,
  wideFrom: 5,
  few: 4,
};

/** What `tune` chooses; the rest sizes buffers, and stays. */
export type TunedKernels = Pick<Tuning, 'matvec' | 'attention' | 'wide' | 'wideAttention'>;

/** Variants that `tune` tries, likely ones first. */
export const VARIANTS = {
  matvec: [
    { workgroup: 256, lanes: 64 },
    { workgroup: 16, lanes: 1 },
  ],
  attention: ['cooperative', 'direct'],
  wide: ['tiled', 'matvec'],
  wideAttention: ['tiled', 'direct'],
} as const satisfies { [K in keyof TunedKernels]: readonly TunedKernels[K][] };

/** The lane shapes that there are, with what may add their lanes up. */
export const REDUCTIONS: readonly Fixed[] = VARIANTS.matvec.flatMap(({ workgroup: WG, lanes: LANES }) =>
  (LANES === 1 ? ['reduce_none'] : ['reduce_shared', 'reduce_subgroup']).map((REDUCE) => ({
    WG,
    LANES,
    REDUCE,
  })),
);

/** CPUs that play GPU want one row a thread and no barriers: those are dear, and neighbouring loads are worth nothing. GPUs want the opposite. */
export function defaultTuning(gpu: Gpu): Tuning {
  const few = isWide(gpu) ? 8 : 4;
  return gpu.profile === 'software'
    ? PLAIN_TUNING
    : {
        matvec: { workgroup: 256, lanes: 64 },
        wide: 'tiled',
        attention: 'cooperative',
        wideAttention: 'tiled',
        split: 256,
        parts: 64,
        vocabulary: 256,
        wideFrom: few + 1,
        few,
      };
}

/** The include that adds lanes up: subgroups where they are sure to fit the lanes. */
export function reduceInclude(gpu: Gpu, lanes: number): string {
  if (lanes === 1) return 'reduce_none';
  const { max } = gpu.subgroupSize;
  return gpu.features.subgroups && max > 0 && lanes % max === 0 ? 'reduce_subgroup' : 'reduce_shared';
}

/** The include that reads rows of x where threads have weight rows of their own: by subgroups where these are sure to be four or more. */
export function rowsInclude(gpu: Gpu, width: Width): 'plain/x_subgroup' | 'plain/x_own' {
  return width !== 'one' && gpu.features.subgroups && gpu.subgroupSize.min >= 4
    ? 'plain/x_subgroup'
    : 'plain/x_own';
}
