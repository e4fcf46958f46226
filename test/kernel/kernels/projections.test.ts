// Projections against their twins: every output, dtype, width and way of sharing a row among threads. Compiling takes most of
// the time, so each line of the tables covers several things at once.
import { afterAll, describe, expect, test } from 'vitest';
import {
  defaultTuning,
  reduceInclude,
  rowsInclude,
  type Tuning,
  VARIANTS,
} from '../../../src/kernels/tuning.ts';
import { DTYPES } from '../../../src/quant/index.ts';
import { covers, openTestGpu, variantOf } from '../../support/gpu-features.ts';
import { type ProjectionSpec, projectionCase } from '../../support/gpu-projection.ts';
import { Rig } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
const plainGpu = await variantOf(gpu, { without: ['f16', 'subgroups'] });
const subgroups = covers(gpu, 'subgroups', 'sums by subgroups');
afterAll(() => gpu.close());

const tuningOf = (workgroup: number, lanes: number, wide: Tuning['wide'] = 'matvec'): Tuning => ({
  ...defaultTuning(gpu),
  matvec: { workgroup, lanes },
  wide,
});

const run = async (on: typeof gpu, tuning: Tuning, specs: readonly ProjectionSpec[], name: string) => {
  const rig = new Rig(on);
  await rig.run(specs.map((spec) => projectionCase(rig, on, tuning, spec, name)));
};

const one = { rows: 1, width: 'one', cols: 129 } as const;
const few = { rows: 6, width: 'few', cols: 37 } as const;
const many = { rows: 70, width: 'many', cols: 101 } as const;
const shape = { heads: 3, kvHeads: 1, headDim: 12 };

const everyOutput: ProjectionSpec[] = [
  { ...one, out: 'plain', outputs: 83, bias: true, residual: true },
  { ...one, out: 'swiglu', outputs: 45, norm: true, bias: true },
  { ...one, out: 'qkv', shape, norm: true, bias: true },
  { ...few, out: 'plain', outputs: 66, norm: true, head: true },
  { ...few, out: 'swiglu', outputs: 70, norm: true },
  { ...few, rows: 3, out: 'qkv', shape: { heads: 2, kvHeads: 2, headDim: 20 }, norm: true, kvDtype: 'f16' },
];

describe('f32: every output and width', () => {
  test('a thread a row', () => run(plainGpu, tuningOf(16, 1), everyOutput, 'a thread a row'));

  // From 512 weight rows on.
  const large = { heads: 24, kvHeads: 4, headDim: 20 };
  const eightRows: ProjectionSpec[] = [
    { ...one, out: 'plain', outputs: 519, bias: true, residual: true },
    { ...one, out: 'swiglu', outputs: 261, norm: true, bias: true },
    { ...one, out: 'qkv', shape: large, norm: true, bias: true },
    { ...few, out: 'plain', outputs: 514, norm: true, head: true },
    { ...many, rows: 13, out: 'swiglu', outputs: 261, bias: true },
    { ...many, rows: 5, out: 'qkv', shape: large, norm: true, kvDtype: 'f16' },
    { ...many, rows: 11, out: 'plain', outputs: 519, dtype: 'q8', norm: true, head: true },
  ];
  test('a thread eight rows', () => run(plainGpu, tuningOf(16, 1), eightRows, 'eight rows'));

  test.runIf(subgroups)('a thread eight rows, rows of x told by subgroups', () =>
    run(gpu, tuningOf(16, 1), eightRows.slice(3), 'eight rows, told by subgroups'),
  );

  test('sums in workgroup memory', () =>
    run(plainGpu, tuningOf(64, 16), everyOutput, 'sums in workgroup memory'));

  test.runIf(subgroups)('sums by subgroups', async () => {
    const specs = everyOutput.slice(1, 5);
    for (const { workgroup, lanes } of VARIANTS.matvec.slice(1, 3)) {
      expect(reduceInclude(gpu, lanes)).toBe('reduce_subgroup');
      await run(gpu, tuningOf(workgroup, lanes), specs, `subgroups, ${lanes} lanes a row`);
    }
  });

  test('many rows: tiles', () =>
    run(
      plainGpu,
      tuningOf(16, 1, 'tiled'),
      [
        { ...many, out: 'plain', outputs: 131, norm: true, head: true },
        { ...many, out: 'qkv', shape, bias: true },
      ],
      'tiles',
    ));

  const untiled: ProjectionSpec[] = [
    { ...many, out: 'swiglu', outputs: 45, norm: true, bias: true },
    { ...many, rows: 13, out: 'plain', outputs: 83, norm: true, head: true },
  ];
  test('many rows without tiles', () => run(plainGpu, tuningOf(16, 1), untiled, 'no tiles'));

  test.runIf(subgroups)('rows of x told by subgroups', async () => {
    for (const width of ['few', 'many'] as const) expect(rowsInclude(gpu, 1, width)).toBe('x_subgroup');
    const specs: ProjectionSpec[] = [...untiled, { ...many, rows: 5, out: 'qkv', shape, bias: true }];
    await run(gpu, tuningOf(16, 1), [...specs, ...everyOutput.slice(3)], 'rows by subgroups');
  });

  test('rows of x are told by subgroups only where four lanes are sure to be there', async () => {
    expect(rowsInclude(gpu, 1, 'one')).toBe('x_own');
    expect(rowsInclude(gpu, 8, 'many')).toBe('x_own');
    expect(rowsInclude(plainGpu, 1, 'many')).toBe('x_own');
    const small = { ...gpu, subgroupSize: { min: 2, max: 64 } };
    expect(rowsInclude(small, 1, 'many')).toBe('x_own');
  });
});

