import type { Gpu } from '../../gpu/device.ts';
import { type Kernel, type Launch, type Range, reads, type TwinLaunch, writes } from '../../gpu/kernel.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { COUNT, LARGEST_HEAD } from '../../kernels/tensor.ts';
import { bound, type Tensor } from './tensor.ts';
import { TRAIN_SHADERS } from './texts.ts';

/** Threads of a workgroup, one a row: with more, those of early rows wait for those of later ones. */
const WG = 32;
/** Rows of a workgroup on GPUs, and its threads: one that has a row alone has more numbers than fit its registers. */
const TALL = 32;
const TILED_WG = 256;

type Size = 'WG' | 'ROWS' | 'LENGTH' | 'HEADS' | 'KV_HEADS' | 'D4' | 'SCALE';
const D4: Range = [1, LARGEST_HEAD / 4];
const SCALE: Range = [0, 1e6, 'f32'];
const shared = {
  choices: [[{ WG }]],
  sizes: { ROWS: COUNT, LENGTH: COUNT, HEADS: COUNT, KV_HEADS: COUNT, D4, SCALE },
};

const queries = ({ constants: { ROWS, HEADS, D4 } }: Launch<Size>): number[] => [ROWS, HEADS, 4 * D4];
const keys = ({ constants: { ROWS, KV_HEADS, D4 } }: Launch<Size>): number[] => [ROWS, KV_HEADS, 4 * D4];
const heads = ({ constants: { ROWS, HEADS } }: Launch<Size>): number[] => [ROWS, HEADS];

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

/** Heads of a launch by their place: the numbers of one. */
const headsOf = ({ constants: { HEADS, KV_HEADS, D4 }, floats }: TwinLaunch<Size>) => ({
  query: (name: string, row: number, head: number) => floats(name, (row * HEADS + head) * 4 * D4, 4 * D4),
  key: (name: string, row: number, head: number) => floats(name, (row * KV_HEADS + head) * 4 * D4, 4 * D4),
  each: (name: string, row: number, head: number) => floats(name, row * HEADS + head, 1)[0]!,
});

/** What one row and head is of another row of its window: its share of the softmax, and the slope of its score. */
function pairOf(launch: TwinLaunch<Size>, row: number, head: number, other: number) {
  const { query, key, each } = headsOf(launch);
  const { HEADS, KV_HEADS, SCALE } = launch.constants;
  const kvHead = Math.floor(head / (HEADS / KV_HEADS));
  const score = dot(query('q', row, head), key('k', other, kvHead)) * SCALE;
  const share = Math.exp(score - each('log_sums', row, head));
  return { share, product: dot(query('dy', row, head), key('v', other, kvHead)) };
}

export const TRAIN_ATTENTION: Kernel<Size> = {
  name: 'train/attention',
  texts: TRAIN_SHADERS,
  ...shared,
  bindings: () => [
    reads('q', 'vec4f', queries),
    reads('k', 'vec4f', keys),
    reads('v', 'vec4f', keys),
    writes('out', 'vec4f', queries),
    writes('log_sums', 'f32', heads),
  ],
  grid: ({ constants: { ROWS, LENGTH, HEADS } }) => [Math.ceil(LENGTH / WG), HEADS, ROWS / LENGTH],
  *cpu(launch) {
    const { ROWS, LENGTH, HEADS, KV_HEADS, D4, SCALE } = launch.constants;
    const { query, key } = headsOf(launch);
    for (const row of launch.pick(ROWS))
      for (const head of launch.pick(HEADS, 2)) {
        const kvHead = Math.floor(head / (HEADS / KV_HEADS));
        const q = query('q', row, head);
        const first = row - (row % LENGTH);
        const scores: number[] = [];
        for (let other = first; other <= row; other++) scores.push(dot(q, key('k', other, kvHead)) * SCALE);
        const largest = Math.max(...scores);
        const shares = scores.map((score) => Math.exp(score - largest));
        const sum = shares.reduce((a, b) => a + b, 0);
        const values = new Float64Array(4 * D4);
        for (const [i, share] of shares.entries())
          for (const [j, v] of key('v', first + i, kvHead).entries()) values[j]! += (share / sum) * v;
        const at = row * HEADS + head;
        for (const [i, value] of values.entries())
          yield { binding: 'out', at: at * 4 * D4 + i, value, scale: 1 };
        const value = largest + Math.log(sum);
        yield { binding: 'log_sums', at, value, scale: 1 + Math.abs(value) };
      }
  },
};

