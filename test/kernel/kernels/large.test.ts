// What is larger than a binding or a dispatch allows: weights in parts, grids in two dimensions, a vocabulary of 152k rows.
import { afterAll, describe, expect, test } from 'vitest';
import { embed } from '../../../src/kernels/embed.ts';
import { project } from '../../../src/kernels/matmul.ts';
import { argmax } from '../../../src/kernels/sample.ts';
import { defaultTuning, type Tuning } from '../../../src/kernels/tuning.ts';
import { argmax as argmaxTwin, embed as embedTwin, linear } from '../../reference/kernels.ts';
import { openTestGpu, variantOf } from '../../support/gpu-features.ts';
import { projectionCase } from '../../support/gpu-projection.ts';
import { Rig } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
afterAll(() => gpu.close());

const tuning: Tuning = { ...defaultTuning(gpu), matvec: { workgroup: 16, lanes: 1 }, vocabulary: 256 };

describe('weights in parts', () => {
  test('plain, swiglu, qkv and the embedding', async () => {
    // 40 rows of 64 values in f32.
    const small = await variantOf(gpu, { limits: { binding: 40 * 64 * 4 }, without: ['f16', 'subgroups'] });
    const rig = new Rig(small);
    const few = { rows: 3, width: 'few', cols: 37, norm: true, bias: true } as const;
    const ids = [0, 39, 40, 90];
    const table = rig.weight({ rows: 91, cols: 45, dtype: 'f32' });
    expect(table.weight.parts.map(({ row0, rows }) => [row0, rows])).toEqual([
      [0, 40],
      [40, 40],
      [80, 11],
    ]);
    const rows = rig.rows(ids.map((token) => ({ token })));
    const out = rig.output(ids.length, 45);
    await rig.run([
      projectionCase(
        rig,
        small,
        tuning,
        { ...few, norm: false, out: 'plain', outputs: 91, residual: true },
        'parts',
      ),
      projectionCase(rig, small, tuning, { ...few, out: 'swiglu', outputs: 37 }, 'parts'),
      projectionCase(
        rig,
        small,
        tuning,
        { ...few, out: 'qkv', shape: { heads: 3, kvHeads: 1, headDim: 12 } },
        'parts',
      ),
      {
        step: { rows: ids.length },
        record: (recorder, step) => embed(recorder, { table: table.weight, rows, out, step }),
        check: () => rig.expectRows(out, Float32Array.from(embedTwin(table.values, 45, ids)), 'embed'),
      },
    ]);
  });
});

test('more workgroups than one dimension takes', async () => {
  const short = await variantOf(gpu, { limits: { workgroups: 3 }, without: ['f16', 'subgroups'] });
  const rig = new Rig(short);
  // 331 rows are 83 groups of four, 6 workgroups of 16 threads: two dimensions of three.
  const shape = { rows: 1, width: 'one', cols: 37, out: 'plain', outputs: 331 } as const;
  await rig.run([projectionCase(rig, short, tuning, shape, 'short grid')]);
});

test('152k rows: embedding, logits in parts, argmax', async () => {
  const vocab = 151_936;
  const cols = 8;
  // Three parts in q8, and grids of at most 1000 workgroups.
  const limits = { binding: 4 * 2 ** 20, workgroups: 1000 };
  const small = await variantOf(gpu, { limits, without: ['f16', 'subgroups'] });
  const rig = new Rig(small);
  const ids = [0, 65_536, 131_071, vocab - 1];
  const { weight, values } = rig.weight({ rows: vocab, cols, dtype: 'q8' });
  expect(weight.parts.length).toBe(3);
  const rows = rig.rows(ids.map((token) => ({ token })));
  const embedded = rig.output(ids.length, cols);
  const x = rig.floats(cols);
  const input = rig.activations(x, cols);
  const logits = rig.output(1, vocab);
  const next = rig.rows([{}]);
  const sampled = rig.upload('sampled', new Uint32Array(4));
  const expected = Float32Array.from(linear(x, values, cols));
  await rig.run([
    {
      step: { rows: ids.length },
      record: (recorder, step) => embed(recorder, { table: weight, rows, out: embedded, step }),
      check: () => rig.expectRows(embedded, Float32Array.from(embedTwin(values, cols, ids)), 'embed 152k'),
    },
    {
      step: { rows: 1, count: 1 },
      record(recorder, step) {
        project(small, tuning, recorder, {
          label: 'logits',
          x: input,
          weight,
          out: { kind: 'plain', to: logits, residual: false },
          width: 'one',
          step,
        });
        argmax(tuning, recorder, { logits, next, sampled, step });
      },
      async check() {
        await rig.expectRows(logits, expected, 'logits 152k');
        expect((await rig.wordsOf(sampled, 1))[0]).toBe(argmaxTwin(expected));
      },
    },
  ]);
});
