// Embedding rows, RMSNorm, and the norm and rotation of q and k, against their twins.
import { afterAll, describe, test } from 'vitest';
import type { Gpu } from '../../../src/gpu/device.ts';
import { embed } from '../../../src/kernels/embed.ts';
import { norm } from '../../../src/kernels/matmul.ts';
import { type HeadShape, normAndRope } from '../../../src/kernels/rope.ts';
import type { WeightDtype } from '../../../src/kernels/tensor.ts';
import { defaultTuning, type LaneShape } from '../../../src/kernels/tuning.ts';
import { DTYPES } from '../../../src/quant/index.ts';
import { embed as embedTwin, rmsNorm } from '../../reference/kernels.ts';
import { covers, openTestGpu, variantOf } from '../../support/gpu-features.ts';
import { columns, expectQkv, qkvPlace, spreadRows } from '../../support/gpu-projection.ts';
import { type Case, type Floats, Rig } from '../../support/gpu-rig.ts';

const gpu = await openTestGpu();
const plainGpu = await variantOf(gpu, { without: ['f16', 'subgroups'] });
const subgroups = covers(gpu, 'subgroups', 'norms by subgroups');
afterAll(() => gpu.close());

const EPS = 0.05;
const oneLane: LaneShape = { workgroup: 16, lanes: 1 };
const someLanes: LaneShape = { workgroup: 64, lanes: 16 };
const subgroupLanes: LaneShape = { workgroup: 128, lanes: 32 };
const tuningOf = (matvec: LaneShape) => ({ ...defaultTuning(gpu), matvec });

function embedCase(rig: Rig, dtype: WeightDtype): Case {
  const cols = 77;
  const ids = [0, 52, 7, 7, 31];
  const { weight, values } = rig.weight({ rows: 53, cols, dtype });
  const rows = rig.rows(ids.map((token) => ({ token })));
  const out = rig.output(ids.length, cols);
  return {
    step: { rows: ids.length },
    record: (recorder, step) => embed(recorder, { table: weight, rows, out, step }),
    check: () => rig.expectRows(out, Float32Array.from(embedTwin(values, cols, ids)), `embed ${dtype}`),
  };
}

describe('embed', () => {
  test('every dtype', async () => {
    const rig = new Rig(plainGpu);
    await rig.run(DTYPES.map((dtype) => embedCase(rig, dtype)));
  });
});

function normCase(rig: Rig, on: Gpu, lanes: LaneShape, withGain: boolean, head: boolean): Case {
  const label = `norm, ${lanes.lanes} of ${lanes.workgroup} threads${head ? ', head' : ''}`;
  const [rows, cols] = [37, 91];
  const [first, count] = head ? [3, 33] : [0, rows];
  const values = rig.floats(rows * cols);
  const x = rig.activations(values, cols);
  const gain = withGain ? rig.floats(cols) : undefined;
  const vectors = gain && rig.activations(gain, cols).buffer;
  const out = rig.output(count, cols);
  return {
    step: { rows, first, count },
    record: (recorder, step) =>
      norm(on, tuningOf(lanes), recorder, {
        label,
        x,
        ...(vectors && { vectors }),
        out: out.buffer,
        eps: EPS,
        head,
        step,
      }),
    check: () => {
      const used = values.slice(first * cols, (first + count) * cols);
      return rig.expectRows(out, Float32Array.from(rmsNorm(used, cols, gain, EPS)), label);
    },
  };
}

describe('norm', () => {
  test('with and without a gain, of all rows and of those wanted', async () => {
    const rig = new Rig(plainGpu);
    await rig.run([
      normCase(rig, plainGpu, oneLane, true, false),
      normCase(rig, plainGpu, someLanes, false, false),
      normCase(rig, plainGpu, someLanes, true, true),
    ]);
  });

  test.runIf(subgroups)('by subgroups', async () => {
    const rig = new Rig(gpu);
    await rig.run([normCase(rig, gpu, subgroupLanes, true, true)]);
  });
});

