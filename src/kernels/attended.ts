// What kernels of attention share: bindings, and their CPU twins.
import { type Asked, type Binding, type Result, reads, type TwinLaunch, writes } from '../gpu/kernel.ts';
import { keyAt, keyVector, kvShape, QKV_SIZES, type QkvConstant, valueAt } from './qkv.ts';
import { COUNT } from './tensor.ts';

/** Sizes that all of them have; `SPLITS`: parts of a head, at most. */
export const ATTENTION_SIZES = {
  ...QKV_SIZES,
  Q_STRIDE4: COUNT,
  OUT_STRIDE4: COUNT,
  SPLIT: COUNT,
  SPLITS: COUNT,
  WINDOW: COUNT,
} as const;

export type AttentionConstant = QkvConstant | keyof typeof ATTENTION_SIZES;

export const ROWS = reads('rows', 'Row', ({ step }) => [step.rows, 4]);

export const LEFT: Binding<AttentionConstant>[] = [
  writes('out', 'vec4f', ({ constants, step }) => [step.rows, 4 * constants.OUT_STRIDE4]),
  // of each part: weighted sum of V, then largest score, sum of weights, 0, 0
  writes('parts', 'vec4f', ({ constants: c, step }) => [step.rows, c.HEADS, c.SPLITS, c.HEAD_DIM + 4]),
];

export const QUERIES = reads<AttentionConstant>('q', 'vec4f', ({ constants, step }) => [
  step.rows,
  4 * constants.Q_STRIDE4,
]);

/** K and V, by the elements that the kernel reads at a time. */
export const kvRead = ({ imports }: Asked<AttentionConstant>): Binding<AttentionConstant> => {
  const { KV_READ = '', QUERY } = imports;
  const binds = QUERY === 'features/query_own' ? writes : reads;
  if (KV_READ === 'gpu/kv_vector_f16') return binds('kv', 'vec4<u32>', kvShape, 'f16');
  return KV_READ.includes('f16') ? binds('kv', 'vec2<u32>', kvShape, 'f16') : binds('kv', 'vec4f', kvShape);
};

const partAt = (
  { HEADS, SPLITS, HEAD_DIM }: Record<AttentionConstant, number>,
  row: number,
  head: number,
  part: number,
): number => ((row * HEADS + head) * SPLITS + part) * (HEAD_DIM + 4);

/** The first position that a row at this one attends to. */
export const firstSeen = ({ WINDOW }: Record<'WINDOW', number>, position: number): number =>
  Math.max(0, position + 1 - WINDOW);

/** Positions `from .. end`, and which part of the row's they are. */
export interface Span {
  part: number;
  from: number;
  end: number;
}

/** How a row's positions are shared; `whole`: what is left is the output itself. */
export interface Spans {
  whole: boolean;
  spans: readonly Span[];
}

/** A query, and a row's own key and value that are not in the cache yet. */
export interface Own {
  q: readonly number[];
  k: readonly number[];
  v: readonly number[];
}

/** The nearest number of 11 bits, of ties the even one: f16's precision at any size. */
function nearest(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer);
  bits[0] = (bits[0]! + 0xfff + ((bits[0]! >>> 13) & 1)) & 0xffffe000;
  return new Float32Array(bits.buffer)[0]!;
}

