// Which tiles make projections of many rows: enough workgroups for a large GPU, each weight read once for a batch, and what a
// workgroup takes of memory and reads of it.
import { expect, test } from 'vitest';
import type { Gpu } from '../../src/gpu/device.ts';
import { askedOf, permutations } from '../../src/gpu/kernel.ts';
import { MATMUL } from '../../src/kernels/matmul.ts';
import { type TileTypes, tileAsked, tilesFor, tileTypes } from '../../src/kernels/tiles.ts';
import { defaultTuning, widthOf } from '../../src/kernels/tuning.ts';
import { FORMATS } from '../../src/quant/index.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';

/** GPUs whose threads have many registers, and few. */
const GPUS = { many: { min: 32, max: 64 }, few: { min: 8, max: 32 } };
const gpuOf = (sizes: keyof typeof GPUS): Gpu => paperGpu(adapterOf('gpu', true, GPUS[sizes]));
const both = Object.keys(GPUS) as (keyof typeof GPUS)[];

/** Every way in which weights and x lie in workgroup memory, once. */
const TYPES: TileTypes[] = [
  ...new Set(
    Object.values(FORMATS).flatMap(({ reader }) =>
      (['any', 'half', 'ranged'] as const).map((known) => JSON.stringify(tileTypes(reader, true, known))),
    ),
  ),
].map((text) => JSON.parse(text));

/** Rows of q, k and v, of what attention leaves, of gate and up, and of what the MLP leaves. */
const SHAPES: Record<string, number[]> = {
  'SmolLM2-135M': [960, 576, 3072, 576],
  'Qwen3-0.6B': [4096, 1024, 6144, 1024],
  'Llama-3.2-1B': [3072, 2048, 16384, 2048],
  'Gemma 3 1B': [1536, 1152, 13824, 1152],
};

/** Of a projection by `outputs` weight rows, the launches of a step over rows: their shapes and grids. */
const launchesOf = (gpu: Gpu, types: TileTypes, outputs: number, least: 16 | 32) => {
  const choices = tilesFor(gpu, types, { outputs, most: 256, least });
  return (rows: number) =>
    choices
      .filter(({ takes }) => takes(rows))
      .map(({ shape }) => {
        const { imports, constants } = tileAsked(shape, types);
        const asked = askedOf({
          kernel: MATMUL,
          imports,
          constants: { ...constants, N: outputs, HEAD: false },
        });
        const step = { rows, first: 0, count: rows, next: 0, context: rows };
        const [x, y, z] = MATMUL.grid({ ...asked, step, items: 0 }, 65_535)!;
        return { ...shape, x, workgroups: x * y * z };
      });
};

test.each(Object.keys(SHAPES))(
  'a prompt of 128 tokens of %s is at least 128 workgroups for each projection',
  (name) => {
    for (const sizes of both)
      for (const types of TYPES)
        for (const outputs of SHAPES[name]!) {
          const [one, ...more] = launchesOf(gpuOf(sizes), types, outputs, 32)(128);
          expect(more, 'one launch').toEqual([]);
          expect(one!.workgroups, `${outputs} rows`).toBeGreaterThanOrEqual(128);
        }
  },
);

test('each number of rows has one tile, which reads weights once up to 16 and up to 32', () => {
  for (const sizes of both)
    for (const types of TYPES)
      for (const outputs of [12, 576, 3072, 49_152])
        for (const least of [16, 32] as const) {
          const launches = launchesOf(gpuOf(sizes), types, outputs, least);
          for (let rows = 1; rows <= 256; rows++) {
            const found = launches(rows);
            expect(found.length, `${rows} rows`).toBe(1);
            const [{ tall, x }] = found as [(typeof found)[number]];
            if (rows <= 32) expect(x, `${rows} rows`).toBe(1);
            if (rows <= 16) expect(tall).toBe(least);
            // No tile is mostly empty.
            expect(tall === least || tall / 2 < rows, `${rows} rows of ${tall}`).toBe(true);
          }
        }
});

