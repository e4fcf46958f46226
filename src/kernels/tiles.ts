// Which tile of shaders/gpu/matmul.wgsl makes a projection, by its rows, and how threads share it.
import type { Gpu } from '../gpu/device.ts';
import type { Fixed } from '../gpu/kernel.ts';

/** Rows of x and weight rows of a workgroup. */
export interface Tile {
  tall: number;
  wide: number;
}

/** Largest first: they read least again, and small ones are more workgroups. */
const TILES: readonly Tile[] = [
  { tall: 128, wide: 128 },
  { tall: 64, wide: 64 },
  { tall: 32, wide: 64 },
  { tall: 32, wide: 32 },
  { tall: 32, wide: 16 },
  { tall: 16, wide: 64 },
  { tall: 16, wide: 16 },
];

/** A launch has at least as many workgroups, where the smallest tile allows: so that large GPUs have work on every core. */
const WORKGROUPS = 128;
/** Rows from which a tile is as tall as 128: of fewer it would be half empty, or a launch of few workgroups. */
const LARGE_FROM = 256;

/** How x and weights lie in workgroup memory: f16 where it holds them. */
export type TileType = 'f32' | 'f16';

/** Weight rows of a thread, beside eight rows of x. */
type Across = 8 | 4;

/** How x and the weights of a launch lie there. */
export interface TileTypes {
  x: TileType;
  w: TileType;
  /** x is brought within f16 by what is behind the gain of its norm. */
  ranged: boolean;
}

/** What is known of x: nothing, that f16 holds it, or that it was normed. */
type Known = 'any' | 'half' | 'ranged';

/** Weights that are as exact as they were stored. */
const EXACT = ['weight_f32', 'blocks/weight_bf16'];

/**
 * f16 where the device has it, for weights that are f16; and for x, where its values are within f16 and the weights were rounded.
 * Weights of blocks may be past f16 as codes times scales.
 */
export function tileTypes(reader: string, f16: boolean, known: Known): TileTypes {
  const rounded = f16 && !EXACT.includes(reader);
  return {
    x: rounded && known !== 'any' ? 'f16' : 'f32',
    w: rounded && reader === 'weight_f16' ? 'f16' : 'f32',
    ranged: rounded && known === 'ranged',
  };
}

/** How a workgroup makes a tile. */
export interface TileShape extends Tile {
  threads: number;
  /** Of K at a time. */
  depth: number;
  across: Across;
}

const WORKGROUP_BYTES = 16_384;
/** Registers for what a thread brings for the next slab. */
const MOST_AHEAD = 32;

/** The shape of a tile; undefined where workgroup memory does not hold it, or there would be too many threads. */
function shapeOf({ tall, wide }: Tile, across: Across, { x, w }: TileTypes): TileShape | undefined {
  const alone = (tall * wide) / (8 * across);
  const threads = Math.max(64, alone);
  if (threads > 256) return undefined;
  const bytes = (type: TileType): number => (type === 'f32' ? 4 : 2);
  // Two quads of padding; sums of two rows at a time, where groups of threads add theirs up.
  const slab = (depth: number): number => depth * ((tall + 8) * bytes(x) + (wide + 8) * bytes(w));
  const sums = threads > alone ? 8 * across * threads : 0;
  const ahead = (rows: number, depth: number, type: TileType): number =>
    2 * bytes(type) * Math.ceil((rows * depth) / 8 / threads);
  const depth = [64, 32, 16].find(
    (depth) =>
      slab(depth) + sums <= WORKGROUP_BYTES &&
      ahead(tall, depth, x) + ahead(wide, depth, w) <= MOST_AHEAD &&
      // Sums of each group are of whole steps of four.
      (depth * alone) / threads >= 4,
  );
  return depth === undefined ? undefined : { tall, wide, threads, depth, across };
}

/** What the shader is told of a shape. */
export function tileAsked({ tall, wide, threads, depth, across }: TileShape, types: TileTypes) {
  const alone = (tall * wide) / (8 * across) === threads;
  return {
    imports: {
      X_TILE: `gpu/x_tile_${types.x}`,
      W_TILE: `gpu/w_tile_${types.w}`,
      SUMS: alone ? 'gpu/sums_alone' : 'gpu/sums_groups',
    },
    constants: { TALL: tall, WIDE: wide, WG: threads, DEPTH: depth, ACROSS: across, RANGED: types.ranged },
  };
}

const shapesOf = (types: TileTypes): TileShape[] =>
  ([8, 4] as const).flatMap((across) => TILES.flatMap((tile) => shapeOf(tile, across, types) ?? []));

/** All that may be asked of weights that a reader reads. */
export function tilesOf(reader: string): Fixed[] {
  const types = [
    tileTypes(reader, false, 'any'),
    ...(['any', 'half', 'ranged'] as const).map((known) => tileTypes(reader, true, known)),
  ];
  return types.flatMap((types) =>
    shapesOf(types).map((shape) => {
      const { imports, constants } = tileAsked(shape, types);
      return { ...imports, ...constants };
    }),
  );
}

/**
 * Weight rows of a thread: eight where it has the registers. Compilers for subgroups of fewer than 32 give each thread half as many.
 */
const acrossOf = ({ subgroupSize }: Pick<Gpu, 'subgroupSize'>): Across => (subgroupSize.min >= 32 ? 8 : 4);

/** The tile for rows of x by weight rows, among shapes: the largest that has enough workgroups, and is not mostly empty. */
function tileFor(shapes: readonly TileShape[], rows: number, outputs: number, least: number): TileShape {
  const tallest = rows >= LARGE_FROM ? 128 : rows > 32 ? 64 : rows > least ? 32 : least;
  const shortest = Math.min(tallest, 32);
  const some = shapes.filter(({ tall }) => tall <= tallest && tall >= shortest);
  const workgroups = ({ tall, wide }: Tile): number => Math.ceil(rows / tall) * Math.ceil(outputs / wide);
  return some.find((shape) => workgroups(shape) >= WORKGROUPS) ?? some.at(-1)!;
}

/** A shape, and for which rows of x it is. */
export interface TileChoice {
  shape: TileShape;
  takes(rows: number): boolean;
}

/** The shapes that make a projection of up to `most` rows of x by `outputs` weight rows; each number of rows has one. */
export function tilesFor(
  gpu: Pick<Gpu, 'subgroupSize'>,
  types: TileTypes,
  { outputs, most, least }: { outputs: number; most: number; least: 16 | 32 },
): TileChoice[] {
  const across = acrossOf(gpu);
  const shapes = shapesOf(types).filter((shape) => shape.across === across);
  const choose = (rows: number): TileShape => tileFor(shapes, rows, outputs, least);
  const chosen = new Set(Array.from({ length: most }, (_, i) => choose(i + 1)));
  return [...chosen].map((shape) => ({ shape, takes: (rows) => choose(rows) === shape }));
}