export const ATTENTION_QUERIES: Kernel<Size> = {
  name: 'train/attention_queries',
  texts: TRAIN_SHADERS,
  ...shared,
  bindings: () => [
    reads('q', 'vec4f', queries),
    reads('k', 'vec4f', keys),
    reads('v', 'vec4f', keys),
    reads('y', 'vec4f', queries),
    reads('dy', 'vec4f', queries),
    reads('log_sums', 'f32', heads),
    writes('dq', 'vec4f', queries),
    writes('deltas', 'f32', heads),
  ],
  grid: ({ constants: { ROWS, LENGTH, HEADS } }) => [Math.ceil(LENGTH / WG), HEADS, ROWS / LENGTH],
  *cpu(launch) {
    const { ROWS, LENGTH, HEADS, KV_HEADS, D4, SCALE } = launch.constants;
    const { query, key } = headsOf(launch);
    for (const row of launch.pick(ROWS))
      for (const head of launch.pick(HEADS, 2)) {
        const kvHead = Math.floor(head / (HEADS / KV_HEADS));
        const [y, dy] = [query('y', row, head), query('dy', row, head)];
        const delta = dot(y, dy);
        const values = new Float64Array(4 * D4);
        let size = 0;
        for (let other = row - (row % LENGTH); other <= row; other++) {
          const { share, product } = pairOf(launch, row, head, other);
          const by = share * (product - delta) * SCALE;
          size += Math.abs(share * SCALE) * (Math.abs(product) + Math.abs(delta));
          for (const [j, k] of key('k', other, kvHead).entries()) values[j]! += by * k;
        }
        const at = row * HEADS + head;
        for (const [i, value] of values.entries())
          yield { binding: 'dq', at: at * 4 * D4 + i, value, scale: size };
        yield { binding: 'deltas', at, value: delta, scale: Math.hypot(...y) * Math.hypot(...dy) };
      }
  },
};

export const ATTENTION_KEYS: Kernel<Size> = {
  name: 'train/attention_keys',
  texts: TRAIN_SHADERS,
  ...shared,
  bindings: () => [
    reads('q', 'vec4f', queries),
    reads('k', 'vec4f', keys),
    reads('v', 'vec4f', keys),
    reads('dy', 'vec4f', queries),
    reads('log_sums', 'f32', heads),
    reads('deltas', 'f32', heads),
    writes('dk', 'vec4f', keys),
    writes('dv', 'vec4f', keys),
  ],
  grid: ({ constants: { ROWS, LENGTH, KV_HEADS } }) => [Math.ceil(LENGTH / WG), KV_HEADS, ROWS / LENGTH],
  *cpu(launch) {
    const { ROWS, LENGTH, HEADS, KV_HEADS, D4, SCALE } = launch.constants;
    const { query, each } = headsOf(launch);
    const group = HEADS / KV_HEADS;
    for (const row of launch.pick(ROWS))
      for (const kvHead of launch.pick(KV_HEADS, 2)) {
        const [slopes, shares] = [new Float64Array(4 * D4), new Float64Array(4 * D4)];
        let [slopeSize, shareSize] = [0, 0];
        for (let other = row; other < row - (row % LENGTH) + LENGTH; other++)
          for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
            const { share, product } = pairOf(launch, other, head, row);
            const delta = each('deltas', other, head);
            const by = share * (product - delta) * SCALE;
            slopeSize += share * SCALE * (Math.abs(product) + Math.abs(delta)) * 4;
            shareSize += share;
            for (const [j, q] of query('q', other, head).entries()) slopes[j]! += by * q;
            for (const [j, d] of query('dy', other, head).entries()) shares[j]! += share * d;
          }
        const at = (row * KV_HEADS + kvHead) * 4 * D4;
        for (let i = 0; i < 4 * D4; i++) {
          yield { binding: 'dk', at: at + i, value: slopes[i]!, scale: slopeSize };
          yield { binding: 'dv', at: at + i, value: shares[i]!, scale: shareSize };
        }
      }
  },
};

