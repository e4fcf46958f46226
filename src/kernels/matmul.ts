// shaders/plain/matvec.wgsl and matmul.wgsl: `x W'`, with what comes before and after.
import { f16ToF32, f32ToF16 } from '../formats/float.ts';
import {
  type Asked,
  type Binding,
  combine,
  type Fixed,
  type Kernel,
  type Launch,
  type Result,
  reads,
  STEP,
  type TwinLaunch,
  writes,
} from '../gpu/kernel.ts';
import { spread } from '../gpu/recorder.ts';
import { rmsScale, rowsOf } from './norm.ts';
import { KV_WRITES, pickHeads, placed, QKV_SIZES, type QkvConstant, qkvBindings, type Sum } from './qkv.ts';
import { COUNT, FACTOR, PLACE, SMALL } from './tensor.ts';
import { tilesOf } from './tiles.ts';
import { WEIGHTS, type WeightConstant, weightBindings, weightRow } from './weight-rows.ts';

/** Where sums go: q, k and v; gate and up; values that others read; what is added to the hidden states. */
const QKV = combine([{ OUT: 'out_qkv' }], KV_WRITES);
const GATED = combine([{ OUT: 'out_swiglu', RESIDUAL: false }], [{ GELU: false }, { GELU: true }]);
const PLAIN: Fixed = { OUT: 'out_plain', RESIDUAL: false };
const ADDED: Fixed = { OUT: 'out_plain', RESIDUAL: true };

const inBlocks = (outputs: readonly Fixed[]): Fixed[] =>
  combine(outputs, [
    { BIAS: false, HEAD: false },
    { BIAS: true, HEAD: false },
  ]);
const LOGITS: Fixed = { ...PLAIN, BIAS: false, HEAD: true };

/** Projections of many rows, whose norm is a launch of its own; and of few, which normalise on the way. */
export const OF_MANY = [...inBlocks([...QKV, ...GATED, PLAIN, ADDED]), LOGITS];
export const OF_FEW = [
  ...combine([...inBlocks([...QKV, ...GATED, PLAIN]), LOGITS], [{ NORM: true }]),
  ...combine(inBlocks([GATED[0]!, PLAIN, ADDED]), [{ NORM: false }]),
];

export const PROJECTION_SIZES = {
  ...QKV_SIZES,
  X_STRIDE4: COUNT,
  N: COUNT,
  ROW0: PLACE,
  FACTOR,
  BIAS_AT: PLACE,
  OUT_STRIDE: COUNT,
} as const;

/** A thread has eight weight rows, of small matrices four. */
const SHAPES: readonly Fixed[] = [
  { WG: 16, ROWS: 4 },
  { WG: 16, ROWS: 8 },
];
const own = (TOKENS: number): Fixed => ({ X: 'plain/x_own', TOKENS });
const told = (TOKENS: number): Fixed => ({ X: 'plain/x_subgroup', TOKENS });

export type ProjectionConstant =
  | QkvConstant
  | WeightConstant
  | 'X_STRIDE4'
  | 'ROW0'
  | 'BIAS'
  | 'BIAS_AT'
  | 'OUT_STRIDE'
  | 'RESIDUAL'
  | 'GELU'
  | 'HEAD'
  | 'RANGED';

/** Weight rows, with those that out_swiglu.wgsl makes of an odd width. */
export const virtualRows = ({ imports, constants: { N } }: Launch<ProjectionConstant>): number =>
  imports.OUT === 'out_swiglu' ? 4 * Math.ceil(N / 4) : N;

const shapeOfOut = ({ constants: c, step }: Launch<ProjectionConstant>): number[] => [
  rowsOf(step, c.HEAD),
  c.OUT_STRIDE,
];

export function projectionBindings(asked: Asked<ProjectionConstant>): Binding<ProjectionConstant>[] {
  const { OUT } = asked.imports;
  const out: Binding<ProjectionConstant>[] =
    OUT === 'out_qkv'
      ? qkvBindings(asked)
      : [writes('out', OUT === 'out_swiglu' ? 'vec2f' : 'vec4f', shapeOfOut)];
  return [
    reads('x', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.X_STRIDE4]),
    ...weightBindings(asked),
    // the gain of the norm before, with what is behind it, then the bias
    reads('vectors', 'vec4f', ({ constants }) => [constants.BIAS_AT + 4 * Math.ceil(constants.N / 4)]),
    ...out,
    STEP,
  ];
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** `gelu(x) = x sigmoid(geluInner(x))`, the one with tanh. */
const geluInner = (x: number): number => 2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);

/** An activated gate times up. */
export function gated(gate: Sum, up: Sum, gelu: boolean): Sum {
  const active = gate.value * sigmoid(gelu ? geluInner(gate.value) : gate.value);
  // The steepest slope of each.
  const slope = gelu ? 1.13 : 1.1;
  const scale = slope * gate.scale * (Math.abs(up.value) + 0.01 * up.scale) + up.scale * Math.abs(active);
  return { value: active * up.value, scale };
}