/** q and k normed a head, v as it is; `(rows, heads + 2 kvHeads, headDim)`. */
function normHeads(qkv: Floats, shape: HeadShape, gains: Floats | undefined): Floats {
  const { heads, kvHeads, headDim } = shape;
  const all = (heads + 2 * kvHeads) * headDim;
  const out = qkv.slice();
  const put = (from: number, count: number, gain: Floats | undefined): void => {
    const normed = rmsNorm(columns(qkv, all, from * headDim, count * headDim), headDim, gain, EPS);
    const size = count * headDim;
    for (let r = 0; r * all < qkv.length; r++)
      out.set(normed.subarray(r * size, (r + 1) * size), r * all + from * headDim);
  };
  put(0, heads, gains?.slice(0, headDim));
  put(heads, kvHeads, gains?.slice(headDim));
  return out;
}

function ropeCase(
  rig: Rig,
  on: Gpu,
  lanes: LaneShape,
  shape: HeadShape,
  weighted: boolean,
  kvDtype: 'f32' | 'f16',
): Case {
  const label = `rope, ${lanes.lanes} of ${lanes.workgroup} threads, KV ${kvDtype}`;
  const specs = spreadRows(7);
  const cols = (shape.heads + 2 * shape.kvHeads) * shape.headDim;
  const values = rig.floats(specs.length * cols);
  const qkv = rig.activations(values, cols);
  const gains = weighted ? rig.floats(2 * shape.headDim) : undefined;
  const gainBuffer = gains && rig.upload('gains', gains);
  const placed = qkvPlace(rig, shape, kvDtype, specs, 9);
  return {
    step: { rows: specs.length },
    record: (recorder, step) =>
      normAndRope(on, tuningOf(lanes), recorder, {
        label,
        qkv,
        gains: gainBuffer,
        eps: EPS,
        place: placed.place,
        step,
      }),
    check: () => expectQkv(rig, placed, normHeads(values, shape, gains), specs, label),
  };
}

describe('norm and rotation of q and k', () => {
  test('weighted and weightless, f32 and f16 KV', async () => {
    const rig = new Rig(plainGpu);
    await rig.run([
      ropeCase(rig, plainGpu, oneLane, { heads: 3, kvHeads: 1, headDim: 20 }, true, 'f32'),
      ropeCase(rig, plainGpu, someLanes, { heads: 5, kvHeads: 5, headDim: 12 }, false, 'f16'),
    ]);
  });

  test.runIf(subgroups)('by subgroups', async () => {
    const rig = new Rig(gpu);
    await rig.run([ropeCase(rig, gpu, subgroupLanes, { heads: 3, kvHeads: 1, headDim: 40 }, true, 'f32')]);
  });

  test('a position past the cache is written nowhere', async () => {
    const rig = new Rig(plainGpu);
    const shape = { heads: 3, kvHeads: 1, headDim: 20 };
    const cols = 5 * shape.headDim;
    const qkv = rig.activations(rig.floats(2 * cols), cols);
    const specs = [
      { sequence: 0, position: 9 },
      { sequence: 2, position: 4096 },
    ];
    const placed = qkvPlace(rig, shape, 'f32', specs, 9);
    const zeros = new Float32Array(2 * shape.heads * shape.headDim);
    await rig.run([
      {
        step: { rows: 2 },
        record: (recorder, step) =>
          normAndRope(plainGpu, tuningOf(oneLane), recorder, {
            label: 'rope',
            qkv,
            gains: undefined,
            eps: EPS,
            place: placed.place,
            step,
          }),
        async check() {
          await rig.expectRows(placed.q, zeros, 'q of a full cache');
          const kv = await rig.floatsOf(placed.place.kv);
          if (kv.some((value) => value !== 0)) throw new Error('Something was written to a full cache.');
        },
      },
    ]);
  });
});
