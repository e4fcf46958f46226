// Attention over a KV cache against its twin: groups of heads, head sizes, splits, mixed sequences, f32 and f16.
import { afterAll, describe, test } from 'vitest';
import { f32ArrayToF16 } from '../../../src/formats/float.ts';
import { attention, attentionPartsBytes } from '../../../src/kernels/attention.ts';
import type { HeadShape } from '../../../src/kernels/rope.ts';
import { defaultTuning, type Tuning, type Width } from '../../../src/kernels/tuning.ts';
import { attention as attentionTwin } from '../../reference/kernels.ts';
import { roundToF16 } from '../../reference/quantize.ts';
import { openTestGpu } from '../../support/gpu-features.ts';
import { type Case, type Floats, KvImage, Rig, type RowSpec } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
afterAll(() => gpu.close());

const CONTEXT = 53;
const SPLIT = 16;
const WIDE_FROM = 6;
const SEQUENCES = 3;
type Kind = Tuning['attention'] | Tuning['wideAttention'];

/** Rows at the borders of splits, in two sequences of three. */
const decodeRows: RowSpec[] = [0, 15, 16, 31, 50].map((position, r) => ({
  sequence: r % 2 === 0 ? 2 : 0,
  position,
}));
/** Chunks of one sequence, which has a beginning already; the longer one takes several tiles. */
const chunkOf = (length: number, position: number): RowSpec[] =>
  Array.from({ length }, (_, r) => ({ sequence: 1, position: position + r }));
const chunkRows = chunkOf(9, 11);
const longRows = chunkOf(39, 14);

interface AttentionSpec {
  heads: number;
  kvHeads: number;
  headDim: number;
  kvDtype?: 'f32' | 'f16';
  width?: Width;
  rows?: RowSpec[];
  context?: number;
}

function attentionCase(rig: Rig, kind: Kind, spec: AttentionSpec): Case {
  const { heads, kvHeads, headDim, kvDtype = 'f32', width = 'few', rows = decodeRows } = spec;
  const context = spec.context ?? CONTEXT;
  const label = `${kind} ${heads}/${kvHeads}/${headDim} ${kvDtype} ${width}`;
  const shape: HeadShape = { heads, kvHeads, headDim };
  const tuning: Tuning = {
    ...defaultTuning(gpu),
    attention: kind === 'tiled' ? 'cooperative' : kind,
    wideAttention: kind === 'cooperative' ? 'tiled' : kind,
    split: SPLIT,
    wideFrom: WIDE_FROM,
  };
  // What was never written must never be read: not a number, which would spread.
  const image = new KvImage({ shape, sequences: SEQUENCES, context }, Number.NaN);
  const size = kvHeads * headDim;
  const cache = new Map<number, { k: Floats; v: Floats }>();
  for (const { sequence = 0 } of rows) {
    if (cache.has(sequence)) continue;
    const length =
      1 +
      Math.max(
        ...rows.map((row) => (row.sequence === sequence && row.position! < context ? row.position! : -1)),
      );
    // As f16 keeps them, so that both dtypes have one twin.
    const k = rig.floats(length * size).map(roundToF16);
    const v = rig.floats(length * size).map(roundToF16);
    for (let p = 0; p < length; p++)
      image.set(sequence, p, k.subarray(p * size, (p + 1) * size), v.subarray(p * size, (p + 1) * size));
    cache.set(sequence, { k, v });
  }
  const width4 = heads * headDim;
  // Large queries make some positions matter far more than others.
  const q = rig.floats(rows.length * width4).map((value) => 4 * value);
  const kv = rig.upload('kv', kvDtype === 'f16' ? f32ArrayToF16(image.values) : image.values);
  const out = rig.output(rows.length, width4);
  const parts = rig.ledger.storage('parts', attentionPartsBytes(tuning, shape, context, rows.length), 'kv');
  const place = {
    shape,
    q: rig.activations(q, width4).buffer,
    kv,
    kvDtype,
    sequences: SEQUENCES,
    context,
    rope: parts,
    rows: rig.rows(rows),
  };
  return {
    step: {
      rows: rows.length,
      context: Math.min(context, 1 + Math.max(...rows.map(({ position }) => position!))),
    },
    record: (recorder, step) => attention(tuning, recorder, { label, place, out, parts, width, step }),
    async check() {
      const expected = new Float32Array(q.length);
      rows.forEach(({ sequence, position }, r) => {
        if (position! >= context) return;
        const { k, v } = cache.get(sequence!)!;
        const query = q.slice(r * width4, (r + 1) * width4);
        expected.set(attentionTwin(query, k, v, [position!], shape), r * width4);
      });
      await rig.expectRows(out, expected, label);
    },
  };
}

