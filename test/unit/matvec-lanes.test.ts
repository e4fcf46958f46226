// How projections of few rows are spread over the threads of a GPU.
import { expect, test } from 'vitest';
import { specOf } from '../../src/families/index.ts';
import { LEAST_THREADS, lanesOf, MATVEC_LANES, matvecTiles } from '../../src/kernels/matvec-lanes.ts';
import { defaultTuning } from '../../src/kernels/tuning.ts';
import { shadersOf } from '../support/asked-shaders.ts';
import { adapterOf, paperGpu } from '../support/paper-gpu.ts';

const model = (
  hidden_size: number,
  intermediate_size: number,
  num_attention_heads: number,
  num_key_value_heads: number,
  head_dim: number,
  vocab_size: number,
  more: object = {},
) => ({
  model_type: 'llama',
  hidden_act: 'silu',
  rms_norm_eps: 1e-5,
  max_position_embeddings: 8192,
  num_hidden_layers: 1,
  tie_word_embeddings: true,
  ...{ hidden_size, intermediate_size, num_attention_heads, num_key_value_heads, head_dim, vocab_size },
  ...more,
});

const MODELS: [string, Record<string, unknown>][] = [
  ['SmolLM2-135M', model(576, 1536, 9, 3, 64, 49152)],
  ['Qwen3-0.6B', model(1024, 3072, 16, 8, 128, 151936, { model_type: 'qwen3' })],
  ['Llama-3.2-1B', model(2048, 8192, 32, 8, 64, 128256)],
  ['Gemma 3 1B', model(1152, 6912, 4, 1, 256, 262144, { model_type: 'gemma3_text', hidden_act: undefined })],
];
const ADAPTERS = {
  'subgroups of 32 and 64': adapterOf('gpu', true, { min: 32, max: 64 }),
  'subgroups of 8 to 32': adapterOf('gpu', true, { min: 8, max: 32 }),
  'no subgroups': adapterOf('gpu', false),
};

test.each(
  MODELS.flatMap(([name, config]) =>
    Object.entries(ADAPTERS).flatMap(([on, adapter]) =>
      (['q4', 'q8', 'f16'] as const).map((dtype) => [name, dtype, on, { config, adapter }] as const),
    ),
  ),
)(
  '%s in %s with %s has enough threads for a token in each projection',
  (_, dtype, __, { config, adapter }) => {
    const gpu = paperGpu(adapter);
    const shaders = shadersOf(gpu, defaultTuning(gpu), specOf(config), dtype, 'f16');
    const step = { rows: 1, first: 0, count: 1, next: 0, context: 1 };
    const threads = shaders
      .filter(({ kernel, constants }) => kernel === MATVEC_LANES && constants.TOKENS === 1)
      .map(({ kernel, imports = {}, constants }) => {
        const numbers = Object.fromEntries(
          Object.entries(constants).map(([key, value]) => [key, Number(value)]),
        );
        const grid = kernel.grid({ imports, constants: numbers, step, items: 0 }, 65_535)!;
        return grid.reduce((product, size) => product * size, numbers.WG!);
      });
    expect(threads.length).toBeGreaterThanOrEqual(5);
    for (const count of threads) expect(count).toBeGreaterThanOrEqual(LEAST_THREADS);
  },
);

test('as few threads share rows as leave enough in all', () => {
  expect([576, 960, 1024, 2048, 4096, 49152].map((rows) => lanesOf(rows, 4))).toEqual([
    128, 128, 64, 32, 16, 8,
  ]);
  expect([576, 1024, 2048, 49152].map((rows) => lanesOf(rows, 2))).toEqual([64, 32, 16, 8]);
  // Of few rows there are no more.
  expect([lanesOf(8, 4), lanesOf(8, 2)]).toEqual([128, 64]);
});

test('each number of rows has one launch, which takes them at once where it can', () => {
  for (const [adapter, most] of [
    [ADAPTERS['subgroups of 32 and 64'], 8],
    [ADAPTERS['no subgroups'], 4],
  ] as const) {
    const tiles = matvecTiles(paperGpu(adapter), 1024, 'few');
    for (let rows = 2; rows <= 16; rows++) {
      const taken = tiles.filter(({ takes }) => takes(rows)).map(({ constants }) => constants.TOKENS);
      expect(taken).toEqual([[2, 4, 8].find((tokens) => tokens >= rows && tokens <= most) ?? most]);
    }
    expect(matvecTiles(paperGpu(adapter), 1024, 'one').map(({ constants }) => constants.TOKENS)).toEqual([1]);
    expect(matvecTiles(paperGpu(adapter), 1024, 'many').map(({ constants }) => constants.TOKENS)).toEqual([
      most,
    ]);
  }
});
