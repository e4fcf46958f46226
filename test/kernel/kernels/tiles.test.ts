// Projections of many rows as they are recorded: for each number of rows one launch, held against its CPU twin; and values that f16
// does not hold, of x, of the gain before it, and of sums.
import { afterAll, expect, test } from 'vitest';
import { Recorder } from '../../../src/gpu/recorder.ts';
import { type Output, type Projection, project } from '../../../src/kernels/project.ts';
import type { Weight } from '../../../src/kernels/tensor.ts';
import { defaultTuning } from '../../../src/kernels/tuning.ts';
import { openTestGpu, variantOf } from '../../support/gpu-features.ts';
import { type Case, type Floats, Rig } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
afterAll(() => gpu.close());

const tuning = { ...defaultTuning(await variantOf(gpu, {})), wide: 'tiled' as const };

type Asked = Pick<Projection, 'width' | 'half' | 'head'> & {
  rows: number;
  weight: Weight;
  out: Output;
  normed?: boolean;
};

function projectionCase(rig: Rig, x: Floats, { rows, weight, normed, ...asked }: Asked): Case {
  const norm = normed ? { eps: 1e-5, normed: rig.output(rows, weight.cols).buffer } : undefined;
  const call = { label: 'projection', x: rig.activations(x, weight.cols), weight, norm, most: 256, ...asked };
  return {
    step: { rows, count: rows },
    record: (recorder, step) => project(rig.gpu, tuning, recorder, { ...call, step }),
  };
}

test('of the tiles that are recorded, each number of rows runs one', async () => {
  const rig = new Rig(gpu);
  const weight = rig.weight({ rows: 576, cols: 64, dtype: 'q4' });
  const to = rig.output(256, 576);
  const recorder = new Recorder(gpu);
  project(gpu, tuning, recorder, {
    label: 'out',
    x: rig.activations(rig.floats(256 * 64), 64),
    weight,
    out: { kind: 'plain', to, residual: false },
    width: 'many',
    most: 256,
    step: rig.ledger.buffer('step', 16, 'scratch', GPUBufferUsage.UNIFORM),
  });
  const made = await recorder.finish();
  expect(made.length).toBeGreaterThan(1);
  for (const rows of [1, 9, 32, 33, 128, 224, 225, 256]) {
    const step = { rows, first: 0, count: rows, next: 0, context: rows };
    expect(made.filter(({ grid }) => grid(step)).length, `${rows} rows`).toBe(1);
    expect(made.every(({ anyGrid }) => anyGrid(step))).toBe(true);
  }
  rig.ledger.releaseAll();
});

test('what f16 does not hold stays right', async () => {
  const rig = new Rig(gpu);
  const [rows, cols] = [35, 100];
  const plain = (outputs: number): Output => ({
    kind: 'plain',
    to: rig.output(rows, outputs),
    residual: false,
  });
  const weight = rig.weight({ rows: 40, cols, dtype: 'f16' });
  // Of an MLP: x past f16.
  const large = rig.floats(rows * cols).map((value) => 3e6 * value);
  // Gains past what a normed row may be multiplied with.
  const gain = rig.floats(cols).map((value, i) => (i % 7 === 0 ? 60_000 : value));
  const gained = rig.weight({ rows: 40, cols, dtype: 'q8', gain });
  // Sums past f16, of x that is within it.
  const usual = rig.floats(rows * cols).map((value) => 6e4 * value);
  await rig.run([
    projectionCase(rig, large, { rows, width: 'many', weight, out: plain(40) }),
    projectionCase(rig, large, { rows, width: 'many', weight: gained, out: plain(40), normed: true }),
    projectionCase(rig, usual, { rows, width: 'many', weight, out: plain(40), half: true }),
  ]);
});

test('batches of 9 to 33 rows, and logits', async () => {
  const rig = new Rig(gpu);
  const weight = rig.weight({ rows: 50, cols: 70, dtype: 'q4', gain: true });
  const to = rig.output(33, 50);
  await rig.run(
    [9, 16, 17, 33].flatMap((rows) => {
      const x = rig.floats(rows * 70);
      const out: Output = { kind: 'plain', to, residual: false };
      return [
        projectionCase(rig, x, { rows, width: 'batch', weight, out, normed: true }),
        projectionCase(rig, x, { rows, width: 'batch', weight, out, normed: true, head: true }),
      ];
    }),
  );
});
