// shaders/gpu/matvec_lanes.wgsl: projections of few rows on GPUs.
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
import { isWide, type Width } from './tuning.ts';
import { SPANS } from './weight-rows.ts';

/** Threads that a launch has at least, where rows and columns give them: enough loads under way to hide how long one takes. */
export const LEAST_THREADS = 16_384;
/** Workgroup memory that every device has. */
const WORKGROUP_BYTES = 16_384;

/** Rows of x, and weight rows that a thread takes with them. */
const TILES = [
  { TOKENS: 1, ROWS: 4 },
  { TOKENS: 2, ROWS: 4 },
  { TOKENS: 4, ROWS: 4 },
  { TOKENS: 8, ROWS: 4 },
  { TOKENS: 1, ROWS: 2 },
  { TOKENS: 2, ROWS: 2 },
  { TOKENS: 4, ROWS: 2 },
] as const;
type Tile = (typeof TILES)[number];
/** Lanes that are sure to be in one subgroup: WebGPU has sizes from 4 up. */
const TOGETHER = [1, 4, 8] as const;

/** Threads that may share ROWS rows: four rows are in a workgroup, which may have no more than 128 threads. */
const lanesFor = (ROWS: number): number[] => [8, 16, 32, 64, 128].filter((lanes) => 4 * lanes <= 128 * ROWS);

/** Threads that share ROWS rows of a projection: as few as leave enough threads in all. */
export function lanesOf(rows: number, ROWS: number): number {
  const all = lanesFor(ROWS);
  return all.find((lanes) => Math.ceil(rows / ROWS) * lanes >= LEAST_THREADS) ?? all.at(-1)!;
}

/** Threads of a workgroup: fewer where partial sums take much of its memory. */
function workgroupOf({ TOKENS, ROWS }: Tile, SUB: number): number {
  let threads = 256;
  while ((4 * threads * (ROWS * TOKENS + 1)) / SUB > WORKGROUP_BYTES) threads /= 2;
  return threads;
}

/** Lanes that are together in a subgroup of any size that the adapter may choose. */
function together({ features, subgroupSize }: Pick<Gpu, 'features' | 'subgroupSize'>): number {
  return TOGETHER.findLast((size) => size === 1 || (features.subgroups && subgroupSize.min >= size))!;
}

const addInclude = (SUB: number): string => (SUB === 1 ? 'gpu/add_none' : 'gpu/add_subgroup');

const shapeOf = (tile: Tile, SUB: number) => ({ ...tile, SUB, WG: workgroupOf(tile, SUB) });

/**
 * Launches that spread a projection to `rows` rows over an adapter's threads: what each is told, and for how many rows of x it is.
 * Of a step one runs, the smallest that takes all of its rows, so that each weight is read once; or the largest.
 */
export function matvecTiles(gpu: Gpu, rows: number, width: Width) {
  const SUB = together(gpu);
  const ROWS = isWide(gpu) ? 4 : 2;
  const all = TILES.filter((tile) => tile.ROWS === ROWS);
  const tiles = { one: all.slice(0, 1), few: all.slice(1) }[width as string] ?? all.slice(-1);
  return tiles.map((tile, i) => ({
    imports: { ADD: addInclude(SUB) },
    constants: { ...shapeOf(tile, SUB), LANES: lanesOf(rows, ROWS) },
    takes: (count: number): boolean =>
      (i === 0 || count > tiles[i - 1]!.TOKENS) && (i === tiles.length - 1 || count <= tile.TOKENS),
  }));
}

/** Four rows are for wide subgroups alone. */
const SHAPES: readonly Fixed[] = TOGETHER.flatMap((SUB) =>
  TILES.filter(({ ROWS }) => ROWS === 2 || SUB === 8).map((tile) => ({
    ADD: addInclude(SUB),
    ...shapeOf(tile, SUB),
  })),
);

export const MATVEC_LANES: Kernel<
  ProjectionConstant | 'WG' | 'LANES' | 'TOKENS' | 'ROWS' | 'SUB' | 'NORM' | 'K' | 'EPS'
> = {
  name: 'matvec_lanes',
  folder: 'gpu',
  choices: [SPANS, SHAPES, [...OF_FEW, ...combine(OF_MANY, [{ NORM: false }])]],
  sizes: {
    ...PROJECTION_SIZES,
    LANES: [8, 128],
    SPANS: COUNT,
    K: COUNT,
    EPS: SMALL,
  },
  bindings: projectionBindings,
  grid(launch, most) {
    const { HEAD, TOKENS, ROWS, LANES, WG } = launch.constants;
    const across = Math.ceil(virtualRows(launch) / (ROWS * (WG / LANES)));
    // Rows of x first: workgroups that run at the same time share weights, which are the larger of the two.
    return [Math.ceil(rowsOf(launch.step, HEAD) / TOKENS), ...spread(across, most)];
  },
  cpu: (launch) => projected(launch, launch.constants.NORM ? launch.constants : undefined),
};
