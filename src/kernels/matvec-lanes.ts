// shaders/matvec_lanes.wgsl: projections of few rows on GPUs.
import type { Gpu } from '../gpu/device.ts';
import { combine, type Fixed, type Kernel } from '../gpu/kernel.ts';
import { spread } from '../gpu/recorder.ts';
import {
  OF_FEW,
  OF_MANY,
  PROJECTION_SIZES,
  type ProjectionConstant,
  projected,
  projectionBindings,
  virtualRows,
} from './matmul.ts';
import { rowsOf } from './norm.ts';
import { COUNT, SMALL } from './tensor.ts';
import { SPANS } from './weight-rows.ts';

/** Threads that a launch has at least, where rows and columns give them: enough loads under way to hide how long one takes. */
export const LEAST_THREADS = 16_384;
/** Workgroup memory that every device has. */
const WORKGROUP_BYTES = 16_384;

const LANES = [8, 16, 32, 64, 128] as const;
const TOKENS = [1, 2, 4, 8] as const;
/** Lanes that are sure to be in one subgroup: WebGPU has sizes from 4 up. */
const TOGETHER = [1, 4, 8] as const;

/** Threads that share four rows of a projection: as few as leave enough threads in all. */
export const lanesOf = (rows: number): number =>
  LANES.find((lanes) => Math.ceil(rows / 4) * lanes >= LEAST_THREADS) ?? LANES.at(-1)!;

/** Threads of a workgroup: fewer where partial sums take much of its memory. */
function workgroupOf(TOKENS: number, SUB: number): number {
  let threads = 256;
  while ((4 * threads * (4 * TOKENS + 1)) / SUB > WORKGROUP_BYTES) threads /= 2;
  return threads;
}

/** Lanes that are together in a subgroup of any size that the adapter may choose. */
function together({ features, subgroupSize }: Pick<Gpu, 'features' | 'subgroupSize'>): number {
  return TOGETHER.findLast((size) => size === 1 || (features.subgroups && subgroupSize.min >= size))!;
}

const shapeOf = (LANES: number, TOKENS: number, SUB: number) => ({
  LANES,
  TOKENS,
  SUB,
  // A group of lanes is in one workgroup.
  WG: Math.max(LANES, workgroupOf(TOKENS, SUB)),
});

const addInclude = (SUB: number): string => (SUB === 1 ? 'add_none' : 'add_subgroup');

/** Imports and constants that spread a projection to `rows` rows over an adapter's threads. */
export function matvecLanes(gpu: Gpu, rows: number, tokens: number) {
  const SUB = together(gpu);
  return { imports: { ADD: addInclude(SUB) }, constants: shapeOf(lanesOf(rows), tokens, SUB) };
}

const SHAPES: readonly Fixed[] = TOGETHER.flatMap((SUB) =>
  TOKENS.flatMap((tokens) =>
    LANES.map((lanes) => ({ ADD: addInclude(SUB), ...shapeOf(lanes, tokens, SUB) })),
  ),
);

export const MATVEC_LANES: Kernel<
  ProjectionConstant | 'WG' | 'LANES' | 'TOKENS' | 'SUB' | 'NORM' | 'K' | 'EPS'
> = {
  name: 'matvec_lanes',
  choices: [SPANS, SHAPES, [...OF_FEW, ...combine(OF_MANY, [{ NORM: false }])]],
  sizes: { ...PROJECTION_SIZES, SPANS: COUNT, K: COUNT, EPS: SMALL },
  bindings: projectionBindings,
  grid(launch, most) {
    const { HEAD, TOKENS, LANES, WG } = launch.constants;
    const across = Math.ceil(virtualRows(launch) / (4 * (WG / LANES)));
    // Rows of x first: workgroups that run at the same time share weights, which are the larger of the two.
    return [Math.ceil(rowsOf(launch.step, HEAD) / TOKENS), ...spread(across, most)];
  },
  cpu: (launch) => projected(launch, launch.constants.NORM ? launch.constants : undefined),
};
