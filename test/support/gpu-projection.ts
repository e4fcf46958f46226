import type { Gpu } from '../../src/gpu/device.ts';
import { project } from '../../src/kernels/matmul.ts';
import type { HeadShape, QkvPlace } from '../../src/kernels/rope.ts';
import type { WeightDtype } from '../../src/kernels/tensor.ts';
import type { Tuning, Width } from '../../src/kernels/tuning.ts';
import { ropeTable } from '../../src/model/rope.ts';
import { attentionOf } from '../../src/model/spec.ts';
import { add, linear, rmsNorm, rope } from '../reference/kernels.ts';
import { type Case, expectClose, type Floats, KvImage, type Rig, type RowSpec, readKv } from './gpu-rig.ts';
import { tinyModel } from './tiny-models.ts';

/** Of the norm before a projection: large, so that leaving it out shows. */
const EPS = 0.05;

/** One projection to test: shapes that are not multiples of anything. */
export interface ProjectionSpec {
  out: 'plain' | 'swiglu' | 'qkv';
  rows: number;
  width: Width;
  cols: number;
  /** Outputs of a plain, of each half of a swiglu. */
  outputs?: number;
  dtype?: WeightDtype;
  norm?: boolean;
  bias?: boolean;
  residual?: boolean;
  /** Only rows 1 to the last but one. */
  head?: boolean;
  shape?: HeadShape;
  kvDtype?: 'f32' | 'f16';
  tolerance?: number;
}

/** Rotary settings of any tiny model, for heads of a size. */
export const ropeConfig = (headDim: number) => {
  const [mixer] = attentionOf(tinyModel('llama', 1).spec).values();
  return { ...mixer!, headDim };
};

const slice = (values: Floats, from: number, count: number, cols: number): Floats =>
  values.slice(from * cols, (from + count) * cols);

/** Rows spread over three sequences, each at the positions that come next. */
export const spreadRows = (rows: number, start = 2): RowSpec[] =>
  Array.from({ length: rows }, (_, r) => ({ sequence: r % 3, position: start + Math.floor(r / 3) }));

/** Columns `from` up of rows `(rows, cols)`. */
export function columns(values: Floats, cols: number, from: number, count: number): Floats {
  const rows = values.length / cols;
  const out = new Float32Array(rows * count);
  for (let r = 0; r < rows; r++)
    out.set(values.subarray(r * cols + from, r * cols + from + count), r * count);
  return out;
}

/** Where q, k and v go in a test: empty buffers, three sequences, room for the rows. */
export function qkvPlace(
  rig: Rig,
  shape: HeadShape,
  kvDtype: 'f32' | 'f16',
  specs: readonly RowSpec[],
  context: number,
): { place: QkvPlace; q: ReturnType<Rig['output']>; image: KvImage } {
  const q = rig.output(specs.length, shape.heads * shape.headDim);
  const image = new KvImage({ shape, sequences: 3, context });
  const kv = rig.ledger.storage('kv', image.values.length * (kvDtype === 'f32' ? 4 : 2), 'kv');
  const table = rig.upload('rope', ropeTable(ropeConfig(shape.headDim), context));
  const rows = rig.rows(specs);
  return { place: { shape, q: q.buffer, kv, kvDtype, sequences: 3, context, rope: table, rows }, q, image };
}

/** Asserts q and the whole cache against `qkv (rows, heads + 2 kvHeads, headDim)` before RoPE. */
export async function expectQkv(
  rig: Rig,
  { place, q, image }: ReturnType<typeof qkvPlace>,
  qkv: Floats,
  specs: readonly RowSpec[],
  label: string,
  tolerance = 2e-5,
): Promise<void> {
  const { heads, kvHeads, headDim } = place.shape;
  const all = (heads + 2 * kvHeads) * headDim;
  const positions = specs.map(({ position = 0 }) => position);
  const spec = ropeConfig(headDim);
  const part = (from: number, count: number): Floats => columns(qkv, all, from * headDim, count * headDim);
  const rotated = Float32Array.from(rope(part(0, heads), heads, spec, positions));
  await rig.expectRows(q, rotated, `${label}: q`, tolerance);
  const k = rope(part(heads, kvHeads), kvHeads, spec, positions);
  const v = part(heads + kvHeads, kvHeads);
  const size = kvHeads * headDim;
  specs.forEach(({ sequence = 0, position = 0 }, r) => {
    image.set(sequence, position, k.subarray(r * size, (r + 1) * size), v.subarray(r * size, (r + 1) * size));
  });
  const found = await readKv(rig, place.kv, place.kvDtype, image.values.length);
  expectClose(found, image.values, `${label}: KV`, place.kvDtype === 'f16' ? 1e-3 : tolerance);
}

/** A projection and its twin as one case. */
export function projectionCase(
  rig: Rig,
  gpu: Gpu,
  tuning: Tuning,
  spec: ProjectionSpec,
  prefix: string,
): Case {
  const { out, rows, width, cols, dtype = 'f32', norm = false, bias = false, residual = false } = spec;
  const { outputs = 0, head = false, kvDtype = 'f32', tolerance } = spec;
  const shape = spec.shape ?? { heads: 0, kvHeads: 0, headDim: 0 };
  const flags = Object.entries({ norm, bias, residual, head }).flatMap(([name, on]) => (on ? [name] : []));
  const label = `${prefix}: ${[out, dtype, width, `${rows} rows`, ...flags].join(' ')}`;
  const size = {
    plain: outputs,
    swiglu: 2 * outputs,
    qkv: (shape.heads + 2 * shape.kvHeads) * shape.headDim,
  }[out];
  const { weight, values, ...vectors } = rig.weight({
    rows: size,
    cols,
    dtype,
    unit: { plain: 4, swiglu: 8, qkv: shape.headDim }[out],
    halves: out === 'swiglu',
    gain: norm,
    bias,
  });
  const x = rig.floats(rows * cols);
  const input = rig.activations(x, cols);
  const first = head ? 1 : 0;
  const count = head ? rows - 2 : rows;
  const normed = { eps: EPS, normed: rig.output(rows, cols).buffer };
  const specs = spreadRows(rows);
  const initial = rig.floats(count * outputs);
  const to = rig.output(count, outputs, residual ? initial : undefined);
  const place = out === 'qkv' ? qkvPlace(rig, shape, kvDtype, specs, 5 + Math.ceil(rows / 3)) : undefined;
  return {
    step: { rows, first, count },
    record(recorder, step) {
      project(gpu, tuning, recorder, {
        label,
        x: input,
        weight,
        out:
          out === 'qkv'
            ? { kind: 'qkv', ...place!.place }
            : out === 'plain'
              ? { kind: 'plain', to, residual }
              : { kind: 'swiglu', to },
        norm: norm ? normed : undefined,
        head,
        width,
        step,
      });
    },
    async check() {
      const used = slice(x, first, count, cols);
      const inner = norm ? rmsNorm(used, cols, vectors.gain, EPS) : used;
      const sums = Float32Array.from(linear(inner, values, cols, vectors.bias));
      if (place) {
        await expectQkv(rig, place, sums, specs, label, tolerance);
      } else if (out === 'swiglu') {
        const gate = columns(sums, size, 0, outputs);
        const up = columns(sums, size, outputs, outputs);
        const product = gate.map((a, i) => (a / (1 + Math.exp(-a))) * up[i]!);
        await rig.expectRows(to, product, label, tolerance);
      } else {
        const expected = residual ? Float32Array.from(add(sums, initial)) : sums;
        await rig.expectRows(to, expected, label, tolerance);
      }
    },
  };
}