describe('lane shapes', () => {
  test.each(VARIANTS.matvec)('$workgroup threads, $lanes a row', async ({ workgroup, lanes }) => {
    expect(reduceInclude(plainGpu, lanes)).toBe(lanes === 1 ? 'reduce_none' : 'reduce_shared');
    const spec: ProjectionSpec = { ...one, cols: 300, out: 'plain', outputs: 83 };
    await run(plainGpu, tuningOf(workgroup, lanes), [spec], `${lanes} of ${workgroup} threads`);
  });

  test.each(VARIANTS.matvec)('as tune tries them: $workgroup threads, $lanes a row', ({ workgroup, lanes }) =>
    run(
      gpu,
      tuningOf(workgroup, lanes),
      [{ ...one, cols: 300, out: 'plain', outputs: 83, norm: true }],
      `${lanes} of ${workgroup} threads`,
    ),
  );

  test('subgroups that might not fit the lanes are not used', () => {
    const { max } = gpu.subgroupSize;
    if (max > 2) expect(reduceInclude(gpu, max / 2)).toBe('reduce_shared');
    expect(reduceInclude(gpu, 1)).toBe('reduce_none');
  });
});

describe('stored dtypes', () => {
  test.each(DTYPES.filter((dtype) => dtype !== 'f32'))('%s', async (dtype) => {
    const specs: ProjectionSpec[] = [
      { ...one, cols: 165, out: 'swiglu', outputs: 45, norm: true, dtype },
      { ...few, out: 'plain', outputs: 83, residual: true, dtype },
    ];
    await run(plainGpu, tuningOf(16, 1), specs, 'a thread a row');
    await run(plainGpu, tuningOf(64, 16), specs.slice(0, 1), 'sums in workgroup memory');
  });

  test('q4 and q8 in tiles', () =>
    run(
      plainGpu,
      tuningOf(16, 1, 'tiled'),
      [
        { ...many, out: 'plain', outputs: 83, residual: true, dtype: 'q4' },
        { ...many, out: 'swiglu', outputs: 45, dtype: 'q8' },
      ],
      'tiles',
    ));

  test('f16, one row and in tiles', async () => {
    const spec: ProjectionSpec = { ...one, cols: 165, out: 'swiglu', outputs: 45, norm: true, dtype: 'f16' };
    await run(gpu, tuningOf(16, 1), [spec], 'f16');
    await run(gpu, tuningOf(16, 1, 'tiled'), [{ ...spec, ...many, norm: false }], 'f16 in tiles');
  });
});