test('a launch of few rows has as many workgroups as the smallest tiles make, and a large one large tiles', () => {
  const types = tileTypes('blocks/weight_q4', true, 'ranged');
  const tileOf = (sizes: keyof typeof GPUS, rows: number, outputs: number, least: 16 | 32 = 32) => {
    const { tall, wide, threads, across } = launchesOf(gpuOf(sizes), types, outputs, least)(rows)[0]!;
    return [tall, wide, threads, across];
  };
  expect(tileOf('many', 16, 576, 16)).toEqual([16, 16, 64, 8]);
  expect(tileOf('many', 16, 49_152, 16)).toEqual([16, 64, 64, 8]);
  expect(tileOf('many', 20, 16_384)).toEqual([32, 64, 64, 8]);
  expect(tileOf('many', 128, 576)).toEqual([32, 16, 64, 8]);
  expect(tileOf('many', 128, 3072)).toEqual([32, 64, 64, 8]);
  expect(tileOf('many', 256, 576)).toEqual([32, 32, 64, 8]);
  expect(tileOf('many', 256, 3072)).toEqual([64, 64, 64, 8]);
  expect(tileOf('many', 256, 16_384)).toEqual([128, 128, 256, 8]);
  expect(tileOf('few', 256, 3072)).toEqual([64, 64, 128, 4]);
  expect(tileOf('few', 256, 16_384)).toEqual([64, 64, 128, 4]);
});

test('workgroup memory, threads, and at least 16 multiply-adds for each read of it', () => {
  const few: string[] = [];
  for (const { X_TILE, W_TILE, TALL, WIDE, DEPTH, ACROSS, WG, SUMS } of permutations(MATMUL) as Record<
    string,
    string
  >[]) {
    const [tall, wide, depth, across, threads] = [TALL, WIDE, DEPTH, ACROSS, WG].map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const label = `${tall} by ${wide}, ${X_TILE}, ${W_TILE}`;
    const slab =
      depth *
      ((tall + 8) * (X_TILE === 'gpu/x_tile_f16' ? 2 : 4) +
        (wide + 8) * (W_TILE === 'gpu/w_tile_f16' ? 2 : 4));
    const sums = SUMS === 'gpu/sums_groups' ? 8 * across * threads : 0;
    expect(slab + sums, label).toBeLessThanOrEqual(16_384);
    expect(threads, label).toBeLessThanOrEqual(256);
    // 16 bytes are a read.
    const reads = (X_TILE === 'gpu/x_tile_f16' ? 1 : 2) + (W_TILE === 'gpu/w_tile_f16' ? 1 : across / 4);
    if ((8 * across) / reads < 16) few.push(`${across} across, ${X_TILE}`);
  }
  // Threads of few registers that keep x in f32 have no room for more sums.
  expect([...new Set(few)]).toEqual(['4 across, gpu/x_tile_f32']);
});

test('what x is rounded for', () => {
  const f16 = (reader: string, known: 'any' | 'half' | 'ranged', has = true) => {
    const { x, w, ranged } = tileTypes(reader, has, known);
    return `${x} ${w}${ranged ? ' ranged' : ''}`;
  };
  for (const known of ['any', 'half', 'ranged'] as const) {
    for (const reader of ['weight_f32', 'blocks/weight_bf16']) expect(f16(reader, known)).toBe('f32 f32');
    for (const { reader } of Object.values(FORMATS)) expect(f16(reader, known, false)).toBe('f32 f32');
  }
  expect(f16('weight_f16', 'any')).toBe('f32 f16');
  expect(f16('weight_f16', 'half')).toBe('f16 f16');
  expect(f16('blocks/weight_q4', 'any')).toBe('f32 f32');
  expect(f16('blocks/weight_q4', 'ranged')).toBe('f16 f32 ranged');
});

test('a batch of more than eight has tiles, where prompts have', () => {
  const tuning = defaultTuning(gpuOf('many'));
  const widths = (prompt: boolean, of = tuning) => [1, 8, 9, 16].map((rows) => widthOf(of, rows, prompt));
  expect(widths(false)).toEqual(['one', 'few', 'batch', 'batch']);
  expect(widths(true)).toEqual(['one', 'few', 'many', 'many']);
  expect(widths(false, { ...tuning, wide: 'matvec' })).toEqual(['one', 'few', 'few', 'few']);
});
