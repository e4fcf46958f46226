// What is larger than a binding or a dispatch allows: weights in parts, grids in two dimensions, a vocabulary of 152k rows. Each
// launch is held against its CPU twin.
import { afterAll, describe, expect, test } from 'vitest';
import { embed } from '../../../src/kernels/embed.ts';
import { type Output, project } from '../../../src/kernels/project.ts';
import { argmax } from '../../../src/kernels/sample.ts';
import type { Weight } from '../../../src/kernels/tensor.ts';
import { defaultTuning, type Tuning, type Width } from '../../../src/kernels/tuning.ts';
import { openTestGpu, variantOf } from '../../support/gpu-features.ts';
import { type Case, Rig } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
afterAll(() => gpu.close());

const tuning: Tuning = { ...defaultTuning(gpu), matvec: { workgroup: 16, lanes: 1 }, vocabulary: 256 };

/** Where the sums of a launch go, and what it is made for. */
interface Projection {
  rows: number;
  width: Width;
  weight: Weight;
  out: Output;
  norm?: boolean;
}

function projectionCase(rig: Rig, { rows, width, weight, out, norm }: Projection): Case {
  const x = rig.activations(rig.floats(rows * weight.cols), weight.cols);
  const normed = norm ? { eps: 0.05, normed: rig.output(rows, weight.cols).buffer } : undefined;
  return {
    step: { rows, count: rows },
    record: (recorder, step) =>
      project(rig.gpu, tuning, recorder, {
        label: out.kind,
        x,
        weight,
        out,
        norm: normed,
        width,
        most: rows,
        step,
      }),
  };
}

describe('weights in parts', () => {
  test('plain, swiglu, qkv and the embedding', async () => {
    // 40 rows of 64 values in f32.
    const small = await variantOf(gpu, { limits: { binding: 40 * 64 * 4 }, without: ['f16', 'subgroups'] });
    const rig = new Rig(small);
    const few = { rows: 3, width: 'few' } as const;
    const [cols, dtype] = [37, 'f32'] as const;
    const ids = [0, 39, 40, 90];
    const table = rig.weight({ rows: 91, cols: 45, dtype });
    const splits = ({ parts }: Weight) => parts.map(({ row0, rows }) => [row0, rows]);
    expect(splits(table)).toEqual([
      [0, 40],
      [40, 40],
      [80, 11],
    ]);
    const halves = rig.weight({ rows: 74, cols, dtype, unit: 8, halves: true, gain: true, bias: true });
    const shape = { heads: 3, kvHeads: 1, headDim: 12 };
    const qkv = rig.weight({ rows: 60, cols, dtype, unit: 12, gain: true, bias: true });
    expect(splits(qkv)).toEqual([
      [0, 36],
      [36, 24],
    ]);
    const place = {
      shape,
      q: rig.output(3, 36).buffer,
      kv: rig.ledger.storage('kv', 4 * 2 * 3 * 12 * 6, 'kv'),
      kvDtype: 'f32',
      sequences: 3,
      context: 6,
      capacity: 6,
      rope: rig.upload('rope', rig.floats(6 * 12)),
      rows: rig.rows([0, 1, 2].map((sequence) => ({ sequence, position: 2 }))),
    } as const;
    const plain = rig.output(3, 91, rig.floats(3 * 91));
    const rows = rig.rows(ids.map((token) => ({ token })));
    const out = rig.output(ids.length, 45);
    await rig.run([
      projectionCase(rig, {
        ...few,
        weight: rig.weight({ rows: 91, cols, dtype, bias: true }),
        out: { kind: 'plain', to: plain, residual: true },
      }),
      projectionCase(rig, {
        ...few,
        weight: halves,
        out: { kind: 'swiglu', activation: 'silu', to: rig.output(3, 37) },
        norm: true,
      }),
      projectionCase(rig, { ...few, weight: qkv, out: { kind: 'qkv', ...place }, norm: true }),
      {
        step: { rows: ids.length },
        record: (recorder, step) => embed(recorder, { table, rows, out, step }),
      },
    ]);
  });
});

test('more workgroups than one dimension takes', async () => {
  const short = await variantOf(gpu, { limits: { workgroups: 3 }, without: ['f16', 'subgroups'] });
  const rig = new Rig(short);
  // 331 rows are 83 groups of four, 6 workgroups of 16 threads: two dimensions of three.
  const weight = rig.weight({ rows: 331, cols: 37, dtype: 'f32' });
  const out = { kind: 'plain', to: rig.output(1, 331), residual: false } as const;
  await rig.run([projectionCase(rig, { rows: 1, width: 'one', weight, out })]);
});

test('152k rows: embedding, logits in parts, argmax', async () => {
  const vocab = 151_936;
  const cols = 8;
  // Three parts in q8, and grids of at most 1000 workgroups.
  const limits = { binding: 4 * 2 ** 20, workgroups: 1000 };
  const small = await variantOf(gpu, { limits, without: ['f16', 'subgroups'] });
  const rig = new Rig(small);
  const ids = [0, 65_536, 131_071, vocab - 1];
  const weight = rig.weight({ rows: vocab, cols, dtype: 'q8' });
  expect(weight.parts.length).toBe(3);
  const rows = rig.rows(ids.map((token) => ({ token })));
  const embedded = rig.output(ids.length, cols);
  const logits = rig.output(1, vocab);
  const next = rig.rows([{}]);
  const sampled = rig.upload('sampled', new Uint32Array(4));
  const between = rig.between(1);
  await rig.run([
    {
      step: { rows: ids.length },
      record: (recorder, step) => embed(recorder, { table: weight, rows, out: embedded, step }),
    },
    projectionCase(rig, {
      rows: 1,
      width: 'one',
      weight,
      out: { kind: 'plain', to: logits, residual: false },
    }),
    {
      step: { rows: 1, count: 1 },
      record: (recorder, step) => argmax(tuning, recorder, { logits, next, sampled, step, between }),
    },
  ]);
});