const shapes: AttentionSpec[] = [
  { heads: 2, kvHeads: 2, headDim: 8 },
  { heads: 4, kvHeads: 1, headDim: 8, kvDtype: 'f16' },
  { heads: 10, kvHeads: 2, headDim: 12 },
  { heads: 7, kvHeads: 1, headDim: 8, kvDtype: 'f16' },
];
const largeShapes: AttentionSpec[] = [
  { heads: 3, kvHeads: 1, headDim: 20 },
  { heads: 7, kvHeads: 1, headDim: 24, kvDtype: 'f16' },
  { heads: 6, kvHeads: 2, headDim: 64, kvDtype: 'f16' },
  { heads: 3, kvHeads: 1, headDim: 80 },
  { heads: 2, kvHeads: 1, headDim: 128 },
  { heads: 2, kvHeads: 1, headDim: 256 },
];

describe('few rows, several splits', () => {
  test.each(['cooperative', 'direct'] as const)('%s', async (kind) => {
    const rig = new Rig(gpu);
    await rig.run(shapes.map((spec) => attentionCase(rig, kind, spec)));
  });

  test.each(['cooperative', 'direct'] as const)('%s, large heads', async (kind) => {
    const rig = new Rig(gpu);
    await rig.run(largeShapes.map((spec) => attentionCase(rig, kind, spec)));
  });

  test('one row, one split', async () => {
    const rig = new Rig(gpu);
    const spec: AttentionSpec = {
      heads: 3,
      kvHeads: 1,
      headDim: 8,
      width: 'one',
      rows: [{ sequence: 0, position: 12 }],
      context: 13,
    };
    await rig.run([attentionCase(rig, 'cooperative', spec), attentionCase(rig, 'direct', spec)]);
  });
});

test.each(['direct', 'tiled'] as const)('many rows, %s: chunks, mixed sequences', async (kind) => {
  const rig = new Rig(gpu);
  const mixed = [...decodeRows, ...chunkRows];
  const base = { heads: 6, kvHeads: 2, headDim: 24, width: 'many' } as const;
  await rig.run([
    attentionCase(rig, kind, { ...base, rows: mixed }),
    attentionCase(rig, kind, { ...base, rows: longRows }),
    attentionCase(rig, kind, { ...base, heads: 5, kvHeads: 1, headDim: 64, rows: [...longRows, ...mixed] }),
    attentionCase(rig, kind, { ...base, heads: 2, headDim: 128, kvDtype: 'f16', rows: longRows }),
  ]);
});

test('decoding as many sequences as rows of a prompt', async () => {
  const rig = new Rig(gpu);
  const rows = [...decodeRows, ...decodeRows.map(({ position }) => ({ sequence: 1, position }))];
  const spec = { heads: 6, kvHeads: 2, headDim: 8, rows };
  await rig.run([attentionCase(rig, 'direct', spec), attentionCase(rig, 'cooperative', spec)]);
});

test('many rows in tiles: heads too large for registers, and rows past the cache', async () => {
  const rig = new Rig(gpu);
  const base = { heads: 2, kvHeads: 1, width: 'many' } as const;
  await rig.run([
    attentionCase(rig, 'tiled', { ...base, headDim: 132, rows: chunkRows }),
    attentionCase(rig, 'tiled', { ...base, headDim: 256, rows: chunkRows }),
    attentionCase(rig, 'tiled', { ...base, headDim: 80, rows: [...chunkRows, ...chunkOf(2, CONTEXT)] }),
  ]);
});