/** What a kernel leaves that reads K and V; `ownOf` gives what it does not read. */
export function* attended(
  launch: TwinLaunch<AttentionConstant>,
  spansOf: (position: number) => Spans,
  ownOf?: (row: number, head: number, kvHead: number) => Own,
): Iterable<Result> {
  const { constants: c, floats, pick } = launch;
  const { HEAD_DIM } = c;
  const size = keyVector(launch);
  for (const row of pick(launch.step.rows)) {
    const [, sequence = 0, position = 0] = launch.words('rows', 4 * row, 4);
    if (position >= c.CONTEXT) continue;
    const { whole, spans } = spansOf(position);
    for (const head of pick(c.HEADS, 2)) {
      const kvHead = Math.floor((head * c.KV_HEADS) / c.HEADS);
      const own = ownOf?.(row, head, kvHead);
      const exact = own?.q ?? [...floats('q', row * 4 * c.Q_STRIDE4 + head * HEAD_DIM, HEAD_DIM)];
      const q = launch.imports.TILE === 'gpu/attention_tile_f16' ? exact.map(nearest) : exact;
      for (const { part, from, end } of spans) {
        const count = end - from;
        const fresh = own && end > position ? own : undefined;
        const cached = fresh ? count - 1 : count;
        // Up to where a ring begins anew, and what follows.
        const before = Math.min(cached, c.CAPACITY - (from % c.CAPACITY));
        const read = (at: (position: number) => number, numbers: number): number[] => [
          ...(cached > 0 ? floats('kv', at(from), before * numbers) : []),
          ...(before < cached ? floats('kv', at(from + before), (cached - before) * numbers) : []),
        ];
        const scores = new Float64Array(count);
        for (let dim = 0; dim < HEAD_DIM; dim += size) {
          const k = read((position) => keyAt(launch, sequence, kvHead, position, dim), size);
          if (fresh) k.push(...fresh.k.slice(dim, dim + size));
          for (let i = 0; i < size * count; i++)
            scores[Math.floor(i / size)]! += (k[i]! * q[dim + (i % size)]!) / Math.sqrt(HEAD_DIM);
        }
        const v = read((position) => valueAt(launch, sequence, kvHead, position), HEAD_DIM);
        if (fresh) v.push(...fresh.v);
        const largest = scores.reduce((most, score) => Math.max(most, score));
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((sum, weight) => sum + weight);
        const by = whole ? 1 / total : 1;
        const scale = total * by * v.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const binding = whole ? 'out' : 'parts';
        const at = whole ? row * 4 * c.OUT_STRIDE4 + head * HEAD_DIM : partAt(c, row, head, part);
        for (let dim = 0; dim < HEAD_DIM; dim++) {
          let value = 0;
          for (let p = 0; p < count; p++) value += weights[p]! * v[p * HEAD_DIM + dim]!;
          yield { binding, at: at + dim, value: value * by, scale };
        }
        if (!whole)
          for (const [i, value] of [largest, total, 0, 0].entries())
            yield { binding, at: at + HEAD_DIM + i, value, scale: Math.abs(value) + (i === 0 ? 1 : 0) };
      }
    }
  }
}

/** What a kernel leaves that adds parts up. */
export function* joined(
  { constants: c, step, floats, words, pick }: TwinLaunch<AttentionConstant>,
  spansOf: (position: number) => Spans,
): Iterable<Result> {
  for (const row of pick(step.rows)) {
    const position = words('rows', 4 * row, 4)[2]!;
    if (position >= c.CONTEXT) continue;
    const { whole, spans } = spansOf(position);
    if (whole) continue;
    for (const head of pick(c.HEADS, 2)) {
      const parts = spans.map(({ part }) => floats('parts', partAt(c, row, head, part), c.HEAD_DIM + 2));
      const overall = Math.max(...parts.map((part) => part[c.HEAD_DIM]!));
      const shares = parts.map((part) => Math.exp(part[c.HEAD_DIM]! - overall));
      const totals = parts.map((part, i) => part[c.HEAD_DIM + 1]! * shares[i]!);
      const total = totals.reduce((sum, each) => sum + each);
      // Sums of weights are above 0; where a test has others, errors are of what cancels.
      const exact = Math.abs(total) / totals.reduce((sum, each) => sum + Math.abs(each), 0);
      for (let dim = 0; dim < c.HEAD_DIM; dim++) {
        const terms = parts.map((part, i) => (part[dim]! * shares[i]!) / total);
        yield {
          binding: 'out',
          at: row * 4 * c.OUT_STRIDE4 + head * c.HEAD_DIM + dim,
          value: terms.reduce((sum, term) => sum + term),
          scale: Math.hypot(...terms) / exact,
        };
      }
    }
  }
}