/** What both kernels leave. */
export function* projected(launch: TwinLaunch<ProjectionConstant>, norm?: { K: number; EPS: number }) {
  const { constants, imports, step, floats, pick } = launch;
  const { N, ROW0, FACTOR: factor, HEAD, BIAS, BIAS_AT, OUT_STRIDE, RESIDUAL, GELU, HEAD_DIM } = constants;
  const padded = 4 * constants.X_STRIDE4;
  const rows = pick(rowsOf(step, HEAD));
  const gain = norm && floats('vectors', 0, padded);
  const range = constants.RANGED ? floats('vectors', padded, 1)[0]! : 1;
  const xs = rows.map((row) => {
    const x = floats('x', ((HEAD && norm ? step.first : 0) + row) * padded, padded);
    if (imports.X_TILE === 'gpu/x_tile_f16')
      return Float64Array.from(x, (value) => f16ToF32(f32ToF16(range * value)) / range);
    const by = norm ? rmsScale(x, norm.K, norm.EPS) : 1;
    return Float64Array.from(x, (value, i) => value * by * (gain ? gain[i]! : 1));
  });
  /** Row v of the weight times each row of x; `scale` is the root of the summed squares. */
  const sums = (v: number): Sum[] => {
    const w = weightRow(launch, v);
    const bias = BIAS ? floats('vectors', BIAS_AT + v, 1)[0]! : 0;
    return xs.map((x) => {
      let value = bias;
      let squares = bias * bias;
      for (let i = 0; i < padded; i++) {
        const term = factor * w[i]! * x[i]!;
        value += term;
        squares += term * term;
      }
      return { value, scale: Math.sqrt(squares) };
    });
  };
  /** A column of out; past the last one is padding, which others read as zeros. */
  function* column(v: number, found: readonly Sum[]): Iterable<Result> {
    for (const [i, row] of rows.entries())
      yield { binding: 'out', at: row * OUT_STRIDE + ROW0 + v, ...(found[i] ?? { value: 0, scale: 0 }) };
  }
  const padding = (width: number, to: number): number[] =>
    Array.from({ length: to * Math.ceil(width / to) - width }, (_, i) => width + i);

  if (imports.OUT === 'out_qkv') {
    const first = ROW0 / HEAD_DIM;
    for (const head of pickHeads(launch, first, first + N / HEAD_DIM))
      for (const j of pick(HEAD_DIM / 2, 4)) {
        const v = (head - first) * HEAD_DIM + j;
        const [low, high] = [sums(v), sums(v + HEAD_DIM / 2)];
        for (const [i, row] of rows.entries()) yield* placed(launch, row, head, j, low[i]!, high[i]!);
      }
  } else if (imports.OUT === 'out_swiglu') {
    const width = N / 2;
    for (const v of pick(width)) {
      const [gates, ups] = [sums(v), sums(v + width)];
      const products = gates.map((gate, i) => gated(gate, ups[i]!, GELU !== 0));
      yield* column(v, products);
    }
    for (const v of padding(width, 2)) yield* column(v, []);
  } else {
    for (const v of pick(N)) {
      const found = sums(v).map((sum, i): Sum => {
        if (!RESIDUAL) return sum;
        const before = floats('out', rows[i]! * OUT_STRIDE + ROW0 + v, 1)[0]!;
        return { value: before + sum.value, scale: sum.scale + 1e-3 * Math.abs(before) };
      });
      yield* column(v, found);
    }
    for (const v of padding(N, 4)) yield* column(v, []);
  }
}

export const MATVEC: Kernel<ProjectionConstant | 'WG' | 'TOKENS' | 'ROWS' | 'NORM' | 'K' | 'EPS'> = {
  name: 'matvec',
  folder: 'plain',
  choices: [
    WEIGHTS,
    [
      ...combine(SHAPES, [own(1), own(4), told(4)], OF_FEW),
      ...combine(SHAPES, [own(4), told(8)], OF_MANY, [{ NORM: false }]),
    ],
  ],
  sizes: { ...PROJECTION_SIZES, UNITS: COUNT, K: COUNT, EPS: SMALL },
  bindings: projectionBindings,
  grid(launch, most) {
    const { HEAD, TOKENS, ROWS, WG } = launch.constants;
    const across = Math.ceil(virtualRows(launch) / ROWS / WG);
    // Rows of x first: workgroups that run at the same time share weights, which are the larger of the two.
    return [Math.ceil(rowsOf(launch.step, HEAD) / TOKENS), ...spread(across, most)];
  },
  cpu: (launch) => projected(launch, launch.constants.NORM ? launch.constants : undefined),
};

export const MATMUL: Kernel<ProjectionConstant | 'TALL' | 'WIDE' | 'WG' | 'DEPTH' | 'ACROSS'> = {
  name: 'matmul',
  folder: 'gpu',
  choices: [WEIGHTS.flatMap((weight) => combine([weight], tilesOf(String(weight.WEIGHT)))), OF_MANY],
  sizes: { ...PROJECTION_SIZES, UNITS: COUNT },
  bindings: projectionBindings,
  grid: (launch, most) => [
    Math.ceil(rowsOf(launch.step, launch.constants.HEAD) / launch.constants.TALL),
    ...spread(Math.ceil(virtualRows(launch) / launch.constants.WIDE), most),
  ],
  cpu: (launch) => projected(launch),
};