const tiled = (name: string, kernel: Kernel<Size>): Kernel<Size> => ({
  ...kernel,
  name,
  choices: [[{ WG: TILED_WG }]],
  grid({ constants: { ROWS, LENGTH, HEADS, KV_HEADS } }) {
    return [Math.ceil(LENGTH / TALL), kernel === ATTENTION_KEYS ? KV_HEADS : HEADS, ROWS / LENGTH];
  },
});

export const ATTENTION_TILED = tiled('train/attention_tiled', TRAIN_ATTENTION);
export const ATTENTION_QUERIES_TILED = tiled('train/attention_queries_tiled', ATTENTION_QUERIES);
export const ATTENTION_KEYS_TILED = tiled('train/attention_keys_tiled', ATTENTION_KEYS);

/** CPUs that play GPU have no registers to run out of, and want no barriers. */
const kernelsFor = ({ profile }: Gpu) =>
  profile === 'software'
    ? { WG, forward: TRAIN_ATTENTION, queries: ATTENTION_QUERIES, keys: ATTENTION_KEYS }
    : {
        WG: TILED_WG,
        forward: ATTENTION_TILED,
        queries: ATTENTION_QUERIES_TILED,
        keys: ATTENTION_KEYS_TILED,
      };

/** Attention of windows of `length` rows. */
export interface AttentionShape {
  rows: number;
  length: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
}

const constantsOf = ({ rows, length, heads, kvHeads, headDim, scale }: AttentionShape) => ({
  ROWS: rows,
  LENGTH: length,
  HEADS: heads,
  KV_HEADS: kvHeads,
  D4: headDim / 4,
  SCALE: scale,
});

const countsOf = ({ rows, heads, kvHeads, headDim }: AttentionShape) => ({
  queries: rows * heads * headDim,
  keys: rows * kvHeads * headDim,
  heads: rows * heads,
});

/** Causal attention; `sums (rows, heads)` are for its backward. */
export function trainAttention(
  recorder: Recorder,
  call: AttentionShape & Record<'q' | 'k' | 'v' | 'out' | 'sums', Tensor>,
): void {
  const { queries, keys, heads } = countsOf(call);
  const { WG, forward } = kernelsFor(recorder.gpu);
  recorder.add({
    label: 'attention',
    shader: { kernel: forward, constants: { ...constantsOf(call), WG } },
    bind: {
      q: bound(call.q, queries),
      k: bound(call.k, keys),
      v: bound(call.v, keys),
      out: bound(call.out, queries),
      log_sums: bound(call.sums, heads),
    },
  });
}

/** Gradients of q, k and v, of `dy`, that of what attention gave (`y`); `deltas (rows, heads)` is room. */
export function attentionBackward(
  recorder: Recorder,
  call: AttentionShape &
    Record<'q' | 'k' | 'v' | 'y' | 'dy' | 'sums' | 'deltas' | 'dq' | 'dk' | 'dv', Tensor>,
): void {
  const kernels = kernelsFor(recorder.gpu);
  const constants = { ...constantsOf(call), WG: kernels.WG };
  const { queries, keys, heads } = countsOf(call);
  const [q, y, dy, dq] = [call.q, call.y, call.dy, call.dq].map((tensor) => bound(tensor, queries));
  const [k, v, dk, dv] = [call.k, call.v, call.dk, call.dv].map((tensor) => bound(tensor, keys));
  const [log_sums, deltas] = [call.sums, call.deltas].map((tensor) => bound(tensor, heads));
  recorder.add({
    label: 'attention backward to queries',
    shader: { kernel: kernels.queries, constants },
    bind: { q, k, v, y, dy, log_sums, dq, deltas },
  });
  recorder.add({
    label: 'attention backward to keys',
    shader: { kernel: kernels.keys, constants },
    bind: { q, k, v, dy, log_sums, deltas, dk, dv },
  });
}
